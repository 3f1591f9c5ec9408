"""Distinction between a different run and an edit of the same run."""

import pytest

from calvaria.config import Config, dump, parse
from calvaria.errors import StoreError
from calvaria.pipeline.guard import check_run_directory
from calvaria.storage.paths import Run
from tests.conftest import ROOT


def config(**changes: object) -> Config:
    import yaml

    raw = yaml.safe_load((ROOT / "tests" / "faults" / "small.yaml").read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        section = raw
        for name in path:
            section = section[name]
        section[last] = value
    return parse(raw, "test")


@pytest.fixture
def run(tmp_path) -> Run:
    found = Run(tmp_path / "small")
    found.root.mkdir()
    found.config.write_text(dump(config()))
    (found.root / "fit").mkdir()
    return found


OTHER = {
    "seed": {"seed": 12},
    "grid": {"grid": {"shape": [24, 32, 24], "spacing_mm": 7.0}},
    "sources": {"ingest__sources__phantom__count": 7},
    "a source more": {
        "ingest__sources": {name: {"kind": "phantom", "count": 6} for name in ("phantom", "more")}
    },
}
EDITS = {
    "nothing": {},
    "a family less": {"fit": {"real": {"kind": "real"}}, "train__arms": {"all": {"families": {"real": 1}}}},
    "more samples": {"sample__count": 12},
    "the network": {"train__channels": [8, 16, 16]},
    "what is kept of a head": {"ingest__top_margin_mm": 12.0},
    "threads": {"threads": 2},
}


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_another_run_is_refused(run, changes):
    with pytest.raises(
        StoreError, match=rf"{run.root}: holds another run; choose another name .*\n  .* there, "
    ):
        check_run_directory(run, config(**changes))


@pytest.mark.parametrize("changes", EDITS.values(), ids=EDITS)
def test_an_edit_is_none(run, changes):
    check_run_directory(run, config(**changes))


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_until_something_is_learned_all_may_change(run, changes):
    (run.root / "fit").rmdir()
    check_run_directory(run, config(**changes))


def test_a_new_or_empty_directory_is_nobodys(tmp_path):
    check_run_directory(Run(tmp_path / "new"), config())
    check_run_directory(Run(tmp_path), config())


def test_what_is_no_run_is_refused_and_copying_the_config_is_the_remedy(run):
    run.config.write_text("name: [")
    with pytest.raises(StoreError, match=r"has a config that cannot be read.*copy the config to"):
        check_run_directory(run, config())
    run.config.unlink()
    with pytest.raises(StoreError, match=r"has files but no config\.yaml.*copy the config to"):
        check_run_directory(run, config())
    run.config.write_bytes((ROOT / "tests" / "faults" / "small.yaml").read_bytes())
    check_run_directory(run, config())
