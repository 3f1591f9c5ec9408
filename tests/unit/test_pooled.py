"""The report of a cross-validation: only of all folds of one config, with every case and every failure."""

from pathlib import Path

import pytest

from calvaria.config import Config
from calvaria.errors import InputError, StoreError
from calvaria.pipeline.manifest import KEYS, digest
from calvaria.report.pooled import write_pooled_report
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_json
from tests.unit.made_up import a_config, write_run

FOLDS = 3


def config_of(fold: int, folds: int = FOLDS, **update: object) -> Config:
    split = a_config().split.model_copy(update={"folds": folds, "fold": fold})
    return a_config().model_copy(update={"split": split, **update})


def write_fold(root: Path, config: Config) -> Path:
    """Write a finished run whose test cohort is one person of its own."""
    run = write_run(root / config.run_name, config)
    people = [f"p{number}" for number in range(FOLDS)]
    write_json(run.people, read_json(run.people) | {"person": {name: name for name in people}})
    tested = people[config.split.fold]
    write_json(run.split, {"training": [], "validation": [], "test": [{"id": tested, "person": tested}]})
    content = {key: {} for key in KEYS} | {"files": {"a": "b"}, "digest": digest({"a": "b"})}
    write_json(run.manifest, content)
    return run.root


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> list[Path]:
    place = tmp_path_factory.mktemp("results")
    return [write_fold(place, config_of(fold)) for fold in range(FOLDS)]


def test_the_runs_of_folds_have_names_of_their_own(folds):
    assert [path.name for path in folds] == ["tiny-0", "tiny-1", "tiny-2"]
    assert a_config().run_name == "tiny"


def test_all_cases_of_all_folds_are_in_the_report(folds, tmp_path):
    page = tmp_path / "pooled.html"
    assert write_pooled_report([folds[2], folds[0], folds[1]], page) == (3, 3)
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert "3 people in 3 folds" in text
    assert "predicted the implants of the same 6 test cases" in text
    assert text.index("tiny-0</td>") < text.index("tiny-1</td>") < text.index("tiny-2</td>")
    for fold in range(FOLDS):  # one of the two predictions of the arm plain is empty in every fold
        assert f"<li>plain, fold {fold}, network 0: test case 1" in text
    assert "<script>alert(1)" not in text


def test_a_missing_or_doubled_fold_is_refused(folds, tmp_path):
    for some in (folds[:2], [*folds, folds[0]], [folds[0], folds[0], folds[1]]):
        with pytest.raises(InputError, match=r"expected the runs of all 3 folds of split\.folds, each once"):
            write_pooled_report(some, tmp_path / "pooled.html")
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_folds_is_refused(tmp_path):
    run = write_run(tmp_path / "tiny", a_config())
    write_json(run.manifest, {key: {} for key in KEYS} | {"files": {}, "digest": digest({})})
    with pytest.raises(InputError, match="expected the runs of all 0 folds"):
        write_pooled_report([run.root], tmp_path / "pooled.html")


def test_folds_of_different_configs_are_refused(folds, tmp_path):
    other = write_fold(tmp_path, config_of(2, seed=7))
    with pytest.raises(InputError, match=r"tiny-2: expected the config of .*tiny-0.*but seed differ"):
        write_pooled_report([*folds[:2], other], tmp_path / "pooled.html")


def test_a_person_who_is_tested_twice_is_refused(folds, tmp_path):
    other = write_fold(tmp_path, config_of(2))
    write_json(Run(other).split, read_json(Run(folds[0]).split))
    with pytest.raises(InputError, match=r"every one of 3 people .*got 3 test people, 2 of them different"):
        write_pooled_report([*folds[:2], other], tmp_path / "pooled.html")


def test_an_unfinished_fold_is_refused(folds, tmp_path):
    other = write_fold(tmp_path, config_of(2))
    (other / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"manifest\.json: no such file"):
        write_pooled_report([*folds[:2], other], tmp_path / "pooled.html")
