"""Status of a run's jobs: done, running, failed or left.

The status is derived from files and processes, since a record could be wrong after a kill. A job is

===========  =======================================================================================
done         if all its outputs exist, and Snakemake has not marked one as incomplete
running      if a process of this machine works on it
submitted    if Snakemake has submitted it to a cluster and it has not ended
interrupted  if it was started and ended without a message: killed, out of memory, out of time
failed       if it was started and its log ends with an error
left         otherwise
===========  =======================================================================================

``snakemake --dry-run`` shows which finished jobs a change of config or code would re-run.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from calvaria import sources
from calvaria.config import Config
from calvaria.pipeline import costs
from calvaria.pipeline.plan import jobs
from calvaria.pipeline.stage import Job, Stage
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json
from calvaria.utils.progress import duration

STATES = ("done", "running", "submitted", "interrupted", "failed", "left")
TAIL_BYTES = 4096
SHOWN = 6  # maximum number of names per line

Key = tuple[str, str, int]  # stage, subject, number


@dataclass(frozen=True)
class JobStatus:
    """State of one job."""

    job: Job
    state: str  # one of STATES
    message: str = ""  # the last line of its log, or its cluster job id
    log: Path | None = None


def status(stages: Sequence[Stage], run: Run, config: Config) -> list[JobStatus]:
    """Return the state of every job of a run, in order, without writing anything.

    Raises:
        CalvariaError: if nothing was ingested and the sources cannot be listed.
    """
    working, started = _working(stages, run), incomplete(run)
    every = jobs(stages, run, config, ingested(run, config))
    return [_status(run, job, working, started) for job in every]


def ingested(run: Run, config: Config) -> int:
    """Return the number of skulls that are or will be ingested."""
    metadata = run.ingest.path / "labels" / "zarr.json"
    if metadata.is_file():
        return int(read_json(metadata)["shape"][0])
    return len(sources.catalogue(config.ingest.sources))


def _status(run: Run, job: Job, working: set[Key], started: dict[Path, str | None]) -> JobStatus:
    name = job.name
    log, benchmark = run.log(name), run.benchmark(name)
    unfinished = [path for path in job.outputs if path in started]
    if (job.stage.name, job.subject, job.number) in working:
        return JobStatus(job, "running", _last_line(log), log)
    if unfinished:
        at_cluster = started[unfinished[0]]
        if at_cluster:
            message = ", ".join(filter(None, (f"job {at_cluster} of the cluster", _last_line(log))))
            return JobStatus(job, "submitted", message, log)
        return JobStatus(job, "interrupted", _last_line(log), log)
    if all(path.is_file() for path in job.outputs):
        return JobStatus(job, "done")
    # Snakemake writes the benchmark when a job has succeeded, after the job has written its log.
    if log.is_file() and not (benchmark.is_file() and benchmark.stat().st_mtime >= log.stat().st_mtime):
        return JobStatus(job, "failed" if _is_error(log) else "interrupted", _last_line(log), log)
    return JobStatus(job, "left")


def _working(stages: Sequence[Stage], run: Run) -> set[Key]:
    """Return the jobs of the run that processes of this machine are running."""
    import psutil

    root = run.root.resolve()
    by_name = {stage.name: stage for stage in stages}
    keys = set()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, where = process.info["cmdline"] or [], process.info["cwd"]
        if where and "--run" in words[:-1] and (Path(where) / _value(words, "--run")).resolve() == root:
            name = next((word for word in words[: words.index("--run")] if word in by_name), None)
            if name:
                key, numbered = by_name[name].key, by_name[name].number
                subject = _value(words, f"--{key.option}") if key else ""
                number = _value(words, f"--{numbered.option}") if numbered else ""
                keys.add((name, subject, int(number) if number.isdigit() else 0))
    return keys


def _value(words: Sequence[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words[:-1] else ""


def incomplete(run: Run) -> dict[Path, str | None]:
    """Return the outputs that Snakemake has marked as incomplete, each with its cluster job id, if any.

    Snakemake's directory is a sibling of ``results``.
    """
    root = run.root.resolve()
    numbers = {}
    for marker, name in snakemake_records(root.parent.parent / ".snakemake" / "incomplete"):
        path = root.parent.parent / name
        if path.is_relative_to(root):
            numbers[run.root / path.relative_to(root)] = _external(marker)
    return numbers


def snakemake_records(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of one of Snakemake's record folders, each with the path of its output.

    A record's name is that path in base64; long names are split into parts, all but the last of which begin
    with @.
    """
    for record in folder.rglob("*") if folder.is_dir() else ():
        if record.is_file():
            code = "".join(part.removeprefix("@") for part in record.relative_to(folder).parts)
            try:
                yield record, base64.urlsafe_b64decode(code).decode()
            except ValueError:
                continue  # not a record of Snakemake


