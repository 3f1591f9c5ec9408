"""The pretrained model reproduces its committed scores, starting from the scans."""

import numpy as np
import pytest

from calvaria.config import load
from calvaria.defects.apply import cut_defect
from calvaria.defects.defect import from_json
from calvaria.defects.native_grid import OwnGrid, cut
from calvaria.geometry.resample import resample
from calvaria.reconstruction.export.model import load_model
from calvaria.reconstruction.native_case import NativeCase
from calvaria.sources.volumes import read_labels
from calvaria.stages.evaluate import Case, case_scores, predictions
from calvaria.storage.shipped import pretrained
from calvaria.storage.store import read_json
from calvaria.training.device import prepare_device
from tests.conftest import ROOT

CASES = (1, 7, 15)  # with injected defects; the challenge's own are labels of the scan


def test_the_model_is_small_and_says_what_it_is():
    folder = pretrained()
    assert folder == ROOT / "data" / "pretrained"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 15e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for said in ("CC BY-NC-SA 4.0", "not a medical device", read_json(folder / "model.json")["run_digest"]):
        assert said in card


@pytest.mark.real
@pytest.mark.parametrize("number", CASES)
def test_a_committed_case_is_scored_as_before(real_skulls, number):
    folder = pretrained()
    case = read_json(folder / "cases.json")["cases"][number]
    predictor, config = load_model(folder, prepare_device(load(folder / "config.yaml")))
    grid, pose, defect = config.grid.voxels(), np.array(case["pose"]), from_json(case["defect"])
    scan = read_labels(real_skulls / f"{case['scan'].rsplit('/', 1)[1]}.nii.gz")
    conformed = (resample(scan.values, scan.affine, pose, grid) > 0).astype(np.uint8)
    labels, _ = cut_defect(conformed, grid, defect)
    whole = (scan.values > 0).astype(np.uint8)
    own = cut(whole, OwnGrid.of(whole.shape, scan.affine, pose), defect, conformed, grid)
    skull = NativeCase(labels, own, scan.affine, pose)
    made = Case({"index": number, "person": None, "recipe": ""}, skull)
    ((_, _, found),) = predictions({0: predictor}, iter([made]), config.evaluate.batch_size)
    scored = case_scores(config, made, found)
    for name, expected in case["scores"].items():
        assert scored[name] == pytest.approx(expected, abs=2e-3 if "mm" not in name else 0.1), name
