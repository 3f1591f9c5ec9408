"""A finished run with made-up results, for tests of reports and data sets."""

from pathlib import Path

import numpy as np

from calvaria.config import Config, dump, parse
from calvaria.report import tables
from calvaria.report.sheet import contact_sheet
from calvaria.storage.paths import Run
from calvaria.storage.store import write_atomically, write_json, write_rows, write_shard

NASTY = "<script>alert(1)</script>"
MEASURES = {
    "volume_ml": 500.0,
    "width_mm": 140.0,
    "length_mm": 180.0,
    "height_mm": 150.0,
    "thickness_mm": 6.0,
}
PERFECT = {
    **dict.fromkeys(("dsc", "bdsc_10mm", "bdsc_10vox", "surface_dice_1mm"), 1.0),
    **dict.fromkeys(("hd95_mm", "assd_mm", "rim_gap_mm"), 0.0),
    "empty": False,
}
NOTHING = {
    **dict.fromkeys(("dsc", "bdsc_10mm", "bdsc_10vox", "surface_dice_1mm"), 0.0),
    **dict.fromkeys(("hd95_mm", "assd_mm", "rim_gap_mm"), None),
    "empty": True,
}

RANGE = {"samples": 3.0, "real": 2.0, "low": 1.0, "high": 4.0, "within": 0.9}
SPECTRUM = {
    **{f"{name}_mm": [0.2, 0.1] for name in ("samples", "real")},
    "low_mm": [0.1, 0.05],
    "high_mm": [0.3, 0.2],
    "within": [0.9, 0.8],
    "real_within": [0.9, 0.9],
}
SHARES = {"share": 0.74, "real_share": 0.88, "everywhere": 0.2, "real_everywhere": 0.3}
AREAS = {"patch_auc": 0.62, "skull_auc": 0.83, "real_patch_auc": 0.51, "real_skull_auc": None}
LOOKS = {
    "roughness": {"bands_mm": [[24.0, 36.0], [36.0, 60.0]], "outer": SPECTRUM, "inner": SPECTRUM, **SHARES},
    "thickness": {
        **dict.fromkeys(("vault_mm", "place_mm", "real_vault_mm", "real_place_mm"), 0.5),
        "contrast_mm": RANGE,
    },
    "base": dict.fromkeys(("drops", "drop_share", "euler", "surface_per_mm"), RANGE),
    "pin_holes": dict.fromkeys(("vault", "temporal"), RANGE),
    "two_sample": {**AREAS, "skulls": 2, "patch_mm": 32.0, "patches": 50},
}


def a_config() -> Config:
    return parse(
        {
            "name": "tiny",
            "grid": {"shape": [16, 16, 16], "spacing_mm": 12.0},
            "ingest": {"sources": {"phantom": {"kind": "phantom", "count": 4}}},
            "fit": {"real": {"kind": "real"}, "second-vae": {"kind": "vae", "optimiser": {"steps": 2}}},
            "inject": {"recipes": {"spheres": {"kind": "spheres"}}},
            "train": {
                "arms": {
                    "plain": {"families": {"real": 1}},
                    "mixed": {"families": {"real": 1, "second-vae": 3}, "geometric": "strong"},
                },
                "optimiser": {"steps": 2},
            },
            "report": {"skulls": 1, "cases": 1},
        },
        "test",
    )


