"""Estimate of a run's cost before it starts: jobs, hours, gigabytes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calvaria import sources
from calvaria.config import Config
from calvaria.pipeline import costs
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job, Stage
from calvaria.plugins.source import Source
from calvaria.storage.paths import Run
from calvaria.utils.progress import duration


@dataclass(frozen=True)
class StageEstimate:
    """Estimated cost of one stage."""

    stage: str
    jobs: int
    seconds: float  # core seconds of all jobs together
    longest_s: float
    bytes: float


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a run."""

    stages: tuple[StageEstimate, ...]
    unknown: tuple[str, ...] = ()  # lines about plugins that do not state their costs

    @property
    def jobs(self) -> int:
        return sum(stage.jobs for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Total core seconds."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def bytes(self) -> float:
        return sum(stage.bytes for stage in self.stages)

    def wall_s(self, cores: int) -> float:
        """Return an upper bound of the seconds on a number of cores.

        It is that of a scheduler without idle cores (Graham 1966): an even share of the work plus the rest of
        the critical path, which consists of the longest job of every stage.
        """
        chain = sum(stage.longest_s for stage in self.stages)
        return self.seconds / cores + chain * (1 - 1 / cores)


def estimate(stages: Sequence[Stage], config: Config, skulls: Sequence[Source]) -> Estimate:
    """Estimate a run on skulls of these sources, one per skull."""
    sizes = costs.sizes(config, skulls)
    of_stage: dict[str, list[Job]] = {stage.name: [] for stage in stages}
    for job in jobs(stages, Run(Path("results") / config.run_name), config, len(skulls)):
        of_stage[job.stage.name].append(job)
    rows = [_stage(name, some, config, sizes) for name, some in of_stage.items() if some]
    return Estimate(tuple(rows), tuple(costs.unknown(config, sizes)))


def _stage(name: str, some: Sequence[Job], config: Config, sizes: costs.Sizes) -> StageEstimate:
    each = [job.stage.cost(job, config, sizes) for job in some]
    seconds = [cost.seconds for cost in each]
    return StageEstimate(name, len(some), sum(seconds), max(seconds), sum(cost.bytes for cost in each))


def skull_sources(config: Config) -> list[Source]:
    """Return the source of every skull.

    Raises:
        InputError: if a source cannot be listed.
    """
    return [config.ingest.sources[entry.source] for entry in sources.catalogue(config.ingest.sources)]


def text(estimated: Estimate, cores: int | None = None) -> str:
    """Format an estimate as a table, with the time on one core and on ``cores``."""
    cores = cores or os.cpu_count() or 1
    lines = [f"{'stage':<10}{'jobs':>6}{'core time':>12}{'longest job':>13}{'GB':>9}"]
    for row in (
        *estimated.stages,
        StageEstimate("all", estimated.jobs, estimated.seconds, 0, estimated.bytes),
    ):
        longest = duration(row.longest_s) if row.longest_s else ""
        lines.append(
            f"{row.stage:<10}{row.jobs:>6}{duration(row.seconds):>12}{longest:>13}{row.bytes / 1e9:>9.2f}"
        )
    several = sorted({1, cores})
    lines.append("")
    lines += [f"{duration(estimated.wall_s(n))} on {n} core{'s' * (n > 1)}" for n in several]
    lines.append("")
    lines += estimated.unknown
    lines.append(
        "Scaled from measurements on one core of a virtual machine; within a factor of two where checked "
        "(benchmarks/estimate.md). GPUs were not measured."
    )
    return "\n".join(lines)
