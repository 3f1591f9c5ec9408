"""A corpus of broken inputs: each is rejected with a sentence that names it and the remedy."""

import gzip
import os
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from calvaria import sources
from calvaria.errors import InputError
from calvaria.sources.ct import CtSource
from calvaria.sources.dicom import read_series
from calvaria.sources.folder import FolderSource
from calvaria.sources.volumes import read_labels, read_mask, read_volume
from tests.unit.broken import (
    Build,
    a_folder,
    a_pipe,
    archive,
    broken_link,
    cut,
    flipped,
    header_only,
    loop,
    nifti,
    noisy,
    not_at_all,
    not_upright,
    nrrd,
    outside,
    raw,
    saved,
    series,
    short_data,
    slice_like,
    steps,
    twice,
    with_nan,
)
from tests.unit.builders import SHAPE, mask, write_nifti

REMEDY = re.compile(
    r"; .*\b(download|export|repair|remove|rename|convert|split|move|unpack|copy|keep|resample|replace|read|"
    r"put|set|check|correct|get|lower|ask|give|segment)\b"
)
NOBODY = 65534  # a user without permissions
MEMORY = 8 << 20  # memory limit in bytes for every input, although some headers claim terabytes

Case = tuple[str, Callable, Build, str]


def through(kind: type[FolderSource] | type[CtSource], name: str) -> Callable[[Path], object]:
    """Return a function that reads a file as a source's entry; faults of the entry are raised as errors."""

    def read(path: Path) -> object:
        config = {"mine": kind(kind=name, path=path.parent)}
        [entry] = [entry for entry in sources.catalogue(config) if path.name.startswith(entry.own_id)]
        return sources.read(config, entry, seed=0)

    return read


folder, ct = through(FolderSource, "folder"), through(CtSource, "ct")


RGB = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
TERA = "65535 65535 300"
PLAIN: dict[str, str | None] = {"space": None, "space_directions": None, "space_origin": None}

