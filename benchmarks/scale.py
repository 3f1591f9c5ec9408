"""Scaling: planning 100,000 samples, their cost on many nodes, and two cores compared with one.

    python benchmarks/scale.py > benchmarks/scale.md

The plan is the dry run of `benchmarks/scale_plan.yaml` on 75 skulls, whose files are empty since none is
opened. Times on many nodes are those of `calvaria estimate`. Two cores are compared with one on jobs of
`benchmarks/scale.yaml`, timed by Snakemake from the start of the first to the end of the last; the machine
must be idle.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from environment import header

from calvaria.config import Config, load
from calvaria.pipeline.estimate import estimate
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job
from calvaria.pipeline.status import snakemake_records
from calvaria.sources.folder import FolderSource
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from calvaria.utils.progress import duration

ROOT = Path(__file__).parents[1]
PLAN = ROOT / "benchmarks" / "scale_plan.yaml"
TIMED = ROOT / "benchmarks" / "scale.yaml"
SKULLS, CORES_PER_NODE = 75, 8


def snakemake(where: Path, *arguments: str | Path) -> str:
    """Run Snakemake in a directory and return its output."""
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", where, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def planning(config: Config, where: Path, times: int = 3) -> str:
    """Return the time and memory of the dry run, and the number of jobs."""
    others = os.getloadavg()[0]
    folder = where / config.ingest.sources["skullfix"].path
    folder.mkdir(parents=True)
    for number in range(SKULLS):
        (folder / f"{number:03d}.nii.gz").touch()
    took, busy = [], []
    for _ in range(times):
        began, before = time.perf_counter(), os.times()
        said = snakemake(where, "--dry-run", "--configfile", PLAN)
        took.append(time.perf_counter() - began)
        after = os.times()
        busy.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    (total,) = {line.split()[1] for line in said.splitlines() if line.startswith("total ")}
    synthetic = sum(config.sample.count for family in config.fit.values() if not family.is_real)
    return (
        f"{synthetic:,} synthetic skulls of {SKULLS} real ones, and as many cases: {total} jobs, planned in "
        f"{median(took):.1f} s (median of {times}; {min(took):.1f} to {max(took):.1f} s), of which the "
        f"processor works {median(busy):.1f} s. Load of the machine before: {others:.1f}."
    )


def nodes(config: Config) -> list[str]:
    """Format the cost of the plan as a table."""
    found = estimate(STAGES, config, [FolderSource(kind="folder", path=Path())] * SKULLS)
    lines = ["| stage | jobs | core hours | longest job | GB |", "|---|---|---|---|---|"]
    for row in found.stages:
        lines.append(
            f"| {row.stage} | {row.jobs} | {row.seconds / 3600:.2f} | {duration(row.longest_s)} | "
            f"{row.bytes / 1e9:.2f} |"
        )
    lines += [f"| all | {found.jobs} | {found.seconds / 3600:.1f} | | {found.bytes / 1e9:.1f} |", ""]
    lines += [f"| nodes of {CORES_PER_NODE} cores | hours | drawing, screening and cutting alone |"]
    lines += ["|---|---|---|"]
    for count in (1, 10, 100):
        cores = count * CORES_PER_NODE
        making = [row for row in found.stages if row.stage in ("sample", "screen", "inject")]
        alone = type(found)(tuple(making))
        lines.append(f"| {count} | {found.wall_s(cores) / 3600:.2f} | {alone.wall_s(cores) / 3600:.2f} |")
    return lines


def span(where: Path, some: list[Job]) -> float:
    """Return the seconds from the start of the first job to the end of the last, recorded by Snakemake."""
    outputs = {str(path) for job in some for path in job.outputs}
    times = []
    for record, name in snakemake_records(where / ".snakemake" / "metadata"):
        if name in outputs:
            content = json.loads(record.read_text(encoding="utf-8"))
            times.append((content["starttime"], content["endtime"]))
    if len(times) != len(outputs):
        sys.exit(f"{len(times)} of {len(outputs)} outputs have a record")
    return max(end for _, end in times) - min(start for start, _ in times)


def speed_up(where: Path, rounds: int) -> list[str]:
    """Return the table of one core compared with two, measured in turns."""
    config = load(TIMED)
    run = Run(Path("results") / config.name)
    all_jobs = jobs(STAGES, run, config, 8)
    of = {
        stage: [job for job in all_jobs if job.stage.name == stage]
        for stage in ("sample", "screen", "inject")
    }
    of["inject"] = [job for job in of["inject"] if job.subject in config.fit]
    targets = {stage: [job.outputs[0] for job in some] for stage, some in of.items()}
    took: dict[tuple[str, int], list[float]] = {}

    def make(stage: str, cores: int) -> None:
        snakemake(where, "--configfile", TIMED, "--cores", str(cores), *targets[stage])

    make("screen", 2)
    for _ in range(rounds):
        for cores in (1, 2):
            for stage in ("sample", "inject"):
                shutil.rmtree(where / run.root / stage, ignore_errors=True)
                make(stage, cores)
                took.setdefault((stage, cores), []).append(span(where, of[stage]))
                make("screen", 2)  # otherwise it would be made during the next timing
    lines = [
        f"| stage | jobs | one core | two cores | times as fast (median of {rounds} rounds, and each) |",
        "|---|---|---|---|---|",
    ]
    for stage in ("sample", "inject"):
        one, two = took[stage, 1], took[stage, 2]
        ratios = [a / b for a, b in zip(one, two, strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(
            f"| {stage} | {len(of[stage])} | {median(one):.1f} s | {median(two):.1f} s | "
            f"{median(ratios):.2f} ({each}) |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of one core and two; 0 leaves that out")
    arguments = parser.parse_args()
    config = load(PLAN)
    print(header("Scale", "python benchmarks/scale.py"))
    with tempfile.TemporaryDirectory() as scratch:
        print("\n## Planning\n")
        print(planning(config, Path(scratch) / "plan"))
        print("\n## On many nodes\n")
        print("By `calvaria estimate`, from what jobs were measured to cost on one core without a GPU.")
        print("One job does not become faster with more nodes: with many the longest chain of jobs counts.\n")
        print("\n".join(nodes(config)))
        if arguments.rounds:
            print("\n## Two cores against one\n")
            load_before = os.getloadavg()[0]
            table = speed_up(Path(scratch) / "timed", arguments.rounds)
            print(
                f"Load of the machine before: {load_before:.1f}; these figures count if that is near zero.\n"
            )
            print("\n".join(table))


if __name__ == "__main__":
    main()
