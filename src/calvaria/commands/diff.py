"""What differs between two finished runs, in words, and where it started."""

from dataclasses import dataclass
from typing import Any

from calvaria.config import Config, parse
from calvaria.identity import sections
from calvaria.jobs import Job, jobs
from calvaria.manifest import NOT_DATA, read_manifest
from calvaria.paths import Run

SHOWN = 5  # jobs that are named of a stage


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    run: Run
    manifest: dict[str, Any]
    config: Config

    @classmethod
    def of(cls, run: Run) -> "Side":
        """What a finished run says of itself."""
        manifest = read_manifest(run)
        return cls(run, manifest, parse(manifest["config"], f"{run.manifest}: config"))

    def made(self) -> dict[str, tuple[Job, list[str | None]]]:
        """The jobs by name in their order, each with the sha256 of its files."""
        found = {}
        for job in jobs(self.run, self.config, len(self.run.ingest)):
            if job.stage not in NOT_DATA:
                names = [path.relative_to(self.run.root).as_posix() for path in job.outputs]
                found[job.name] = job, [self.manifest["files"].get(name) for name in names]
        return found


def diff(one: Run, other: Run) -> tuple[bool, list[str]]:
    """Compares two runs by their manifests.

    Returns:
        whether their data is the same, and what to say, a line each.

    Raises:
        StoreError: if one has no manifest, or a damaged one.
    """
    left, right = Side.of(one), Side.of(other)
    lines = [
        line
        for part in ("config", "code", "versions", "hardware")
        for line in _changes(part, left.manifest[part], right.manifest[part])
    ]
    if left.manifest["digest"] == right.manifest["digest"]:
        return True, [f"the data is the same: digest {left.manifest['digest']}", *lines]
    mine, theirs = left.made(), right.made()
    differing = [name for name in mine if name not in theirs or mine[name][1] != theirs[name][1]]
    differing += [name for name in theirs if name not in mine]
    order = [*mine, *(name for name in theirs if name not in mine)]
    for stage in dict.fromkeys(name.split("/")[0] for name in order):
        of_stage = [name for name in order if name.split("/")[0] == stage]
        lines.append(_told(stage, of_stage, differing, mine, theirs))
    first = next((name for name in order if name in differing and name in mine and name in theirs), None)
    return False, [*lines, *([_start(mine[first][0], left, right)] if first else [])]


def _changes(part: str, one: Any, other: Any) -> list[str]:
    """A line for every value that differs."""
    mine, theirs = _flat(one, part), _flat(other, part)
    return [
        f"{key}: {mine.get(key, 'not there')} -> {theirs.get(key, 'not there')}"
        for key in dict.fromkeys([*mine, *theirs])
        if mine.get(key) != theirs.get(key) or (key in mine) != (key in theirs)
    ]


def _flat(value: Any, prefix: str) -> dict[str, Any]:
    """Every leaf of nested mappings by its dotted key."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}.{name}").items()
    }


def _told(stage: str, names: list[str], differing: list[str], mine: Any, theirs: Any) -> str:
    changed = [name for name in names if name in differing]
    if not changed:
        return f"{stage}: the same"
    only = {name: " (only in the first)" for name in mine if name not in theirs}
    only |= {name: " (only in the second)" for name in theirs if name not in mine}
    shown = ", ".join(name + only.get(name, "") for name in changed[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return f"{stage}: {len(changed)} of {len(names)} jobs differ: {shown}{more}"


def _start(job: Job, left: Side, right: Side) -> str:
    """Where it started: the first job that differs, and what of it may be the cause."""
    name = str(job.arguments[0]) if job.arguments and isinstance(job.arguments[0], str) else ""
    mine, theirs = (sections(side.config, job.stage, name, 0) for side in (left, right))
    causes = [line.split(":")[0] for line in _changes("config", mine, theirs)]
    for part in ("code", "versions", "hardware"):
        causes += [line.split(":")[0] for line in _changes(part, left.manifest[part], right.manifest[part])]
    told = ", ".join(causes) or "nothing that is recorded: look at its sources, and at faults of the machine"
    return f"it started at {job.name}; what it depends on and differs: {told}"
