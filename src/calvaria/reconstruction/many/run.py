"""Implants for many scans: a folder per case, and one table."""

import hashlib
import logging
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from calvaria.errors import CalvariaError, InputError
from calvaria.reconstruction.many.record import (
    RECORD,
    CaseRecord,
    Fingerprint,
    Settings,
    model_digest,
    read_record,
    remove_case,
)
from calvaria.reconstruction.many.scans import Input, find_scans
from calvaria.reconstruction.many.table import (
    DONE,
    ERROR,
    FAILED_CHECK,
    NO_DEFECT,
    PENDING,
    TABLE,
    Row,
    results,
    row,
    write_table,
)
from calvaria.reconstruction.reconstruct import NoDefectError, Options, outputs
from calvaria.reconstruction.scan_input import ct_source
from calvaria.reconstruction.trained import TrainedModel
from calvaria.storage.outputs import Output, temporary_folder
from calvaria.storage.store import read_json, write_json
from calvaria.utils import processes
from calvaria.utils.interruption import Interrupted, postponed
from calvaria.utils.progress import Progress

logger = logging.getLogger(__name__)

CHECKS = "checks.json"


@dataclass(frozen=True)
class Failure:
    """Why a case has no folder."""

    message: str
    seconds: float | None = None


@dataclass(frozen=True)
class Designer:
    """A function that designs the implant of a scan and writes the folder of its case."""

    out: Path
    model: Path
    fingerprint: Fingerprint

    @cached_property
    def trained(self) -> TrainedModel:
        """The model, of which each process loads one."""
        return TrainedModel.open(self.model, threads=1)

    def __call__(self, scan: Input) -> Failure | None:
        """Write the folder of a case, completely or not at all; return why there is none."""
        start = time.monotonic()
        try:
            self._design(scan, start)
        except CalvariaError as error:
            return Failure(str(error), _since(start))
        except Exception as error:  # a bug; the other scans can still be done
            logger.error("calvaria: %s", traceback.format_exc().rstrip())
            what = f"{scan.path}: unexpected {type(error).__name__}: {error}; this is a bug, report it"
            return Failure(what, _since(start))
        return None

    def _design(self, scan: Input, start: float) -> None:
        folder = self.out / scan.case
        # Before the scan is read, so that a change in the meantime is noticed next time.
        fingerprint = self.fingerprint.with_scan(scan.path)
        files: list[Output] = []
        try:
            about, files = outputs(scan.path, self.trained, _options(folder, self.fingerprint.settings))
            status, message = (DONE, "") if about["passed"] else (FAILED_CHECK, "")
        except NoDefectError as error:
            status, message = NO_DEFECT, str(error)
        if model_digest(self.model) != self.fingerprint.model:
            raise InputError(f"--model {self.model}: was changed during the work; run the same command again")
        digests = {output.file.name: hashlib.sha256(output.content).hexdigest() for output in files}
        record = CaseRecord(status, message, _since(start), fingerprint, digests)
        with temporary_folder("--out-dir", folder, self.out) as partial:
            for output in files:
                (partial / output.file.name).write_bytes(output.content)
            write_json(partial / RECORD, record.to_json())
            with postponed():
                partial.rename(folder)


