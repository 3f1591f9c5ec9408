"""Accuracy of `calvaria estimate` compared with finished runs, stage by stage.

    python benchmarks/estimate.py RUN... > benchmarks/estimate.md

Each RUN is the directory of a run with Snakemake's benchmark files. The time of a job is its CPU time if
longer than a minute, else its wall time, since Snakemake samples CPU times every 30 seconds.
"""

import csv
import sys
from collections import Counter
from pathlib import Path

from environment import header

from calvaria.config import load
from calvaria.pipeline import costs
from calvaria.pipeline.estimate import skull_sources
from calvaria.pipeline.plan import jobs
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.utils.progress import duration

LONG_S = 60.0


def took(benchmark: Path) -> float:
    """Return the seconds of a job."""
    with benchmark.open(encoding="utf-8") as file:
        row = next(csv.DictReader(file, delimiter="\t"))
    return float(row["cpu_time"]) if float(row["s"]) > LONG_S else float(row["s"])


def compare(root: Path) -> list[str]:
    """Format a table of one run, without jobs that were not measured or whose result is missing."""
    run = Run(root)
    config = load(run.config)
    skulls = skull_sources(config)
    sizes = costs.sizes(config, skulls)
    measured, estimated, counted = Counter(), Counter(), Counter()
    for job in jobs(STAGES, run, config, len(skulls)):
        file = run.benchmark(job.name)
        if file.is_file() and all(path.is_file() for path in job.outputs):
            measured[job.stage.name] += took(file)
            estimated[job.stage.name] += job.stage.cost(job, config, sizes).seconds
            counted[job.stage.name] += 1
    lines = [
        f"## {config.name}",
        "",
        "| stage | jobs | measured | estimated | estimated / measured |",
        "|---|---|---|---|---|",
    ]
    names = [stage.name for stage in STAGES if counted[stage.name]]
    rows = [(name, counted[name], measured[name], estimated[name]) for name in names]
    rows.append(("all", counted.total(), measured.total(), estimated.total()))
    for stage, count, one, other in rows:
        lines.append(f"| {stage} | {count} | {duration(one)} | {duration(other)} | {other / one:.2f} |")
    return [*lines, ""]


if __name__ == "__main__":
    print(header("What runs took, and what `calvaria estimate` says", "python benchmarks/estimate.py RUN..."))
    print(
        "\nTime of one core. The costs were fitted to the demo and to SkullFix, so these show that one "
        "model fits both, not how well it foretells others.\n"
    )
    for root in sys.argv[1:]:
        print("\n".join(compare(Path(root))))
