"""What a run will take, before it is started: jobs, hours, gigabytes."""

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
    """What the jobs of one stage will take."""

    stage: str
    jobs: int
    seconds: float  # of one core, all jobs together
    longest_s: float
    bytes: float


@dataclass(frozen=True)
class Estimate:
    """What a run will take."""

    stages: tuple[StageEstimate, ...]
    unknown: tuple[str, ...] = ()  # lines about plugins that do not state their costs

    @property
    def jobs(self) -> int:
        return sum(stage.jobs for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Of one core."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def bytes(self) -> float:
        return sum(stage.bytes for stage in self.stages)

    def wall_s(self, cores: int) -> float:
        """Seconds on so many cores.

        What a scheduler that leaves no core idle needs at most: an even share of the work, and the rest of a
        chain of jobs that holds the others up (Graham 1966). The chain is the longest job of every stage.
        """
        chain = sum(stage.longest_s for stage in self.stages)
        return self.seconds / cores + chain * (1 - 1 / cores)


def estimate(stages: Sequence[Stage], config: Config, skulls: Sequence[Source]) -> Estimate:
    """Estimate a run on skulls of these sources, one per skull."""
    sizes = costs.sizes(config, skulls)
    of_stage: dict[str, list[Job]] = {stage.name: [] for stage in stages}
    for job in jobs(stages, Run(Path("results") / config.name), config, len(skulls)):
        of_stage[job.stage.name].append(job)
    rows = [_stage(name, some, config, sizes) for name, some in of_stage.items() if some]
    return Estimate(tuple(rows), tuple(costs.unknown(config, sizes)))


def _stage(name: str, some: Sequence[Job], config: Config, sizes: costs.Sizes) -> StageEstimate:
    each = [job.stage.cost(job, config, sizes) for job in some]
    seconds = [cost.seconds for cost in each]
    return StageEstimate(name, len(some), sum(seconds), max(seconds), sum(cost.bytes for cost in each))


def skull_sources(config: Config) -> list[Source]:
    """The source of every skull.

    Raises:
        InputError: if a source cannot be listed.
    """
    return [config.ingest.sources[entry.source] for entry in sources.catalogue(config.ingest.sources)]


def text(found: Estimate, cores: int | None = None) -> str:
    """For people: a table, and the hours on one core and on so many."""
    cores = cores or os.cpu_count() or 1
    lines = [f"{'stage':<10}{'jobs':>6}{'core time':>12}{'longest job':>13}{'GB':>9}"]
    for row in (*found.stages, StageEstimate("all", found.jobs, found.seconds, 0, found.bytes)):
        longest = duration(row.longest_s) if row.longest_s else ""
        lines.append(
            f"{row.stage:<10}{row.jobs:>6}{duration(row.seconds):>12}{longest:>13}{row.bytes / 1e9:>9.2f}"
        )
    several = sorted({1, cores})
    lines.append("")
    lines += [f"{duration(found.wall_s(n))} on {n} core{'s' * (n > 1)}" for n in several]
    lines.append("")
    lines += found.unknown
    lines.append(
        "Measured on one core of a virtual machine and scaled; right to a factor of two where it was checked "
        "(benchmarks/estimate.md). With a GPU: not measured."
    )
    return "\n".join(lines)