def write_run(root: Path, config: Config) -> Run:
    """Write a finished run with made-up results: one of the two predictions of 'plain' is empty."""
    run, grid = Run(root), config.grid.voxels()
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    skull = ((radius < 75) & (radius > 50)).astype(np.uint8)
    case = np.where((skull > 0) & (z > 45), 2, skull).astype(np.uint8)
    people = [{"id": f"p{i}", "person": f"p{i}"} for i in range(4)]
    doubtful = ("doubtful", f"size: large, {NASTY}")
    verdicts = [("ok", None), ("ok", None), doubtful, ("defective", f"holes of {NASTY}")]
    ingested = [
        {**who, "verdict": verdict, "reason": reason}
        for who, (verdict, reason) in zip(people, verdicts, strict=True)
    ]
    ingested[2]["accepted_by"] = "p[2]"
    volumes = np.stack([skull, skull, skull, 0 * skull])
    run.root.mkdir(parents=True)
    run.config.write_text(dump(config))
    write_shard(run.ingest, 0, 4, 4, grid, volumes, ingested)
    write_json(
        run.people,
        {
            "same_mm": 0.35,
            "farthest_same_mm": 0.12,
            "closest_different_mm": 0.81,
            "person": {"p0": "p0", "p1": "p0", "p2": "p2"},
            "pairs": [{"first": "p0", "second": "p1", "mm": 0.12, "mirrored": True}],
        },
    )
    write_atomically(run.sheet(0), contact_sheet(ingested, volumes, grid))
    cohorts = dict(zip(("training", "validation", "test"), range(3), strict=True))
    write_json(run.split, {name: [{"index": i, **people[i]}] for name, i in cohorts.items()})
    limits = {measure: [0.8 * value, 1.2 * value] for measure, value in MEASURES.items()}
    write_json(run.root / "screen" / "limits.json", {**limits, "training": [MEASURES]})
    rejected = [{"attempt": 0, "reason": "bone volume 301.5 ml is below 400 ml"}]
    sample = {"attempt": 0, "parents": [], "parameters": {}, "measures": MEASURES}
    defect = {"skull": 0, "person": None, "parents": [], "recipe": "spheres", "defect": {}, "attempt": 0}
    defect["implant_ml"] = 30.0
    for family in config.fit:
        gates = {"similarity": 0.8, "folded": 0.0, "least_jacobian": 0.3}
        registered = [{**gates, "moving": NASTY, "target": "b", "fault": "warp folded"}]
        fitted = {"family": family, "kind": "real", "parameters": None}
        write_json(run.fit(family) / "fit.json", fitted | {"registrations": registered})
        drawn = {"parents": [], "parameters": gates, "fault": None}
        write_shard(run.sample(family), 0, 2, 2, grid, np.stack([skull] * 2), [drawn] * 2)
        row = {**sample, "family": family, "rejections": rejected}
        write_shard(run.screen(family), 0, 2, 2, grid, np.stack([skull] * 2), [row] * 2)
        rebuilt = {"skulls": 1, "empty": 0, "dice": 0.912, "surface95_voxels": 1.25, "surface_mm": 0.4}
        audited = {
            "held_out": 2,
            "fidelity": dict.fromkeys((one.key for one in tables.FIDELITY), 0.61),
            "memorisation": {
                "ratio": 0.87,
                "p_value": 0.0002,
                "nearest": [1.0, 1.5],
                "held_out_nearest": [1.2, 1.4],
            },
            **(LOOKS if family == "real" else {**LOOKS, "roughness": None, "two_sample": None}),
            "copies_dropped": 3,
            "reconstruction": {**rebuilt, "thickness_mm": None} if family != "real" else None,
        }
        write_json(run.audit(family), audited)
    for cohort in (*config.fit, "validation", "test"):
        write_shard(
            run.inject(cohort), 0, 2, 2, grid, np.stack([case] * 2), [{"cohort": cohort, **defect}] * 2
        )
    write_rows(run.fit("second-vae") / "steps.jsonl", [{"step": i, "loss": 1.0 / i} for i in (1, 2, 3)])
    for arm, outcomes in {"plain": [PERFECT, NOTHING], "mixed": [PERFECT, PERFECT]}.items():
        write_json(run.train(arm, 0) / "train.json", {"steps": 2, "best_step": 1, "validation_dsc": 0.5})
        rows = [
            {"case": i, "person": NASTY, "recipe": "spheres", "seed": 0, **outcome, "grid": {"dsc": 0.5}}
            for i, outcome in enumerate(outcomes)
        ]
        predicted = [np.where(case == 2, 0, case) if row["empty"] else case for row in rows]
        write_shard(run.evaluate(arm), 0, 2, 2, grid, np.stack(predicted).astype(np.uint8), rows)
    return run
