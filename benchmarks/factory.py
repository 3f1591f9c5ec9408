"""What a data set takes: time, memory and bytes of the skulls and cases of a run of the preset `factory`.

    snakemake dataset --cores all --configfile workflow/presets/factory.yaml
    python benchmarks/factory.py > benchmarks/factory.md

Run it where snakemake ran; it reads Snakemake's records of the finished jobs. For the time of sampling,
screening and injection alone, make `results/factory/fit/*/fit.json` first.
"""

import argparse
import json
import sys
from pathlib import Path

from environment import header

from calvaria.config import load
from calvaria.pipeline.manifest import digest, sha256
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job
from calvaria.pipeline.status import snakemake_records
from calvaria.report.tables import costs
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.utils.progress import duration

MADE = ("sample", "screen", "inject")


def wall_s(made: list[Job]) -> float:
    """Return the seconds from the start of the first job to the end of the last, recorded by Snakemake."""
    outputs = {str(path) for job in made for path in job.outputs}
    found = [
        json.loads(record.read_text(encoding="utf-8"))
        for record, name in snakemake_records(Path(".snakemake/metadata"))
        if name in outputs
    ]
    if len(found) != len(outputs):
        sys.exit(f"{len(found)} of {len(outputs)} outputs have a record; run this where snakemake ran")
    return float(max(one["endtime"] for one in found) - min(one["starttime"] for one in found))


def size(path: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("results/factory"))
    arguments = parser.parse_args()
    run, config = Run(arguments.run), load(Run(arguments.run).config)
    families = [name for name, family in config.fit.items() if not family.is_real]
    every = [
        job
        for job in jobs(STAGES, run, config, len(run.ingest))
        if job.stage.name in MADE and job.subject in families
    ]
    print(header("A data set at 1.5 mm", "python benchmarks/factory.py"))
    grid, count = config.grid.voxels(), config.sample.count
    print(
        f"\nPreset `factory`: grid {grid.shape} at {grid.spacing_mm} mm, {count:,} screened skulls and "
        f"{count * config.inject.per_skull:,} cases of each of {len(families)} families.\n\n"
        f"{len(every)} jobs, from the start of the first to the end of the last: "
        f"**{duration(wall_s(every))}**.\n"
    )
    print("| stage | jobs | CPU | largest job, MB |\n|---|---|---|---|")
    for cost in costs(run.root / "benchmarks", [stage.name for stage in STAGES]):
        print(f"| {cost.stage} | {cost.jobs} | {cost.cpu_time} | {cost.memory_mb or 0:.0f} |")
    print("\n| family | skulls | draws rejected | bytes a skull | cases | bytes a case |")
    print("|---|---|---|---|---|---|")
    for name in families:
        skulls, cases = run.screen(name), run.inject(name)
        rows = skulls.rows()
        rejected = sum(len(row["rejections"]) for row in rows)
        each = size(skulls.path) / len(rows), size(cases.path) / len(cases)
        print(f"| {name} | {len(rows):,} | {rejected} | {each[0]:,.0f} | {len(cases):,} | {each[1]:,.0f} |")
    files = {path.relative_to(run.root).as_posix(): sha256(path) for job in every for path in job.outputs}
    print(f"\nDigest of the {len(files)} files of these skulls and cases: `{digest(files)}`.")


if __name__ == "__main__":
    main()