def _external(marker: Path) -> str | None:
    try:
        return json.loads(marker.read_text(encoding="utf-8")).get("external_jobid")
    except (OSError, ValueError):
        return None  # the job has just finished, or the file is being written


def _tail(log: Path) -> list[str]:
    """Return the last non-empty lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines if line.strip()]


def _last_line(log: Path) -> str:
    return next(reversed(_tail(log)), "")


def _is_error(log: Path) -> bool:
    """Return whether a log ends with an error: one of calvaria, or an exception other than Ctrl-C."""
    tail = _tail(log)
    error = any(line.startswith(("calvaria: ", "Traceback ")) for line in tail)
    return error and not tail[-1].startswith("KeyboardInterrupt")


def left_s(run: Run, config: Config, states: Sequence[JobStatus]) -> float:
    """Return the estimated core seconds of unfinished jobs, ignoring the progress of running ones.

    All sources are assumed to have the same number of skulls, so that they need not be accessible.
    """
    sizes = costs.sizes(config, list(islice(cycle(config.ingest.sources.values()), ingested(run, config))))
    left = [status.job for status in states if status.state != "done"]
    return sum(job.stage.cost(job, config, sizes).seconds for job in left)


def text(run: Run, config: Config, states: Sequence[JobStatus]) -> str:
    """Format the state of a run: totals, a line per stage, and messages of jobs neither done nor left."""
    counts = Counter(status.state for status in states)
    others = [f"{counts[state]} {state}" for state in STATES[1:] if counts[state]]
    lines = [", ".join([f"{run.root}: {counts['done']} of {len(states)} jobs done", *others])]
    if counts["done"] < len(states):
        lines.append(f"The remaining jobs take about {duration(left_s(run, config, states))} of one core.")
    lines.append("")
    for stage in dict.fromkeys(status.job.stage for status in states):
        of_stage = [status for status in states if status.job.stage == stage]
        done = sum(status.state == "done" for status in of_stage)
        lines.append(f"{stage.name:<10}{done:>5} of {len(of_stage):<5}{_missing(of_stage)}".rstrip())
    for state in STATES[1:-1]:
        selected = [status for status in states if status.state == state]
        lines += ["", f"{state}:"] if selected else []
        for status in selected:
            lines.append(f"  {status.job.name}: {status.message or 'no output yet'}")
            if state in ("failed", "interrupted"):
                lines.append(f"    log: {status.log}")
    if counts["failed"] or counts["interrupted"]:
        lines += [
            "",
            "The same snakemake command resumes the run; trainings resume from their last checkpoint.",
        ]
    return "\n".join(lines)


def _missing(states: Sequence[JobStatus]) -> str:
    """Name the families, cohorts or arms of a stage that are not done, unless the stage has not begun."""
    unfinished = [status.job.subject for status in states if status.state != "done"]
    names = list(dict.fromkeys(filter(None, unfinished)))
    if not names or all(status.state == "left" for status in states):
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"not yet: {', '.join(names[:SHOWN])}{more}"


def as_json(states: Sequence[JobStatus]) -> str:
    """Format the state of a run as a JSON array with one object per job."""
    rows = [
        {"job": one.job.name, "stage": one.job.stage.name, "state": one.state, "said": one.message}
        for one in states
    ]
    return json.dumps(rows, indent=1)
