"""Results that must be bit-identical on any machine: the cohort of every person, and the scores of a case.

Other such results have golden values in their own tests: seeds, a phantom, a resampled skull, defects and
the bytes of a shard. docs/determinism.md lists them.
"""

from dataclasses import asdict

import numpy as np

from calvaria.config import parse
from calvaria.metrics.scores import score
from calvaria.stages.split import split
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_json, write_rows
from tests.unit.finished import tiny

COHORTS = {
    "training": ["01", "04", "05", "06", "07", "09", "11"],
    "validation": ["08", "10"],
    "test": ["00", "02", "03"],
}
SCORES = {
    "dsc": 0.7587301587301587,
    "bdsc_10mm": 0.7587301587301587,
    "bdsc_10vox": 0.7587301587301587,
    "hd95_mm": 1.140175425099138,
    "surface_dice_1mm": 0.9442165709598032,
    "assd_mm": 0.2835431237338954,
    "rim_gap_mm": 3.315104986314931,
}


def test_a_split(tmp_path):
    run, config = Run(tmp_path), parse(tiny() | {"seed": 3}, "config")
    names = [f"clinic/{number:02d}" for number in range(12)]
    rows = [{"index": index, "id": name, "person": name, "sha256": ""} for index, name in enumerate(names)]
    write_json(run.ingest.path / "labels" / "zarr.json", {"shape": [len(rows), 1, 1, 1]})
    write_rows(run.ingest.table(0), rows)
    write_json(run.people, {"person": {name: name for name in names}})
    split(run, config)
    found = read_json(run.split)
    assert {cohort: [row["id"][-2:] for row in rows] for cohort, rows in found.items()} == COHORTS


def test_the_scores_of_a_case(dome):
    """The prediction is the implant, shifted and without a corner."""
    implant = dome.copy()
    implant[:, :, :30] = 0
    implant[:14] = 0
    implant[28:] = 0
    found = np.roll(implant, (1, 1), (0, 1))
    found[20:, 30:] = 0
    scores = asdict(score(found, implant, dome - implant, (0.9, 0.7, 0.625)))
    assert scores == SCORES, "to the last bit"
