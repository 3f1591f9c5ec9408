"""The comparison of two runs names their differences, the first one and its possible causes."""

import pytest

from calvaria.errors import StoreError
from calvaria.pipeline.diff import diff
from calvaria.stages import STAGES
from calvaria.storage.store import read_json, write_json
from tests.unit.finished import finished, tiny


@pytest.fixture
def one(tmp_path):
    return finished(tmp_path / "one", tiny())[0]


def test_equal_data_is_equal_whatever_made_it(one, tmp_path):
    other, _ = finished(tmp_path / "other", tiny(), versions={"numpy": "2.1"}, hardware={"cpu": "two"})
    same, printed = diff(STAGES, one, other)
    assert same
    assert printed[0].startswith("the data is the same: digest ")
    assert printed[1:] == ["versions.numpy: 2.0 -> 2.1", "hardware.cpu: one -> two"]


def test_a_changed_key_is_the_cause_where_it_is_used(one, tmp_path):
    raw = tiny()
    raw["fit"]["vae"]["kl_weight"] = 0.25
    raw["report"]["skulls"] = 3  # changes nothing
    other, _ = finished(tmp_path / "other", raw, "fit/vae sample/vae screen/vae audit/vae inject/vae")
    same, printed = diff(STAGES, one, other)
    assert not same
    assert any(
        line.startswith("config.fit.vae.kl_weight: ") and line.endswith(" -> 0.25") for line in printed
    )
    assert "config.report.skulls: 2 -> 3" in printed
    assert "split: the same" in printed
    assert "fit: 1 of 2 jobs differ: fit/vae" in printed
    assert "evaluate: the same" in printed
    assert printed[-1] == "first difference at fit/vae; changed dependencies: config.fit.vae.kl_weight"


def test_only_code_that_the_job_uses_is_a_cause(one, tmp_path):
    modules = {"calvaria.stages.split": "b", "calvaria.report.page": "new"}
    code = {"version": "2", "modules": modules}
    other, _ = finished(tmp_path / "other", tiny(), "split fit train", code=code)
    _, printed = diff(STAGES, one, other)
    assert "code.version: 1 -> 2" in printed
    assert "code.modules: 2 differ: calvaria.report.page, calvaria.stages.split" in printed
    assert printed[-1] == "first difference at split; changed dependencies: calvaria.stages.split"


def test_versions_and_hardware_may_be_the_cause(one, tmp_path):
    made_with = {"versions": {"numpy": "2.1"}, "hardware": {"cpu": "two"}}
    other, _ = finished(tmp_path / "other", tiny(), "ingest", **made_with)
    _, printed = diff(STAGES, one, other)
    causes = "versions.numpy, hardware.cpu"
    assert printed[-1] == f"first difference at ingest/0; changed dependencies: {causes}"


def test_a_difference_without_a_recorded_cause_is_said_to_have_none(one, tmp_path):
    other, _ = finished(tmp_path / "other", tiny(), "inject/test")
    _, printed = diff(STAGES, one, other)
    assert printed[-1].startswith("first difference at inject/test/0; changed dependencies: nothing recorded")


def test_jobs_that_only_one_run_has_are_named(one, tmp_path):
    raw = tiny()
    raw["sample"]["count"] = 8
    other, _ = finished(tmp_path / "other", raw)
    _, printed = diff(STAGES, one, other)
    assert (
        "sample: 2 of 4 jobs differ: sample/real/1 (only in the second), sample/vae/1 (only in the second)"
        in printed
    )
    assert printed[-1] == "first difference at sample/real/1 (only in the second)"


def test_a_manifest_of_an_older_version_is_refused(one, tmp_path):
    other, _ = finished(tmp_path / "other", tiny())
    write_json(
        other.manifest, {key: value for key, value in read_json(other.manifest).items() if key != "code"}
    )
    with pytest.raises(
        StoreError, match=r"other/manifest\.json: lacks code, like manifests of older versions"
    ):
        diff(STAGES, one, other)