def reconstruct_many(
    paths: Sequence[Path], out: Path, model: Path, settings: Settings, jobs: int = 1
) -> list[Row]:
    """Design an implant for every scan; write a folder for each case, and the table of all.

    A folder has ``implant.nii.gz``, ``implant.stl``, ``checks.json`` and ``implant.png``, without a defect
    none of them, and ``case.json``, the record of what it was designed from. A case is skipped if its record
    agrees with the scan's files, the model, the settings and the code; otherwise its folder is deleted
    before any work begins. Cases with errors have no folder, and are tried again. The table is rewritten
    after every case.

    Args:
        paths: scans, and folders of scans (see `find_scans`).
        jobs: number of processes; results do not depend on it.

    Returns:
        the rows of the table.

    Raises:
        CalvariaError: if a setting, the model or the output folder is unusable, or if there is no scan.
    """
    ct_source(out, settings.threshold_hu, settings.series)
    TrainedModel.open(model)
    designer = Designer(out, model, Fingerprint.of(model, settings))
    scans = find_scans(paths, out, TABLE)
    with temporary_folder("--out-dir", out, out):  # makes the folder, and shows that it can be written
        pass
    rows: dict[str, Row] = {}
    try:
        for scan in scans:
            rows[scan.case] = _earlier(designer, scan)
        left = [scan for scan in scans if rows[scan.case]["status"] == PENDING]
        _report_others(out, rows)
        write_table(out / TABLE, rows.values())
        if left:
            progress = Progress("reconstruct", len(scans), "cases", len(scans) - len(left))
        for scan, result in processes.results(designer, left, jobs):
            rows[scan.case] = _finished(out, scan, result)
            write_table(out / TABLE, rows.values())
            progress.advance(scan.case)
    except Interrupted as interrupted:
        finished = sum(one["status"] not in (PENDING, ERROR) for one in rows.values())
        outcome = f"{finished} of {len(scans)} cases are finished; run the same command again to go on"
        raise Interrupted(interrupted.signal, outcome) from None
    return list(rows.values())


def summary(rows: Sequence[Row]) -> str:
    """Return the number of cases by status, in words."""
    counts = Counter(one["status"] for one in rows)
    parts = ", ".join(f"{counts[one]} {one}" for one in (DONE, FAILED_CHECK, NO_DEFECT, ERROR) if counts[one])
    return f"{len(rows)} case(s): {parts}"


def _earlier(designer: Designer, scan: Input) -> Row:
    """Return the row of a case that is finished and up to date, or cannot be done; delete an outdated one."""
    folder = designer.out / scan.case
    try:
        record = read_record(folder)
        if record is None:
            return row(scan.case, scan.path, PENDING)
        fingerprint = designer.fingerprint.with_scan(scan.path)
        changed = [key for key, value in fingerprint.items() if record.fingerprint.get(key) != value]
        if not changed:
            return _row(folder, scan, record)
        remove_case(folder, record)
        logger.info("calvaria: %s: deleted, to be designed again; changed: %s", folder, ", ".join(changed))
        return row(scan.case, scan.path, PENDING)
    except CalvariaError as error:
        logger.error("calvaria: %s", error)
        return row(scan.case, scan.path, ERROR, str(error))


def _finished(out: Path, scan: Input, result: Failure | processes.Crash | None) -> Row:
    """Return the row of a case after the work on it, and report what is wrong."""
    if isinstance(result, processes.Crash):
        result = Failure(f"{scan.path}: {result}; if there was not enough memory, use fewer --jobs")
    folder = out / scan.case
    record = None
    try:
        record = read_record(folder) if result is None else None
    except InputError as error:
        result = Failure(str(error))
    if record is None:
        result = result or Failure(f"{folder}: was moved or deleted during the work; run again")
        logger.error("calvaria: %s", result.message)
        return row(scan.case, scan.path, ERROR, result.message, result.seconds)
    found = _row(folder, scan, record)
    if record.status == NO_DEFECT:
        logger.warning("calvaria: %s", record.message)
    elif record.status == FAILED_CHECK:
        logger.warning("calvaria: %s: the implant fails: %s", scan.path, found["failed_checks"])
    return found


def _row(folder: Path, scan: Input, record: CaseRecord) -> Row:
    found = row(scan.case, scan.path, record.status, record.message, record.seconds)
    return {**found, **results(read_json(folder / CHECKS))} if record.files else found


def _report_others(out: Path, rows: dict[str, Row]) -> None:
    """Report cases of other scans, as these are not in the table."""
    others = sorted(path.parent.name for path in out.glob(f"*/{RECORD}") if path.parent.name not in rows)
    if others:
        logger.warning(
            "calvaria: %s: has cases of other scans, which are left as they are and not in %s: %s",
            out,
            TABLE,
            ", ".join(others),
        )


def _options(folder: Path, settings: Settings) -> Options:
    return Options(
        out=folder / "implant.nii.gz",
        mesh=folder / "implant.stl",
        checks=folder / CHECKS,
        picture=folder / "implant.png",
        **asdict(settings),
    )


def _since(start: float) -> float:
    return round(time.monotonic() - start, 1)
