"""Comparison of two finished runs: their differences, and the first job that differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calvaria.config import Config, parse
from calvaria.pipeline.fingerprint import modules
from calvaria.pipeline.manifest import read_manifest
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job, Stage
from calvaria.storage.paths import Run

SHOWN = 5  # maximum number of jobs of a stage that are listed by name


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    manifest: dict[str, Any]
    config: Config
    jobs: dict[str, tuple[Job, list[str | None]]]  # by name, in order, with the sha256 of their files

    @classmethod
    def of(cls, stages: Sequence[Stage], run: Run) -> "Side":
        """Read a finished run."""
        manifest = read_manifest(run)
        config = parse(manifest["config"], f"{run.manifest}: config")
        jobs_of = {}
        for job in jobs(stages, run, config, len(run.ingest)):
            if job.stage.is_data:
                names = [path.relative_to(run.root).as_posix() for path in job.outputs]
                jobs_of[job.name] = job, [manifest["files"].get(name) for name in names]
        return cls(manifest, config, jobs_of)


def diff(stages: Sequence[Stage], one: Run, other: Run) -> tuple[bool, list[str]]:
    """Compare two runs by their manifests.

    Returns:
        whether their data is the same, and the differences, one line each.

    Raises:
        StoreError: if the manifest of a run is missing or damaged.
    """
    left, right = Side.of(stages, one), Side.of(stages, other)
    lines = _changes("config", left.manifest["config"], right.manifest["config"])
    lines += changes(left.manifest, right.manifest)
    if left.manifest["digest"] == right.manifest["digest"]:
        return True, [f"the data is the same: digest {left.manifest['digest']}", *lines]
    every = {**left.jobs, **right.jobs}
    order = sorted(every, key=lambda name: stages.index(every[name][0].stage))  # stable
    differing = [name for name in order if _shas(left, name) != _shas(right, name)]
    for stage in dict.fromkeys(every[name][0].stage for name in order):
        of_stage = [name for name in order if every[name][0].stage == stage]
        lines.append(
            _stage_line(stage.name, of_stage, [name for name in of_stage if name in differing], left, right)
        )
    return False, [*lines, _start(every[differing[0]][0], left, right)] if differing else lines


def changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the differences of code, versions, hardware and precision of two manifests, one line each."""
    changed = _changed_modules(one, other)
    return [
        *_changes("code", *({**side["code"], "modules": None} for side in (one, other))),
        *([f"code.modules: {len(changed)} differ: {', '.join(changed)}"] if changed else []),
        *_changes("versions", one["versions"], other["versions"]),
        *_changes("hardware", one["hardware"], other["hardware"]),
        *_changes("precision", one["precision"], other["precision"]),
    ]


def _changed_modules(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    left, right = one["code"]["modules"], other["code"]["modules"]
    return [name for name in sorted({*left, *right}) if left.get(name) != right.get(name)]


def _changes(part: str, one: Any, other: Any) -> list[str]:
    """Return one line for every value that differs."""
    left, right = _flat(one, part), _flat(other, part)
    return [
        f"{key}: {left.get(key, 'missing')} -> {right.get(key, 'missing')}"
        for key in dict.fromkeys([*left, *right])
        if left.get(key) != right.get(key) or (key in left) != (key in right)
    ]


def _flat(value: Any, prefix: str) -> dict[str, Any]:
    """Return every leaf of nested mappings by its dotted key."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}.{name}").items()
    }


def _shas(side: Side, name: str) -> list[str | None]:
    return side.jobs[name][1] if name in side.jobs else []


def _stage_line(stage: str, names: list[str], differing: list[str], left: Side, right: Side) -> str:
    if not differing:
        return f"{stage}: the same"
    shown = ", ".join(name + _only(name, left, right) for name in differing[:SHOWN])
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return f"{stage}: {len(differing)} of {len(names)} jobs differ: {shown}{more}"


def _only(name: str, left: Side, right: Side) -> str:
    if name not in right.jobs:
        return " (only in the first)"
    return "" if name in left.jobs else " (only in the second)"


def _start(job: Job, left: Side, right: Side) -> str:
    """Describe the first job that differs, and which of its dependencies have changed."""
    if only := _only(job.name, left, right):
        return f"first difference at {job.name}{only}"
    sections = [job.stage.reads(side.config, job.subject, job.number) for side in (left, right)]
    used = {module for side in (left, right) for module in modules(side.config, job.stage, job.subject)}
    changed = _changed_modules(left.manifest, right.manifest)
    causes = [line.split(":")[0] for line in _changes("config", *sections)]
    causes += [name for name in changed if name in used]
    for part in ("versions", "hardware", "precision"):
        causes += [line.split(":")[0] for line in _changes(part, left.manifest[part], right.manifest[part])]
    dependencies = ", ".join(causes) or "nothing recorded; check its sources and the machine"
    return f"first difference at {job.name}; changed dependencies: {dependencies}"
