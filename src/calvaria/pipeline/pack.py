"""Packing of a run into one file, so that it can go on on another machine.

A pack has every file of the run except partial files and results that Snakemake would compute again: the
outputs of jobs that have begun and not ended, and all outputs that derive from them. It also has Snakemake's
records of the outputs, without which a change of config or code would not re-run their jobs.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from calvaria.config import Config, load
from calvaria.errors import ConfigError, InputError, StoreError
from calvaria.pipeline.provenance import provenance
from calvaria.pipeline.stage import Stage
from calvaria.pipeline.status import incomplete, snakemake_records, status
from calvaria.storage.outputs import check_file, new_file, temporary_folder
from calvaria.storage.pack_file import PackRecord, describe, read_record, restore_files, write_pack
from calvaria.storage.paths import Run
from calvaria.storage.store import PARTIAL
from calvaria.utils.progress import Progress

RESULTS = "results"
RECORDS = ".snakemake/metadata"  # of finished outputs
MARKS = ".snakemake/incomplete"  # of the outputs of jobs that have begun
TICK_NS = 1000  # Snakemake compares times as floats, whose resolution is about 240 ns
NO_INFLUENCE = {"cores", "system"}  # of hardware, on the bytes of a run


def pack(stages: Sequence[Stage], run: Run, config: Config, out: Path) -> int:
    """Write the finished and checkpointed parts of a run into one file, and return their number of files.

    Raises:
        InputError: if ``out`` cannot be written.
        StoreError: if a job is running, Snakemake's records are missing, or a file changes meanwhile.
    """
    check_file("--out", out)
    root = run.root.resolve()
    place = root.parents[1]
    if root.parent.name != RESULTS or not (place / RECORDS).is_dir():
        raise StoreError(
            f"{run.root}: expected {RESULTS}/NAME beside Snakemake's records, but {place / RECORDS} is "
            "missing; pack the run in the directory where snakemake ran"
        )
    names = _names(stages, run, config, place)
    progress = Progress("pack", 2 * len(names), "files read")
    files = []
    for name in names:
        files.append(describe(place, name))
        progress.advance()
    record = PackRecord(root.name, *_made_with(config), tuple(files))
    with new_file("--out", out) as partial:
        write_pack(partial, place, record, progress.advance)
    return len(files)


def _names(stages: Sequence[Stage], run: Run, config: Config, place: Path) -> list[str]:
    """Return the names of all files of a pack, sorted, relative to where snakemake ran."""
    states = status(stages, run, config)
    if running := [one.job.name for one in states if one.state == "running"]:
        raise StoreError(
            f"{run.root}: expected no running job, got {', '.join(running)}; let it end or stop snakemake "
            "with Ctrl-C, then pack again"
        )
    root = run.root.resolve()
    begun = {path for one in states if one.state not in ("done", "left") for path in one.job.outputs}
    again = {f"{RESULTS}/{root.name}/{path.relative_to(run.root)}" for path in begun | {*incomplete(run)}}
    records = {name: path for path, name in snakemake_records(place / RECORDS)}
    again = _with_descendants(again, {name: _inputs(path) for name, path in records.items()})
    kept = {path.relative_to(place).as_posix() for path in _files(root)} - again
    return sorted(kept | {records[name].relative_to(place).as_posix() for name in kept & records.keys()})


def _files(root: Path) -> Iterator[Path]:
    """Yield all files below a directory, also behind links, except partial ones."""

    def fail(error: OSError) -> None:
        raise StoreError(f"{error.filename}: cannot be read ({error.strerror}); fix this and pack again")

    for folder, _, names in os.walk(root, onerror=fail, followlinks=True):
        paths = [Path(folder) / name for name in names if not name.endswith(PARTIAL)]
        yield from (path for path in paths if path.is_file())


def _inputs(record: Path) -> list[str]:
    """Return the inputs that an output derives from; none if its record is damaged, as for Snakemake."""
    try:
        inputs: list[str] | None = json.loads(record.read_text(encoding="utf-8")).get("input")
    except (OSError, ValueError):
        return []
    return inputs or []


def _with_descendants(names: set[str], inputs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return outputs and all outputs that derive from them, directly or indirectly."""
    while more := {name for name, used in inputs.items() if name not in names and not names.isdisjoint(used)}:
        names = names | more
    return names


