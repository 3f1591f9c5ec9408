"""What of a run is done, running, failed and left, at any time.

There is no record of its own that could be wrong. A job is

===========  =======================================================================================
done         if all its outputs are there, and Snakemake has not marked one as unfinished
running      if a process of this machine works on it
submitted    if Snakemake has given it to a cluster's scheduler, and not heard of its end
interrupted  if it was started and did neither end nor say why: killed, out of memory, out of time
failed       if it was started and its log ends with an error
left         otherwise
===========  =======================================================================================

Whether finished jobs would be re-run because the config or the code has changed, says
``snakemake --dry-run``.
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
SHOWN = 6  # names in a line

Key = tuple[str, str, int]  # stage, subject, number


@dataclass(frozen=True)
class JobStatus:
    """One job and how it stands."""

    job: Job
    state: str  # one of STATES
    said: str = ""  # the last line of its log, or the number that the cluster gave it
    log: Path | None = None


def status(stages: Sequence[Stage], run: Run, config: Config) -> list[JobStatus]:
    """How every job of a run stands, in the order of the work. Reads only.

    Raises:
        CalvariaError: if nothing was ingested yet and the sources cannot be listed.
    """
    working, started = _working(stages, run), _unfinished(run)
    every = jobs(stages, run, config, ingested(run, config))
    return [_status(run, job, working, started) for job in every]


def ingested(run: Run, config: Config) -> int:
    """How many skulls are or will be ingested."""
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
            said = ", ".join(filter(None, (f"job {at_cluster} of the cluster", _last_line(log))))
            return JobStatus(job, "submitted", said, log)
        return JobStatus(job, "interrupted", _last_line(log), log)
    if all(path.is_file() for path in job.outputs):
        return JobStatus(job, "done")
    # Snakemake writes the benchmark when a job has succeeded, after the job has written its log.
    if log.is_file() and not (benchmark.is_file() and benchmark.stat().st_mtime >= log.stat().st_mtime):
        said = _last_line(log)
        return JobStatus(job, "failed" if _is_error(log) else "interrupted", said, log)
    return JobStatus(job, "left")


def _working(stages: Sequence[Stage], run: Run) -> set[Key]:
    """The jobs of the run on which a process of this machine works."""
    import psutil

    root = run.root.resolve()
    by_name = {stage.name: stage for stage in stages}
    found = set()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, where = process.info["cmdline"] or [], process.info["cwd"]
        if where and "--run" in words[:-1] and (Path(where) / _value(words, "--run")).resolve() == root:
            name = next((word for word in words[: words.index("--run")] if word in by_name), None)
            if name:
                key, numbered = by_name[name].key, by_name[name].number
                subject = _value(words, f"--{key.option}") if key else ""
                number = _value(words, f"--{numbered.option}") if numbered else ""
                found.add((name, subject, int(number) if number.isdigit() else 0))
    return found


def _value(words: Sequence[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words[:-1] else ""


def _unfinished(run: Run) -> dict[Path, str | None]:
    """The outputs that Snakemake has marked as begun and not finished, each with its number at a cluster.

    Snakemake's directory lies where ``results`` does.
    """
    root = run.root.resolve()
    found = {}
    for marker, name in snakemake_records(root.parent.parent / ".snakemake" / "incomplete"):
        path = root.parent.parent / name
        if path.is_relative_to(root):
            found[run.root / path.relative_to(root)] = _external(marker)
    return found


def snakemake_records(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of one of Snakemake's folders of records, each with the path of the output that it is about.

    They are called like that path in base64; long names are cut into parts, all but the last of which begin
    with @.
    """
    for record in folder.rglob("*") if folder.is_dir() else ():
        if record.is_file():
            code = "".join(part.removeprefix("@") for part in record.relative_to(folder).parts)
            try:
                yield record, base64.urlsafe_b64decode(code).decode()
            except ValueError:
                continue  # not one of Snakemake's


def _external(marker: Path) -> str | None:
    try:
        return json.loads(marker.read_text(encoding="utf-8")).get("external_jobid")
    except (OSError, ValueError):
        return None  # it has just been finished, or is being written


def _tail(log: Path) -> list[str]:
    """The last lines of a log that are not empty."""
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
    """Whether the job said why it ended: an error of ours, or an exception other than Ctrl-C."""
    tail = _tail(log)
    said = any(line.startswith(("calvaria: ", "Traceback ")) for line in tail)
    return said and not tail[-1].startswith("KeyboardInterrupt")


def left_s(run: Run, config: Config, found: Sequence[JobStatus]) -> float:
    """Seconds of one core that what is not done will take; what running jobs have done does not count.

    As if every source had as many skulls as the others: sources need not be at hand to ask for the status.
    """
    sizes = costs.sizes(config, list(islice(cycle(config.ingest.sources.values()), ingested(run, config))))
    return sum(one.job.stage.cost(one.job, config, sizes).seconds for one in found if one.state != "done")


def text(run: Run, config: Config, found: Sequence[JobStatus]) -> str:
    """For people: a sum, a line per stage, and what the jobs that are neither done nor left say."""
    counts = Counter(one.state for one in found)
    others = [f"{counts[state]} {state}" for state in STATES[1:] if counts[state]]
    lines = [", ".join([f"{run.root}: {counts['done']} of {len(found)} jobs done", *others])]
    if counts["done"] < len(found):
        lines.append(f"What is not done takes about {duration(left_s(run, config, found))} of one core.")
    lines.append("")
    for stage in dict.fromkeys(one.job.stage for one in found):
        mine = [one for one in found if one.job.stage == stage]
        done = sum(one.state == "done" for one in mine)
        lines.append(f"{stage.name:<10}{done:>5} of {len(mine):<5}{_missing(mine)}".rstrip())
    for state in STATES[1:-1]:
        selected = [one for one in found if one.state == state]
        lines += ["", f"{state}:"] if selected else []
        for one in selected:
            lines.append(f"  {one.job.name}: {one.said or 'has said nothing'}")
            if state in ("failed", "interrupted"):
                lines.append(f"    log: {one.log}")
    if counts["failed"] or counts["interrupted"]:
        lines += ["", "The same snakemake command goes on from here; training from its last checkpoint."]
    return "\n".join(lines)


def _missing(some: Sequence[JobStatus]) -> str:
    """The families, cohorts or arms of a stage that are not done yet, if others are."""
    names = list(dict.fromkeys(one.job.subject for one in some if one.state != "done" and one.job.subject))
    if not names or all(one.state == "left" for one in some):
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"not yet: {', '.join(names[:SHOWN])}{more}"


def as_json(found: Sequence[JobStatus]) -> str:
    """For programs: an object per job."""
    rows = [
        {"job": one.job.name, "stage": one.job.stage.name, "state": one.state, "said": one.said}
        for one in found
    ]
    return json.dumps(rows, indent=1)
