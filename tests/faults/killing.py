"""Jobs of a run in separate processes, forked from one that has imported all slow packages.

Jobs have no start-up time, so a random instant of their run time falls into their work.
"""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from calvaria import sources
from calvaria.config import load
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job
from calvaria.stages import STAGES
from calvaria.storage.paths import Run

PRELOADED = [
    "calvaria.stages.report",
    "calvaria.stages.evaluate",
    "calvaria.reconstruction.surfaces.known",
    "calvaria.reconstruction.coarse.training",
    "calvaria.families.vae.training",
    "calvaria.families.registration.template",
    "calvaria.families.real",
    "tests.faults.killing",
]
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")
}  # as Snakemake sets them


def all_jobs(run: Run) -> list[Job]:
    """Return the jobs of a run in order of execution."""
    config = load(run.config)
    return jobs(STAGES, run, config, len(sources.catalogue(config.ingest.sources)))


class Starter:
    """Starter of a run's jobs."""

    def __init__(self, run: Run) -> None:
        os.environ.update(ONE_THREAD)
        self.run, self.jobs = run, all_jobs(run)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def start(self, number: int, deadly_write: int = 0) -> "multiprocessing.process.BaseProcess":
        """Start a job that kills itself when its n-th file, if any, is written but not yet in place."""
        process = self._context.Process(target=work, args=(self.run.root, number, deadly_write))
        process.start()
        return process

    def finish(self, number: int) -> float:
        """Complete a job and return its seconds."""
        begun = time.monotonic()
        process = self.start(number)
        process.join()
        assert process.exitcode == 0, f"{self.jobs[number].name}: {log_of(self.run.root).read_text()[-4000:]}"
        return time.monotonic() - begun


def log_of(root: Path) -> Path:
    """Return the path of the log of all jobs of a run."""
    return root.with_suffix(".log")


def work(root: Path, number: int, deadly_write: int) -> None:
    """Run a job in a separate process."""
    log = os.open(log_of(root), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    if deadly_write:
        _die_in_write(deadly_write)
    run = Run(root)
    all_jobs(run)[number].run(run, load(run.config))


def _die_in_write(number: int) -> None:
    replace, count = Path.replace, 0

    def replace_or_die(path: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    Path.replace = replace_or_die  # type: ignore[method-assign]
