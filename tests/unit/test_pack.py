"""pack and unpack: what travels, and refusals that leave nothing behind."""

import base64
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from calvaria.cli import app
from calvaria.config import load
from calvaria.errors import InputError, StoreError
from calvaria.pipeline import pack as packing
from calvaria.pipeline.pack import pack, unpack
from calvaria.stages import STAGES
from calvaria.storage.pack_file import PackRecord, describe, read_record, write_pack
from calvaria.storage.paths import Run
from tests.conftest import ROOT
from tests.unit.test_status import made, marked

HERE = {"versions": {}, "hardware": {}}


def begun(place: Path) -> Run:
    """Return a run without results, beside Snakemake's folders."""
    run = Run(place / "results" / "tiny")
    run.root.mkdir(parents=True)
    (place / ".snakemake" / "metadata").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "end_to_end" / "tiny.yaml", run.config)
    return run


def record(run: Run, path: Path, *inputs: Path) -> Path:
    """Write Snakemake's record of an output, and return its path."""
    place = run.root.parents[1]
    names = [str(one.relative_to(place)) for one in (path, *inputs)]
    file = place / ".snakemake" / "metadata" / base64.urlsafe_b64encode(names[0].encode()).decode()
    file.write_text(json.dumps({"rule": "a", "input": names[1:]}))
    return file


def packed(run: Run, out: Path) -> Path:
    """Pack a run and return the pack."""
    pack(STAGES, run, load(run.config), out)
    return out


