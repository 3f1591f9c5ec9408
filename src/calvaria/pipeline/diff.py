"""What differs between two finished runs, in words, and where it started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calvaria.config import Config, parse
from calvaria.pipeline.fingerprint import modules
from calvaria.pipeline.manifest import read_manifest
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job, Stage
from calvaria.storage.paths import Run

SHOWN = 5  # jobs that are named of a stage


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    manifest: dict[str, Any]
    config: Config
    made: dict[
        str, tuple[Job, list[str | None]]
    ]  # jobs by name in their order, with the sha256 of their files

    @classmethod
    def of(cls, stages: Sequence[Stage], run: Run) -> "Side":
        """What a finished run says of itself."""
        manifest = read_manifest(run)
        config = parse(manifest["config"], f"{run.manifest}: config")
        made = {}
        for job in jobs(stages, run, config, len(run.ingest)):
            if job.stage.is_data:
                names = [path.relative_to(run.root).as_posix() for path in job.outputs]
                made[job.name] = job, [manifest["files"].get(name) for name in names]
        return cls(manifest, config, made)


def diff(stages: Sequence[Stage], one: Run, other: Run) -> tuple[bool, list[str]]:
    """Compare two runs by their manifests.

    Returns:
        whether their data is the same, and what to say, a line each.

    Raises:
        StoreError: if one has no manifest, or a damaged one.
    """
    left, right = Side.of(stages, one), Side.of(stages, other)
    lines = _changes("config", left.manifest["config"], right.manifest["config"])
    lines += changes(left.manifest, right.manifest)
    if left.manifest["digest"] == right.manifest["digest"]:
        return True, [f"the data is the same: digest {left.manifest['digest']}", *lines]
    made = {**left.made, **right.made}
    order = sorted(made, key=lambda name: stages.index(made[name][0].stage))  # stable
    differing = [name for name in order if _shas(left, name) != _shas(right, name)]
    for stage in dict.fromkeys(made[name][0].stage for name in order):
        of_stage = [name for name in order if made[name][0].stage == stage]
        lines.append(
            _stage_line(stage.name, of_stage, [name for name in of_stage if name in differing], left, right)
        )
    return False, [*lines, _start(made[differing[0]][0], left, right)] if differing else lines


def changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """How code, package versions, hardware and precision of two manifests differ, a line each."""
    changed = _changed_modules(one, other)
    return [
        *_changes("code", *({**side["code"], "modules": None} for side in (one, other))),
        *([f"code.modules: {len(changed)} differ: {', '.join(changed)}"] if changed else []),
        *_changes("versions", one["versions"], other["versions"]),
        *_changes("hardware", one["hardware"], other["hardware"]),
        *_changes("precision", one["precision"], other["precision"]),
    ]


def _changed_modules(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    mine, theirs = one["code"]["modules"], other["code"]["modules"]
    return [name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]


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


def _shas(side: Side, name: str) -> list[str | None]:
    return side.made[name][1] if name in side.made else []


def _stage_line(stage: str, names: list[str], differing: list[str], left: Side, right: Side) -> str:
    if not differing:
        return f"{stage}: the same"
    shown = ", ".join(name + _only(name, left, right) for name in differing[:SHOWN])
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return f"{stage}: {len(differing)} of {len(names)} jobs differ: {shown}{more}"


def _only(name: str, left: Side, right: Side) -> str:
    if name not in right.made:
        return " (only in the first)"
    return "" if name in left.made else " (only in the second)"


def _start(job: Job, left: Side, right: Side) -> str:
    """Where it started: the first job that differs, and what of it may be the cause."""
    if only := _only(job.name, left, right):
        return f"first difference at {job.name}{only}"
    mine, theirs = (job.stage.reads(side.config, job.subject, job.number) for side in (left, right))
    used = {module for side in (left, right) for module in modules(side.config, job.stage, job.subject)}
    changed = _changed_modules(left.manifest, right.manifest)
    causes = [line.split(":")[0] for line in _changes("config", mine, theirs)]
    causes += [name for name in changed if name in used]
    for part in ("versions", "hardware", "precision"):
        causes += [line.split(":")[0] for line in _changes(part, left.manifest[part], right.manifest[part])]
    dependencies = ", ".join(causes) or "nothing recorded; check its sources and the machine"
    return f"first difference at {job.name}; changed dependencies: {dependencies}"
