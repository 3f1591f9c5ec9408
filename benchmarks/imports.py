"""Imports of a run's commands: modules and CPU time, before and after a change.

    python benchmarks/imports.py RUN --before OTHER/src --families real vae ldm > benchmarks/imports.md

Every command is run again on a copy of a finished run, in a separate process, with the sources in OTHER/src
and with those of this checkout in turn. The CPU time of imports is that between the start and the end of
each first import; the time of a package excludes its imports from other packages.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from environment import header

ROOT = Path(__file__).parents[1]
SHOWN = 4  # packages per command
# Runs a command in this process and writes its imports to the file named by the first argument.
MEASURE = """
import importlib._bootstrap as bootstrap, json, sys, time
find_and_load, children, packages, total = bootstrap._find_and_load, [0.0], {}, 0.0

def timed(name, import_):
    began = time.process_time()
    children.append(0.0)
    try:
        return find_and_load(name, import_)
    finally:
        took = time.process_time() - began
        package = name.partition(".")[0]
        packages[package] = packages.get(package, 0.0) + took - children.pop()
        children[-1] += took

bootstrap._find_and_load = timed
target = sys.argv.pop(1)
from calvaria.cli import main
try:
    main()
finally:
    found = {"modules": len(sys.modules), "imports": children[0], "whole": time.process_time()}
    with open(target, "w") as file:
        json.dump(found | {"packages": packages}, file)
"""


@dataclass(frozen=True)
class Imports:
    """Imports of a command."""

    modules: int
    imports: float  # CPU seconds
    whole: float  # CPU seconds of the process
    packages: dict[str, float]  # CPU seconds by package


def commands(root: Path, families: Sequence[str]) -> Iterator[list[str]]:
    """Yield the first job of every stage; of stages with a job per family, one for each given family."""
    from calvaria.config import load
    from calvaria.pipeline.plan import jobs
    from calvaria.stages import STAGES
    from calvaria.storage.paths import Run

    run = Run(root)
    config = load(run.config)
    done: set[tuple[str, str]] = set()
    for job in jobs(STAGES, run, config, len(run.ingest)):
        key, number = job.stage.key, job.stage.number
        family = job.subject if key and key.option == "family" else ""
        if (job.stage.name, family) in done or (family and family not in families):
            continue
        done.add((job.stage.name, family))
        named = [f"--{key.option}", job.subject] if key else []
        yield [job.stage.name, *named, *([f"--{number.option}", str(job.number)] if number else [])]


def measure(command: list[str], run: Path, source: Path) -> Imports:
    """Run a command on a copy of a run, with the sources in a given folder."""
    with tempfile.TemporaryDirectory() as scratch:
        copy, target = Path(scratch) / "run", Path(scratch) / "imports.json"
        shutil.copytree(run, copy)
        if command[0] in ("fit", "train"):  # otherwise nothing is left to train
            shutil.rmtree(copy / command[0] / command[2])
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        process = [sys.executable, "-c", MEASURE, str(target), *command, "--run", str(copy)]
        subprocess.run(process, env=environment, capture_output=True, check=True)
        return Imports(**json.loads(target.read_text()))


def row(command: list[str], before: Imports, after: Imports) -> str:
    """Format a row of the table."""
    heaviest = sorted(after.packages, key=lambda name: -after.packages[name])[:SHOWN]
    listed = ", ".join(f"{name} {after.packages[name]:.2f}" for name in heaviest)
    figures = [
        f"{before.modules:,}",
        f"{after.modules:,}",
        f"{before.imports:.1f}",
        f"{after.imports:.1f}",
        f"{before.whole:.1f}",
        f"{after.whole:.1f}",
    ]
    name = " ".join(word for word in command if not word.startswith("--") and not word.isdigit())
    return f"| {name} | {' | '.join(figures)} | {listed} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--families", nargs="+", required=True)
    given = parser.parse_args()
    call = f"python benchmarks/imports.py RUN --before OTHER/src --families {' '.join(given.families)}"
    print(header("Imports of the commands of a run", call), end="\n\n")
    columns = (
        "modules before | after | imports before, s | after | whole before, s | after | heaviest after, s"
    )
    print(f"| command | {columns} |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for command in commands(given.run, given.families):
        before, after = (measure(command, given.run, source) for source in (given.before, ROOT / "src"))
        print(row(command, before, after), flush=True)


if __name__ == "__main__":
    main()