def below(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in which the shards are ingested, and a training was killed."""
    run = begun(tmp_path / "here")
    for name in ("ingest/0", "ingest/1"):
        for path in made(run, name).outputs:
            record(run, path)
    checkpoint = run.fit("vae") / "scratch" / "checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(bytes(range(256)) * 9)
    (run.fit("vae") / "steps.jsonl").write_text('{"step": 1}\n')
    return run


def test_a_run_arrives_with_its_records(run, tmp_path):
    out = packed(run, tmp_path / "a.tar")
    arrived, differences = unpack(out, tmp_path / "there")
    assert differences == []
    assert arrived.root == tmp_path / "there" / "results" / "tiny"
    assert below(tmp_path / "there") == below(tmp_path / "here")
    assert (tmp_path / "there" / ".snakemake" / "incomplete").is_dir()
    assert sorted(path.name for path in (tmp_path / "there" / "results").iterdir()) == ["tiny"]


def test_the_same_run_gives_the_same_pack(run, tmp_path):
    one, other = (packed(run, tmp_path / name) for name in ("a.tar", "b.tar"))
    assert one.read_bytes() == other.read_bytes()


def test_tar_restores_a_pack_too(run, tmp_path):
    with tarfile.open(packed(run, tmp_path / "a.tar")) as tar:
        tar.extractall(tmp_path / "there", filter="data")
    assert below(tmp_path / "there").keys() - {"pack.json"} == below(tmp_path / "here").keys()


def test_jobs_that_have_not_ended_stay_with_all_that_derives_from_them(run, tmp_path):
    fit, sample, inject = (
        made(run, f"{name}/vae{end}") for name, end in (("fit", ""), ("sample", "/0"), ("inject", "/0"))
    )
    other = made(run, "fit/real")
    sources = {fit: [run.split], sample: fit.outputs[:1], inject: sample.outputs, other: [run.split]}
    for job, inputs in sources.items():
        for path in job.outputs:
            record(run, path, *inputs)
    marked(run, fit.outputs[0])
    for name in (".0123.partial", "fit/vae/.4567.partial"):
        (run.root / name).write_text("half")
    names = {one.name for one in read_record(packed(run, tmp_path / "a.tar")).files}
    unfinished = [path for job in (fit, sample, inject) for path in job.outputs]
    place = tmp_path / "here"
    for path in unfinished:
        assert str(path.relative_to(place)) not in names
        assert str(record(run, path).relative_to(place)) not in names
    for path in (*other.outputs, run.log("fit/vae"), run.fit("vae") / "scratch" / "checkpoint.safetensors"):
        assert str(path.relative_to(place)) in names
    assert str(record(run, other.outputs[0]).relative_to(place)) in names
    assert not [name for name in names if name.endswith(".partial") or "incomplete" in name]


def test_files_keep_their_order_and_are_newer_than_sources(run, tmp_path):
    """Snakemake re-runs jobs whose inputs are newer."""
    first, second = (run.ingest.shard(number) for number in (0, 1))
    os.utime(first, ns=(10**18 + 1000,) * 2)
    os.utime(second, ns=(10**18,) * 2)
    for path in (run.log("ingest/0"), run.benchmark("ingest/0")):
        os.utime(path, ns=(10**18 + 500,) * 2)
    out = packed(run, tmp_path / "a.tar")
    source = tmp_path / "scan.nii.gz"
    source.touch()
    arrived, _ = unpack(out, tmp_path / "there")
    order = (
        arrived.ingest.shard(1),
        arrived.log("ingest/0"),
        arrived.benchmark("ingest/0"),
        arrived.ingest.shard(0),
    )
    times = [path.stat().st_mtime for path in order]
    assert source.stat().st_mtime <= times[0] < times[1] == times[2] < times[3] <= time.time() + 1


def test_marks_of_an_earlier_run_of_that_name_are_removed(run, tmp_path):
    out, there = packed(run, tmp_path / "a.tar"), tmp_path / "there"
    earlier, other = Run(there / "results" / "tiny"), Run(there / "results" / "tin")
    marked(earlier, earlier.ingest.shard(0))
    marked(other, other.ingest.shard(0))
    unpack(out, there)
    kept = [path for path in (there / ".snakemake" / "incomplete").rglob("*") if path.is_file()]
    assert len(kept) == 1


def test_links_are_followed(run, tmp_path):
    elsewhere = run.ingest.path.rename(tmp_path / "large disk")
    run.ingest.path.symlink_to(elsewhere)
    arrived, _ = unpack(packed(run, tmp_path / "a.tar"), tmp_path / "there")
    assert not arrived.ingest.path.is_symlink()
    assert below(arrived.ingest.path) == below(elsewhere)


def test_a_running_job_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr("calvaria.pipeline.status._working", lambda *_: {("fit", "vae", 0)})
    with pytest.raises(StoreError, match=r"results/tiny: expected no running job, got fit/vae; .* Ctrl-C"):
        packed(run, tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def test_without_records_of_snakemake_nothing_is_packed(run, tmp_path):
    moved = Run(run.root.rename(tmp_path / "tiny"))
    with pytest.raises(
        StoreError, match=r"tiny: expected results/NAME beside Snakemake's records, but .*missing"
    ):
        packed(moved, tmp_path / "a.tar")


def test_a_file_that_changes_meanwhile_is_named(run, tmp_path):
    place = tmp_path / "here"
    log = run.fit("vae") / "steps.jsonl"
    found = PackRecord("tiny", **HERE, files=(describe(place, str(log.relative_to(place))),))
    log.write_text('{"step": 1}\n{"step": 2}\n')
    with pytest.raises(StoreError, match=r"steps\.jsonl: expected no change while the run is packed"):
        write_pack(tmp_path / "a.tar", place, found, lambda: None)
    log.unlink()
    with pytest.raises(StoreError, match="but it has gone; pack again"):
        write_pack(tmp_path / "a.tar", place, found, lambda: None)


def test_no_pack_is_written_without_a_run_or_a_folder(run, tmp_path):
    call = CliRunner().invoke
    none = call(app, ["pack", str(tmp_path), "--out", str(tmp_path / "a.tar")])
    assert "not a run" in str(none.exception)
    with pytest.raises(InputError, match=r"--out .*a\.tar: the folder .* does not exist"):
        packed(run, tmp_path / "no" / "a.tar")


def refused(out: Path, there: Path, words: str) -> None:
    """Assert that a pack is refused with a message, and that nothing is written."""
    before = below(there)
    with pytest.raises(InputError, match=words):
        unpack(out, there)
    assert below(there) == before
    assert not (there / "results").exists() or not any((there / "results").glob(".*"))


def test_a_damaged_byte_is_found_wherever_it_is(run, tmp_path):
    good = packed(run, tmp_path / "good.tar").read_bytes()
    cases = {
        b'"size": ': r"a\.tar: pack\.json does not match its SHA-256: expected \w+, got \w+; copy it again",
        bytes(range(256)): r"a\.tar: .*checkpoint\.safetensors does not match its SHA-256: .*; copy it again",
        b"results/tiny/fit/vae/steps.jsonl\0": r"a\.tar: expected \d+ files, got \d+: .*; copy it again",
    }
    for found, words in cases.items():
        content = bytearray(good)
        content[good.index(found)] ^= 1
        (tmp_path / "a.tar").write_bytes(content)
        refused(tmp_path / "a.tar", tmp_path / "there", words)


def test_a_truncated_pack_is_refused(run, tmp_path):
    good = packed(run, tmp_path / "good.tar").read_bytes()
    out = tmp_path / "a.tar"
    for size in (0, 100, 700, len(good) // 2, good.index(bytes(range(256))) + 600):
        out.write_bytes(good[:size])
        refused(out, tmp_path / "there", r"a\.tar: ")
    refused(tmp_path / "none.tar", tmp_path / "there", r"none\.tar: cannot be read: No such file")
    out.write_text("nothing of the kind" * 99)
    refused(out, tmp_path / "there", r"a\.tar: expected a file that calvaria pack has written")


def test_an_existing_run_is_kept(run, tmp_path):
    out = packed(run, tmp_path / "a.tar")
    refused(
        out, tmp_path / "here", r"results/tiny: expected no such run, but it exists; choose another --into"
    )


NO_PACK = r"expected a file that calvaria pack has written, but pack\.json"
FIRST = r"expected a file that calvaria pack has written, but its first member is not pack\.json"
Members = list[tuple[tarfile.TarInfo, bytes]]


def changed(out: Path, change: Callable[[Members], object]) -> None:
    """Rewrite a pack with other members."""
    with tarfile.open(out) as tar:
        members = [(header, tar.extractfile(header).read()) for header in tar]
    change(members)
    with tarfile.open(out, "w") as tar:
        for header, data in members:
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))


def linked(members: Members, number: int = -1) -> None:
    """Make a member a link to a file outside."""
    members[number] = (members[number][0], b"")
    members[number][0].type, members[number][0].linkname = tarfile.SYMTYPE, "../../../secret"


def recorded(members: Members, content: bytes) -> None:
    """Replace the record."""
    members[0] = (members[0][0], content)
    members[0][0].pax_headers = {"comment": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            linked,
            r"expected the file 'results/tiny/\S+' of \d+ bytes, got the link 'results/tiny/\S+' of 0 bytes",
        ),
        (
            lambda members: linked(members, 0),
            FIRST,
        ),
        (
            lambda members: members.pop(0),
            FIRST,
        ),
        (lambda members: members.pop(2), "expected the file '.*' of .* bytes, got the file '.*' of .* bytes"),
        (
            lambda members: members.append(members[1]),
            "expected .* files, got '.*' as well; pack the run again",
        ),
        (
            lambda members: recorded(members, b'{"format": 2}'),
            "expected a pack of format 1, got format 2; unpack it with the version of calvaria",
        ),
        (lambda members: recorded(members, b"[]"), f"{NO_PACK} is not a record of files"),
        (lambda members: recorded(members, b'{"format": 1}'), f"{NO_PACK} is not a record of files"),
    ],
)
def test_members_that_the_record_does_not_list_are_refused(change, words, run, tmp_path):
    out = packed(run, tmp_path / "a.tar")
    changed(out, change)
    refused(out, tmp_path / "there", rf"a\.tar: {words}")


def test_records_of_another_run_are_refused(run, tmp_path):
    place = tmp_path / "here"
    other = record(run, place / "results" / "other" / "split.json")
    names = (str(path.relative_to(place)) for path in (other, run.config))
    found = PackRecord("tiny", **HERE, files=tuple(describe(place, name) for name in names))
    write_pack(tmp_path / "a.tar", place, found, lambda: None)
    refused(tmp_path / "a.tar", tmp_path / "there", "below results/tiny/, got 'results/other/split.json'")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "results/tiny/../../secret",
            r"expected names of files of a run, got 'results/tiny/\.\./\.\./secret'",
        ),
        ("{place}/results/tiny/a", "expected names of files of a run, got '/"),
        ("results/other/a", "expected the files of a run below results/tiny/, got 'results/other/a'"),
        (".snakemake/locks/0.input.lock", "expected the files of a run below results/tiny/, got '.snakemake"),
        ("results/tiny/a", "expected the files of a run below results/tiny/, got no config.yaml"),
    ],
)
def test_files_outside_of_the_run_are_refused(name, words, tmp_path):
    name = name.format(place=tmp_path)
    file = tmp_path / name
    (tmp_path / "results" / "tiny").mkdir(parents=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a")
    write_pack(
        tmp_path / "a.tar",
        tmp_path,
        PackRecord("tiny", **HERE, files=(describe(tmp_path, name),)),
        lambda: None,
    )
    refused(tmp_path / "a.tar", tmp_path / "there", words)


def test_a_config_that_cannot_be_used_here_is_refused(run, tmp_path):
    place, name = tmp_path / "here", "results/tiny/config.yaml"
    run.config.write_text(run.config.read_text() + "unknown: 1\n")
    found = PackRecord("tiny", **HERE, files=(describe(place, name),))
    write_pack(tmp_path / "a.tar", place, found, lambda: None)
    words = r"a\.tar: its config cannot be used with the packages .*\nconfig\.yaml: 1 wrong .*\n  unknown"
    refused(tmp_path / "a.tar", tmp_path / "there", words)


def test_another_machine_is_reported_and_goes_on(run, tmp_path, monkeypatch, caplog):
    out = packed(run, tmp_path / "a.tar")
    provenance = packing.provenance

    def elsewhere(config):
        found = provenance(config)
        changes = {"cpu": "another", "cores": 1024}
        return {**found, "hardware": {**found["hardware"], **changes}, "versions": {"numpy": "9"}}

    monkeypatch.setattr(packing, "provenance", elsewhere)
    done = CliRunner().invoke(app, ["unpack", str(out), "--into", str(tmp_path / "there")])
    assert done.exit_code == 0
    assert "results/tiny: restored" in done.output
    for words in ("this machine differs", "there, another here", ", 9 here", "torch: "):
        assert words in caplog.text
    assert "cores" not in caplog.text
