"""Scores of the shipped pretrained model on held-out people, and cases for its regression test.

    calvaria export --run results/skullfix --arm ARM --out data/pretrained
    python benchmarks/pretrained.py --run results/skullfix

Writes a table, and ``data/pretrained/cases.json``: scan, pose, defect and scores of every test case. A test
recomputes some of these cases from the scans and expects the same scores.
"""

import argparse
import sys
import time
from pathlib import Path

from environment import header, peak_gb

from calvaria.config import load
from calvaria.reconstruction.export.model import load_model
from calvaria.report.tables import METRICS, scores, summarise
from calvaria.stages.evaluate import case_scores, cases, predictions
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_json
from calvaria.training.device import prepare_device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path("data/pretrained"))
    given = parser.parse_args()
    run = Run(given.run)
    config = load(run.config)
    predictor, _ = load_model(given.model, prepare_device(config))
    began, rows, kept = time.perf_counter(), [], []
    for case, _, found in predictions({0: predictor}, cases(run, config), config.evaluate.batch_size):
        scored = case_scores(config, case, found)
        rows.append({**case.about, **scored})
        (scan,) = case.row["parents"]
        kept.append(
            {
                "scan": scan,
                "recipe": case.row["recipe"],
                "pose": case.skull.pose.tolist(),
                "defect": case.row["defect"],
                "scores": {metric.key: scored[metric.key] for metric in METRICS},
            }
        )
        print(f"{scan} {case.row['recipe']}: DSC {scored['dsc']:.4f}", flush=True)
    seconds = time.perf_counter() - began
    about = read_json(given.model / "model.json")
    people = len({row["person"] for row in rows})
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    lines = [
        header("The pretrained model", "python " + " ".join(sys.argv)),
        "",
        f"Arm `{about['arm']}`, {len(predictor.networks)} networks and a prior, in half precision; "
        f"{len(rows)} cases of {people} test people, scored on the scans' own grids; "
        f"{seconds / len(rows):.1f} s a case on the {predictor.device.type}, {peak_gb():.1f} GB.",
        "",
        "Mean / median:",
        "",
        "| cases | " + " | ".join(metric.label for metric in METRICS) + " | empty |",
        "|" + "---|" * (len(METRICS) + 2),
    ]
    for name in ("all", *recipes):
        some = rows if name == "all" else [row for row in rows if row["recipe"] == name]
        figures = [str(summarise(scores(some, metric), metric.digits)) for metric in METRICS]
        empty = sum(bool(row["empty"]) for row in some)
        lines.append(f"| {name}, {len(some)} | {' | '.join(figures)} | {empty} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(given.model / "cases.json", {"grid": config.grid.model_dump(mode="json"), "cases": kept})


if __name__ == "__main__":
    main()