CORPUS: list[Case] = [
    ("missing file", read_volume, lambda where: where / "bad.nii", "no such file"),
    ("empty file", read_volume, raw("bad.nii.gz", b""), "0 bytes"),
    ("a folder", read_volume, a_folder, "is a folder"),
    ("a pipe", read_volume, a_pipe, "device or pipe"),
    ("symlink loop", read_volume, loop, "leads back to itself"),
    ("symlink loop in a source", folder, loop, "link to .*other.nii.*leads back"),
    ("broken link in a source", folder, broken_link, "link to .*gone.nii.*no such file"),
    ("unknown kind", read_volume, raw("bad.vox", b"x"), "unknown kind.*ITK-SNAP"),
    ("unknown kind in a source", folder, raw("bad.vox", b"x"), "unknown kind.*move it away"),
    ("a mesh in a source", folder, raw("bad.stl", b"solid"), "surface mesh, expected voxels; convert"),
    ("Analyze", read_volume, raw("bad.hdr", b"x"), "Analyze.*left from right; export .*nib-convert"),
    ("MINC", read_volume, raw("bad.mnc", b"x"), "convert it .*mnc2nii"),
    ("no slice", read_volume, raw("bad.dcm", b"x"), "is not a DICOM file although its name says so; correct"),
    ("too long a name", read_volume, lambda where: where / ("bad" * 100 + ".nii"), "name is too long"),
    # NIfTI
    ("a web page", read_volume, raw("bad.nii", b"<html>" * 100), "not a NIfTI"),
    ("a web page, gz", read_volume, raw("bad.nii.gz", b"<html>" * 100), "is a plain file"),
    ("no NIfTI in gzip", read_volume, raw("bad.nii.gz", gzip.compress(b"text" * 200)), "not a NIfTI"),
    ("three bytes", read_volume, raw("bad.nii", b"abc"), "holds 3 bytes, .*cut off"),
    (
        "gzip that is not",
        read_volume,
        raw("bad.nii.gz", b"\x1f\x8bnothing of the kind"),
        "cut off or damaged",
    ),
    (
        "gzip named plain",
        read_volume,
        raw("bad.nii", gzip.compress(bytes(500))),
        "gzip file, its name ends as that of a plain",
    ),
    ("gzip cut", read_volume, cut(noisy("bad.nii.gz"), 0.6), "cut off or damaged|claims"),
    ("gzip cut before its checksum", read_volume, cut(noisy("bad.nii.gz"), 0.9999), "cut off or damaged"),
    (
        "gzip with a wrong byte",
        read_volume,
        flipped(noisy("bad.nii.gz"), 0.7),
        "damaged, download|or damaged",
    ),
    ("raw cut", read_volume, cut(nifti(), 0.9), "claims 120 bytes .* can hold"),
    ("header cut", read_volume, cut(nifti(), 0.3), "holds 141 bytes, .*cut off"),
    ("gzip with less", read_volume, nifti("bad.nii.gz", data=bytes(100)), "holds 100 bytes .* claims 120"),
    (
        "gzip with more",
        read_volume,
        nifti("bad.nii.gz", data=bytes(130)),
        "more bytes of voxels than the 120",
    ),
    (
        "4-D",
        read_volume,
        nifti(values=np.zeros((6, 5, 4, 3), np.uint8)),
        r"shape \[6, 5, 4, 3\], expected .*three",
    ),
    ("2-D", read_volume, nifti(values=np.zeros((6, 5), np.uint8)), "expected .*three dimensions"),
    ("no extent", read_volume, nifti(dim=[3, 6, 0, 4, 1, 1, 1, 1]), "expected positive sizes"),
    ("negative extent", read_volume, nifti(dim=[3, 6, -5, 4, 1, 1, 1, 1]), "expected positive sizes"),
    ("terabytes", read_volume, nifti(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), "claims 3518.* voxels"),
    ("terabytes in gzip", read_volume, nifti("bad.nii.gz", dim=[3, 32767, 32767, 900, 1, 1, 1, 1]), "voxels"),
    (
        "a gigabyte in gzip",
        read_volume,
        nifti("bad.nii.gz", dim=[3, 1000, 1000, 1000, 1, 1, 1, 1]),
        "can hold",
    ),
    ("data start far away", read_volume, nifti("bad.nii.gz", vox_offset=1e15), "ends before its voxels"),
    ("unknown type", read_volume, nifti(datatype=77), "header is damaged"),
    ("complex", read_volume, nifti(values=np.zeros(SHAPE, np.complex64)), "complex64.*not complex numbers"),
    ("RGB", read_volume, nifti(values=RGB), "expected integers or floats, .*colours"),
    ("NaN", read_volume, saved(with_nan()), "NaN"),
    ("infinite", read_volume, saved(mask(np.float32, np.inf)), "infinite"),
    ("infinite slope", read_volume, nifti(scl_slope=np.inf), "rescales values by inf"),
    ("negative spacing", read_volume, nifti(pixdim=[1, 1, -1, 1, 1, 1, 1, 1]), "spacing .*-1"),
    ("zero spacing", read_volume, nifti(pixdim=[1, 1, 0, 1, 1, 1, 1, 1]), "spacing .* expected positive"),
    ("NaN spacing", read_volume, nifti(pixdim=[1, 1, np.nan, 1, 1, 1, 1, 1]), "spacing .*nan"),
    (
        "spacing in km",
        read_volume,
        nifti(srow_x=[1e6, 0, 0, 0], pixdim=[1, 1e6, 0.8, 1.5, 1, 1, 1, 1]),
        "expected 0.01 to 25",
    ),
    ("unknown unit", read_volume, nifti(xyzt_units=5), "unknown unit 5"),
    ("no orientation", read_volume, nifti(sform_code=0), "neither|no sform"),
    ("damaged qform", read_volume, nifti(sform_code=0, qform_code=1, quatern_b=9), "qform is damaged"),
    ("singular affine", read_volume, nifti(srow_x=[1, 1, 0, 0], srow_y=[1, 1, 0, 0]), "singular"),
    (
        "empty affine",
        read_volume,
        nifti(srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4),
        "spacing .*more than 0",
    ),
    ("sheared affine", read_volume, nifti(srow_x=[1, 3, 0, 0]), "strongly sheared"),
    ("infinite affine", read_volume, nifti(srow_x=[1, 0, 0, np.inf]), "affine is not finite"),
    # NRRD
    ("no NRRD", read_volume, raw("bad.nrrd", b"\0" * 5000), "not an NRRD"),
    ("NRRD of the future", read_volume, raw("bad.nrrd", b"NRRD0009\ntype: int\n\n"), "header is damaged"),
    (
        "NRRD of one endless line",
        read_volume,
        raw("bad.nrrd", b"NRRD0005\n" + b"x" * 3_000_000),
        "header is damaged",
    ),
    (
        "NRRD without fields",
        read_volume,
        raw("bad.nrrd", b"NRRD0005\ntype: int\n\n"),
        "lacks dimension, sizes",
    ),
    ("NRRD cut", read_volume, cut(nrrd(), 0.95), "can hold"),
    ("NRRD gzip cut", read_volume, cut(noisy("bad.nrrd"), 0.7), "cut off or damaged"),
    ("NRRD wrong gzip", read_volume, nrrd(encoding="gzip"), "cut off or damaged"),
    ("NRRD wrong bzip2", read_volume, nrrd(encoding="bzip2"), "cut off or damaged"),
    ("NRRD with more", read_volume, nrrd(data=bytes(121)), "more bytes"),
    ("NRRD in text", read_volume, nrrd(encoding="ascii"), "encoded as ascii"),
    ("NRRD skipping lines", read_volume, nrrd(line_skip="3"), "skipped lines"),
    ("NRRD terabytes", read_volume, nrrd(sizes=TERA), "voxels, .* expected at most"),
    (
        "NRRD terabytes in bzip2",
        read_volume,
        nrrd(sizes=TERA, encoding="bzip2"),
        "voxels, .* expected at most",
    ),
    ("NRRD block type", read_volume, nrrd(type="block"), "values of type block"),
    ("NRRD no byte order", read_volume, nrrd(type="short"), "byte order None"),
    (
        "NRRD RGB",
        read_volume,
        nrrd(dimension="4", sizes="3 6 5 4", space_directions="none (1,0,0) (0,1,0) (0,0,1)"),
        r"shape \[3, 6, 5, 4\]",
    ),
    (
        "NRRD 4-D",
        read_volume,
        nrrd(dimension="4", sizes="6 5 4 2", space_directions="(1,0,0) (0,1,0) (0,0,1) (0,0,1)"),
        "4 axes in space",
    ),
    ("NRRD sizes", read_volume, nrrd(sizes="6 5"), "2 sizes for 3 axes"),
    ("NRRD no space", read_volume, nrrd(space=None), "left and right are undefined"),
    ("NRRD other space", read_volume, nrrd(space="scanner-xyz"), "space is scanner-xyz"),
    ("NRRD in inches", read_volume, nrrd(space_units='"in" "in" "in"'), "in in, expected mm"),
    ("NRRD singular", read_volume, nrrd(space_directions="(1,0,0) (1,0,0) (0,0,1)"), "singular"),
    ("NRRD no directions", read_volume, nrrd(space_directions=None), "no space directions"),
    ("NRRD nowhere", read_volume, nrrd(**PLAIN), "its voxels are undefined"),
    ("NRRD zero spacing", read_volume, nrrd(spacings="1 0 1", **PLAIN), "expected positive"),
    ("NRRD negative spacing", read_volume, nrrd(spacings="1 -2 1", **PLAIN), "expected positive"),
    ("NRRD NaN spacing", read_volume, nrrd(spacings="1 nan 1", **PLAIN), "expected positive"),
    (
        "detached, missing",
        read_volume,
        nrrd("bad.nhdr", b"", data_file="gone.raw"),
        "data file is not usable.*gone",
    ),
    ("detached, climbing", read_volume, outside, "secret.raw is outside"),
    ("detached, absolute", read_volume, nrrd("bad.nhdr", b"", data_file="/etc/passwd"), "passwd is outside"),
    ("detached, list", read_volume, nrrd("bad.nhdr", b"", data_file="LIST"), "list of files"),
    ("detached, numbered", read_volume, nrrd("bad.nhdr", b"", data_file="s%03d.raw 1 9 1"), "list of files"),
    ("detached, too short", read_volume, short_data, "claims 120 bytes .* can hold 50"),
    # Masks and labels
    ("mask of two values", read_mask, saved(steps(1, 3)), "values 0, 1, 3"),
    ("mask below zero", read_mask, saved(mask(np.int16, -1)), "values -1, 0"),
    ("mask without background", read_mask, saved(np.ones(SHAPE, np.uint8)), "values 1 from 1 to 1"),
    ("odd float mask", read_mask, saved(steps(1, 1.5)), "values 0, 1, 1.5"),
    (
        "Hounsfield units as mask",
        read_mask,
        saved(np.linspace(-1000, 1000, 120).reshape(SHAPE)),
        "Hounsfield units: segment the bone",
    ),
    ("label 3", read_labels, saved(mask(np.uint8, 3)), "values 0, 3"),
    ("label 0.5", read_labels, saved(mask(np.float32, 0.5)), "values 0, 0.5"),
    ("labels in 255", read_labels, saved(steps(1, 255)), "values 0, 1, 255"),
    ("Hounsfield units as labels", folder, saved(np.linspace(-1000, 1000, 120).reshape(SHAPE)), "kind: ct"),
    # Folders
    ("equal ids", folder, twice, "several files have the id bad"),
    ("archive", folder, archive("1.nii"), "is an archive.*unpacked files only"),
    ("archive that climbs", folder, archive("1.nii", "../../2.nii"), "outside its folder .*do not unpack"),
    ("archive with a drive", folder, archive("C:\\windows\\x"), "outside its folder .*do not unpack"),
    ("archive from the root", folder, archive("/etc/x"), "outside its folder .*do not unpack"),
    ("damaged archive", folder, raw("bad.zip", b"PK"), "damaged archive"),
    ("tar", folder, raw("bad.tar.gz", b"x"), "is an archive"),
    # DICOM
    ("no folder", read_series, lambda where: where / "bad", "no such file"),
    ("no slices", read_series, header_only, "no DICOM slices"),
    ("no slices in a source", ct, header_only, "no DICOM slices"),
    ("two slices", read_series, not_at_all, "2 slices"),
    ("MR", read_series, series(modality="MR"), "the series is of modality MR, expected CT"),
    (
        "missing slice",
        read_series,
        series(lambda paths: paths[2].unlink()),
        "001.dcm: .* missing between .*003.dcm, 3.00",
    ),
    ("missing second slice", ct, series(lambda paths: paths[1].unlink()), "000.dcm: .*missing"),
    (
        "slice twice",
        read_series,
        series(lambda paths: slice_like(paths[0].with_name("x.dcm"))),
        "same place as",
    ),
    (
        "slice off its place",
        read_series,
        series(lambda paths: slice_like(paths[2], height=3.4)),
        "slices lie unevenly, 001.dcm and 002.dcm|unevenly, 002.dcm and 003.dcm",
    ),
    (
        "slice of another size",
        read_series,
        series(lambda paths: slice_like(paths[2], (6, 7))),
        "missing between 001.dcm and 003.dcm.*002.dcm .other size",
    ),
    (
        "other pixel spacing",
        read_series,
        series(lambda paths: slice_like(paths[2], spacing=(1.0, 1.0))),
        "missing between 001.dcm and 003.dcm.*002.dcm .other pixel spacing",
    ),
    (
        "other orientation",
        read_series,
        series(lambda paths: slice_like(paths[2], orientation="1\\0\\0\\0\\0\\-1")),
        "missing between 001.dcm and 003.dcm.*002.dcm .other orientation",
    ),
    (
        "no orientation in DICOM",
        read_series,
        series(not_upright),
        "000.dcm and 5 more .without a valid position",
    ),
    (
        "slice cut",
        read_series,
        series(lambda paths: paths[2].write_bytes(paths[2].read_bytes()[:-30])),
        "002.dcm: its pixels cannot be decoded",
    ),
    (
        "slice of text",
        read_series,
        series(lambda paths: paths[2].write_text("x")),
        "002.dcm: is not a DICOM file",
    ),
    (
        "RGB slices",
        read_series,
        series(lambda paths: [slice_like(path, (5, 7, 3), 1.5 * n) for n, path in enumerate(paths)]),
        "000.dcm and 5 more .colours",
    ),
]