def unpack(file: Path, into: Path) -> tuple[Run, list[str]]:
    """Restore a run below a directory, completely or not at all.

    Returns:
        the run, and the differences of versions and hardware from the machine that packed it, one line each.

    Raises:
        InputError: if the file is not an undamaged pack, or the directory has the run already or cannot be
            written.
    """
    record = read_record(file)
    own = f"{RESULTS}/{record.run}/"
    names = [one.name for one in record.files]
    foreign = [name for name in names if not name.startswith((own, f"{RECORDS}/"))]
    if foreign or f"{own}config.yaml" not in names:
        found = repr(foreign[0]) if foreign else "no config.yaml"
        raise InputError(f"{file}: expected the files of a run below {own}, got {found}; pack the run again")
    run = Run(into / own)
    if run.root.exists() and (not run.root.is_dir() or any(run.root.iterdir())):
        raise InputError(
            f"{run.root}: expected no such run, but it exists; choose another --into, or move or delete it"
        )
    # Beside the run, so that it can be renamed.
    with temporary_folder("--into", into, run.root.parent) as folder:
        restore_files(file, record, folder, Progress("unpack", len(names), "files").advance)
        arrived = Run(folder / own)
        differences = _differences(file, record, arrived)
        _renew_times({folder / one.name: one.mtime_ns for one in record.files})
        _restore_records(file, folder, into, own)
        arrived.root.rename(run.root)
    return run, differences


def _made_with(config: Config) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the versions and the hardware of this machine."""
    here = provenance(config)
    return {"calvaria": here["code"]["version"], **here["versions"]}, here["hardware"]


def _differences(file: Path, record: PackRecord, arrived: Run) -> list[str]:
    try:
        config = load(arrived.config)
    except ConfigError as error:
        reason = str(error).replace(str(arrived.config), "config.yaml")
        raise InputError(
            f"{file}: its config cannot be used with the packages installed here\n{reason}"
        ) from None
    versions, hardware = _made_with(config)
    there, here = {**record.versions, **record.hardware}, {**versions, **hardware}
    return [
        f"  {key}: {there.get(key, 'missing')} there, {here.get(key, 'missing')} here"
        for key in dict.fromkeys([*there, *here])
        if key not in NO_INFLUENCE and there.get(key) != here.get(key)
    ]


def _renew_times(times: Mapping[Path, int]) -> None:
    """Set modification times to now and, in the order that files had, to ticks after it.

    Snakemake re-runs a job if an input is newer than an output; source scans may have been copied just now.
    """
    now = max(path.stat().st_mtime_ns for path in times)  # by the clock of the file system
    ticks = {time: number for number, time in enumerate(sorted(set(times.values())))}
    for path, time in times.items():
        os.utime(path, ns=(now + ticks[time] * TICK_NS,) * 2)


def _restore_records(file: Path, source: Path, into: Path, own: str) -> None:
    """Copy Snakemake's records of a run, and remove the marks of an earlier run of that name."""
    records = dict(snakemake_records(source / RECORDS))
    if foreign := [name for name in records.values() if not name.startswith(own)]:
        raise InputError(
            f"{file}: expected records of files below {own}, got {foreign[0]!r}; pack the run again"
        )
    (into / MARKS).mkdir(parents=True, exist_ok=True)  # otherwise Snakemake takes the records for old ones
    for mark, name in list(snakemake_records(into / MARKS)):
        if name.startswith(own):
            mark.unlink()
    for path in records:
        target = into / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
