"""Table of the arms of a finished run, scored on held-out people.

    snakemake --cores all --configfile workflow/presets/skullfix.yaml
    python benchmarks/reconstruction.py --run results/skullfix

The figures are read from the run (``evaluate/ARM.zarr``), the times from Snakemake's benchmark files.
"""

import argparse
import shutil
import sys
from pathlib import Path

from environment import header

from calvaria.config import load
from calvaria.metrics.comparison import compare_arms, curves, interval, single
from calvaria.report.tables import (
    DSC,
    METRICS,
    by_recipe,
    comparison_table,
    interval_text,
    number,
    scores,
    summarise,
)
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json

OTHERS = """\
What others report, each on a split of its own, DSC / bDSC / HD95 in mm:

| | SkullFix | SkullBreak |
|---|---|---|
| U-Net | 0.91 / 0.95 / 1.79 | 0.87 / 0.91 / 2.32 |
| point-cloud diffusion | 0.90 / 0.93 / 1.69 | 0.87 / 0.89 / 2.45 |
| Wodzinski et al. 2024, best | above 0.96 | above 0.94 |

Their test defects are the challenges'. Of ours, those of class `own` are SkullFix's; the others are cut by
our own recipes into the same skulls."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    run = Run(given.run)
    config = load(run.config)
    rows_of = {arm: run.evaluate(arm).rows() for arm in config.train.arms}
    first = next(iter(rows_of.values()))
    recipes = list(dict.fromkeys(row["recipe"] for row in first))
    split = {cohort: len(members) for cohort, members in read_json(run.split).items()}
    cases = len({row["case"] for row in first})
    lines = [
        header("Reconstruction: which augmentation helped", "python " + " ".join(sys.argv)),
        "",
        f"Skulls of {split['training']} training, {split['validation']} validation and {split['test']} test "
        f"scans, no person in two of them; {cases} test cases; {config.train.seeds} networks an arm, each of "
        f"{config.train.optimiser.steps} steps of {config.train.optimiser.batch_size} cases; grid "
        f"{config.grid.shape} at {config.grid.spacing_mm} mm, then a finer one; scored on the scans' own "
        f"grids. The config is `{given.out.with_suffix('.yaml').name}`, the digest of the run's data "
        f"`{read_json(run.manifest)['digest']}`.",
        "",
        "Mean / median over all cases and networks; the interval is a bootstrap's over people, of mean DSC.",
        "",
        "| arm | "
        + " | ".join(metric.label for metric in METRICS)
        + " | 95 % interval | DSC on the run's grid | empty | training, s |",
        "|" + "---|" * (len(METRICS) + 5),
    ]
    for arm, rows in rows_of.items():
        alone = single(rows)
        figures = [str(summarise(scores(alone, metric), metric.digits)) for metric in METRICS]
        sure = interval_text(interval(rows, DSC.key, config.seed), DSC.digits)
        coarse = summarise([float(row["grid"][DSC.key]) for row in alone], DSC.digits)
        empty = sum(bool(row["empty"]) for row in alone)
        spent = seconds(run, arm, config.train.seeds)
        lines.append(f"| {arm} | {' | '.join(figures)} | {sure} | {coarse} | {empty} | {spent:.0f} |")
    lines += ["", "DSC by class of defect, mean / median:", "", "| arm | " + " | ".join(recipes) + " |"]
    lines.append("|" + "---|" * (len(recipes) + 1))
    for arm, rows in rows_of.items():
        found = [str(score) if score else number(None, 0) for score in by_recipe(single(rows), recipes)]
        lines.append(f"| {arm} | {' | '.join(found)} |")
    on_grid = {arm: [{**row, **row["grid"]} for row in rows] for arm, rows in rows_of.items()}
    baselines = config.report.baselines or tuple(config.train.arms)[:1]
    for where, some in (("on the scans' own grids", rows_of), ("on the run's grid", on_grid)):
        lines += [
            "",
            f"DSC {where} of every arm less that of a baseline, person by person: mean with its interval, "
            "effect size (rank-biserial correlation), p-value (Wilcoxon, Holm's correction over all).",
            "",
            "| arm | against | difference | effect | p | |",
            "|---|---|---|---|---|---|",
        ]
        for row in comparison_table(compare_arms(some, baselines, config.seed)):
            cells = (row.arm, row.baseline, row.difference, row.effect, row.p_value, row.verdict)
            lines.append(f"| {' | '.join(cells)} |")
    for name, arms in curves(config.train.arms).items():
        lines += [
            "",
            f"How many synthetic skulls are enough, `{name}`:",
            "",
            "| skulls a family | DSC | interval | DSC on the run's grid | interval |",
            "|---|---|---|---|---|",
        ]
        for arm in arms:
            count = config.train.arms[arm].samples or config.sample.count
            cells = [str(count)]
            for some in (rows_of, on_grid):
                found = interval(some[arm], DSC.key, config.seed)
                cells += [number(found.mean, DSC.digits), interval_text(found, DSC.digits)]
            lines.append(f"| {' | '.join(cells)} |")
    given.out.write_text("\n".join([*lines, "", OTHERS]) + "\n", encoding="utf-8")
    shutil.copyfile(run.config, given.out.with_suffix(".yaml"))


def seconds(run: Run, arm: str, networks: int) -> float:
    """Return the CPU seconds of training all networks of an arm."""
    total = 0.0
    for seed in range(networks):
        names, row = (run.root / "benchmarks" / "train" / arm / f"{seed}.tsv").read_text().splitlines()
        total += float(dict(zip(names.split("\t"), row.split("\t"), strict=True))["cpu_time"])
    return total


if __name__ == "__main__":
    main()