def listing(folder: Path) -> list[tuple[str, int, int]]:
    found = ((str(path), path.lstat()) for path in sorted(folder.rglob("*")))
    return [(name, state.st_size, state.st_mtime_ns) for name, state in found]


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """Import the libraries before memory is measured."""
    import nibabel
    import nrrd
    import SimpleITK

    assert nibabel
    assert nrrd
    assert SimpleITK


def test_the_corpus_is_large():
    assert len({title for title, *_ in CORPUS}) == len(CORPUS) >= 40


@pytest.mark.parametrize(
    ("read", "build", "message"), [case[1:] for case in CORPUS], ids=[case[0] for case in CORPUS]
)
def test_broken_input(tmp_path, read, build, message):
    """The message names file, fault and remedy; little memory is used, and the input stays unchanged."""
    path = build(tmp_path)
    before = listing(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert path.name in text
    assert REMEDY.search(text), text
    assert "\n" not in text
    assert peak < MEMORY
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", ["bad.nii", "bad.nrrd"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    """The error is simulated, so that the test also works as root."""
    path = tmp_path / name
    path.write_bytes(b"x")

    def refuse(self: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=f"{name}: may not be read .*; ask its owner"):
        read_volume(path)


@pytest.fixture
def nobody(tmp_path) -> Iterator[None]:
    """Drop root's permission to read everything during a test."""
    if os.geteuid():
        yield
        return
    owned = [folder for folder in (tmp_path, *tmp_path.parents) if folder.stat().st_mode & 0o077 == 0]
    modes = {folder: folder.stat().st_mode for folder in owned}
    for folder in owned:
        folder.chmod(0o711)
    os.chown(tmp_path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(mode)


def test_files_and_folders_without_permission(tmp_path, nobody):
    path = write_nifti(tmp_path / "bad.nii", mask())
    path.chmod(0)
    with pytest.raises(InputError, match="may not be read"):
        read_volume(path)
    tmp_path.chmod(0)
    try:
        with pytest.raises(InputError, match=r"ingest\.sources\.mine\.path: .*may not be read"):
            sources.catalogue({"mine": FolderSource(kind="folder", path=tmp_path)})
    finally:
        tmp_path.chmod(0o700)
