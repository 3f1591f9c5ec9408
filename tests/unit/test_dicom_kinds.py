"""DICOM from scanners and PACS: accepted, ignored and rejected files."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calvaria.errors import InputError
from calvaria.plugins.scan import summarise
from calvaria.sources.dicom import read_series
from calvaria.sources.dicom.headers import Plane
from calvaria.sources.dicom.series import Series, choose
from calvaria.sources.volumes import read_volume
from tests.unit import dicoms
from tests.unit.builders import ramp, write_series, write_slice

SAGITTAL = "0\\1\\0\\0\\0\\-1"


def left_out(folder: Path) -> dict[str, str]:
    return {one.file: one.reason for one in read_series(folder).origin.left_out}


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
@pytest.mark.parametrize("syntax", [None, dicoms.RLE, dicoms.JPEG_LOSSLESS, dicoms.JPEG_LS, dicoms.JPEG_2000])
def test_photometric_interpretation_is_about_display(tmp_path, dtype, syntax):
    """Libraries invert MONOCHROME1, compressed or not; Hounsfield units are rescaled stored values."""
    values = np.kron(ramp(), np.ones((8, 8, 1), np.int16))  # JPEG 2000 needs more than a few pixels
    stored = (values + (1024 if dtype is np.uint16 else 0)).astype(dtype)
    tags = {"PhotometricInterpretation": "MONOCHROME1", "intercept": "-1024" if dtype is np.uint16 else "0"}
    for path in write_series(tmp_path, stored, **tags):
        if syntax is not None:
            dicoms.compress(path, syntax)
    assert np.array_equal(read_series(tmp_path).values, values)


def test_bits_that_are_not_stored_are_no_values(tmp_path):
    """Old scanners store overlays above BitsStored; negative values need not be sign-extended there."""
    stored = ((ramp() + 1024).astype(np.uint16) & 0x0FFF) | 0x8000
    write_series(tmp_path, stored, intercept="-1024", BitsStored=12, HighBit=11)
    assert np.array_equal(read_series(tmp_path).values, ramp())
    stored = (ramp() & 0x0FFF).astype(np.int16)
    write_series(tmp_path, stored, BitsStored=12, HighBit=11)
    assert np.array_equal(read_series(tmp_path).values, ramp())


@pytest.mark.parametrize(
    ("dtype", "values", "tags"),
    [
        (np.uint16, (63536,), {"PixelPaddingValue": 63536, "intercept": "-1024"}),
        (np.uint16, (63536,), {"PixelPaddingValue": 63536, "intercept": "-1024", "BitsStored": 12}),
        (np.int16, (-2000,), {"PixelPaddingValue": -2000}),
        (np.int16, (-2000, -1500), {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1500}),
    ],
)
def test_padding_is_air(tmp_path, dtype, values, tags):
    """63536 as Hounsfield units would be denser than bone; padding may also exceed the stored bits."""
    expected = ramp()
    stored = (expected - int(tags.get("intercept", 0))).astype(dtype)
    stored[0] = values[0]
    stored[1] = values[-1]
    stored[:, :, 2] = values[0]
    expected[:2] = -1000
    expected[:, :, 2] = -1000
    write_series(tmp_path, stored, **tags)
    volume = read_series(tmp_path)
    assert volume.values.dtype == np.int16
    assert np.array_equal(np.maximum(volume.values, -1000), np.maximum(expected, -1000))


def test_padding_does_not_hide_that_the_intercept_is_missing(tmp_path):
    """A padding of -1000 with stored values of 24 and more would look like air."""
    stored = ramp() + 1024
    stored[0] = -2000
    write_series(tmp_path, stored, PixelPaddingValue=-2000)
    assert read_series(tmp_path).values.min() == stored[1:, :, 0].min()


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("which", [slice(None), slice(-2, None)])
@pytest.mark.parametrize("ending", [".dcm", ""])
def test_files_without_preamble(tmp_path, implicit, which, ending):
    """Without them, slices at the ends would be lost without a gap."""
    for path in write_series(tmp_path, ramp())[which]:
        dicoms.strip_preamble(path, implicit=implicit)
        path.rename(path.with_suffix(ending))
    assert np.array_equal(read_series(tmp_path).values, ramp())


def test_what_holds_no_image_of_a_ct_is_left_out(tmp_path):
    write_series(tmp_path / "a", ramp())
    (tmp_path / "b").mkdir()
    kinds = {
        "raw": dicoms.RAW_DATA,
        "registration": dicoms.REGISTRATION,
        "surface": dicoms.SURFACE,
        "csa": dicoms.SIEMENS_CSA,
        "hanging": dicoms.HANGING_PROTOCOL,
        "ecg": dicoms.ECG,
        "report": dicoms.REPORT,
    }
    for name, kind in kinds.items():
        dicoms.write_object(tmp_path / "b" / f"{name}.dcm", kind)
    segment = np.zeros((5, 7), np.uint8)
    write_slice(tmp_path / "seg.dcm", segment, kind=dicoms.SEGMENTATION, modality="SEG", NumberOfFrames="6")
    write_series(tmp_path / "mr", ramp(9), series="8.8", modality="MR", kind="1.2.840.10008.5.1.4.1.1.4")
    page = np.zeros((50, 70, 3), np.uint8)
    write_slice(tmp_path / "dose.dcm", page, kind=dicoms.CAPTURE, position=None, orientation=None)
    write_slice(tmp_path / "page.dcm", page[:, :, 0], kind=dicoms.CAPTURE, position=None)
    volume = read_series(tmp_path)
    assert np.array_equal(volume.values, ramp())
    reasons = {one.file: one.reason for one in volume.origin.left_out}
    assert {name: reasons.pop(f"b/{name}.dcm")[:9] for name in kinds} == dict.fromkeys(kinds, "no image:")
    assert reasons.pop("seg.dcm") == "modality SEG"
    assert reasons.pop("dose.dcm") == "secondary capture"
    assert reasons.pop("page.dcm").startswith("secondary capture without a valid position")
    assert set(reasons.values()) == {"modality MR"}
    second = summarise("CT", volume.values, volume.affine, volume.origin).lines()[1]
    assert "mr/000.dcm and 8 more (modality MR)" in second


def test_a_folder_without_ct_says_what_it_holds(tmp_path):
    dicoms.write_object(tmp_path / "report.dcm", dicoms.REPORT, "SR")
    with pytest.raises(InputError, match=r"no DICOM slices of a CT; left out: report.dcm .no image: .*Dose"):
        read_series(tmp_path)
    write_series(tmp_path, ramp(), modality="MR", kind="1.2.840.10008.5.1.4.1.1.4")
    with pytest.raises(InputError, match=r"the series is of modality MR, expected CT") as caught:
        read_series(tmp_path)
    assert "copy" not in str(caught.value)


@pytest.mark.parametrize("name", ["AA.dcm", "zz.dcm"])
@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER", "orientation": SAGITTAL}, "localizer"),
        ({"orientation": SAGITTAL}, "other orientation than the series"),
        ({"position": "0\\0\\90", "spacing": (2.0, 2.0)}, "other pixel spacing than the series"),
        ({"position": None}, "without a valid position, orientation and pixel spacing"),
        ({"position": "0\\0\\90", "series": "9.9"}, "series of at most 3 slices"),
    ],
)
def test_the_odd_one_is_left_out_and_named(tmp_path, name, tags, why):
    """The majority of slices decides, not the first one."""
    write_series(tmp_path, ramp())
    write_slice(tmp_path / name, np.zeros((5, 7), np.int16), **{"instance": "1.2.3.99", **tags})
    assert np.array_equal(read_series(tmp_path).values, ramp())
    assert left_out(tmp_path) == {name: why}


def test_a_series_uid_or_frame_of_reference_for_each_slice(tmp_path):
    """Faulty anonymisers write such files; localizers stay separate."""
    for n, path in enumerate(write_series(tmp_path, ramp(), SeriesNumber="2")):
        dicoms.change(path, SeriesInstanceUID=f"1.2.4.{n + 1}")
    write_series(tmp_path, ramp(2), prefix="scout", series="9.9", orientation=SAGITTAL)
    volume = read_series(tmp_path)
    assert np.array_equal(volume.values, ramp())
    assert "different series UIDs" in volume.origin.notes[0]
    assert len(volume.origin.left_out) == 2
    for n, path in enumerate(write_series(tmp_path, ramp())):
        dicoms.change(path, FrameOfReferenceUID=f"1.2.5.{n + 1}")
    assert np.array_equal(read_series(tmp_path).values, ramp())


def test_copies_are_read_once(tmp_path):
    for path in write_series(tmp_path, ramp()):
        shutil.copy(path, path.with_name(f"{path.stem} (1).dcm"))
    assert np.array_equal(read_series(tmp_path).values, ramp())
    assert set(left_out(tmp_path).values()) == {"copy of another file"}
    assert len(left_out(tmp_path)) == 6


def test_one_instance_uid_for_all_slices_does_not_make_them_copies(tmp_path):
    for path in write_series(tmp_path, ramp()):
        dicoms.change(path, SOPInstanceUID="1.2.3")
    assert np.array_equal(read_series(tmp_path).values, ramp())


@pytest.mark.parametrize("rise", [0.75, 0.0])
@pytest.mark.parametrize(
    ("what", "tag"), [("acquisitions", "AcquisitionNumber"), ("kernels", "ConvolutionKernel")]
)
def test_two_acquisitions_are_not_interleaved(tmp_path, rise, what, tag):
    """Half a slice apart, they would be regularly spaced slices of two alternating heads."""
    write_series(tmp_path, ramp(), **{tag: "1"})
    for path in write_series(tmp_path, ramp(5), prefix="b", **{tag: "2"}):
        height = 1.5 * int(path.stem[1:]) + rise
        dicoms.change(
            path, ImagePositionPatient=[0, 0, height], SOPInstanceUID=f"1.3.{int(path.stem[1:]) + 1}"
        )
    with pytest.raises(InputError, match=rf"two {what}, 1 with 6 and 2 with 5 slices; keep one .*b000\.dcm"):
        read_series(tmp_path)


def test_acquisitions_block_after_block_are_one_scan(tmp_path):
    for n, path in enumerate(write_series(tmp_path, ramp(9))):
        dicoms.change(path, AcquisitionNumber=str(n // 3 + 1))
    assert np.array_equal(read_series(tmp_path).values, ramp(9))


def test_slices_in_one_place_are_no_volume(tmp_path):
    """Bolus-monitoring slices are rejected, and ignored next to a head."""
    write_series(tmp_path, ramp(), step=(0, 0, 0), series="9.9", SeriesNumber="7")
    with pytest.raises(InputError, match="no volume: all slices are in one place"):
        read_series(tmp_path)
    write_series(tmp_path / "head", ramp(5))
    assert np.array_equal(read_series(tmp_path).values, ramp(5))


def two_spacings(folder: Path, gaps: list[float], tilt: float = 0.0) -> np.ndarray:
    """Write slices whose values are ten times their height in mm, and return the heights."""
    heights = np.concatenate([[0], np.cumsum(gaps)])
    for k, height in enumerate(heights):
        write_slice(
            folder / f"{k:03d}.dcm",
            np.full((5, 7), round(10 * height), np.int16),
            position=f"0\\{tilt * height:.6f}\\{height:.6f}",
            instance=f"1.2.3.{k + 1}",
        )
    return heights


@pytest.mark.parametrize("tilt", [0.0, 0.3])
@pytest.mark.parametrize(
    ("gaps", "distances", "spacing"),
    [
        ([2.0] * 5 + [0.5] + [3.0] * 4, "2 and 3", 2.0),
        ([6.0] * 4 + [1.5] * 8, "6 and 1.5", 1.5),
        ([1.5] * 4 + [0.7] + [1.5] * 4, "1.5", 1.5),
    ],
)
def test_regular_runs_of_two_spacings_are_resampled(tmp_path, gaps, distances, spacing, tilt):
    """Head protocols have thinner slices at the base; a tilted gantry stays sheared."""
    heights = two_spacings(tmp_path, gaps, tilt)
    volume = read_series(tmp_path)
    assert volume.values.shape == (7, 5, int(heights[-1] / spacing + 1e-6) + 1)
    assert np.allclose(volume.affine[:3, 2], [0, -tilt * spacing, spacing], atol=1e-6)
    assert np.allclose(volume.affine[:3, 3], 0, atol=1e-6)
    assert np.abs(volume.values[3, 2] - 10 * spacing * np.arange(volume.values.shape[2])).max() <= 1
    assert volume.values.dtype == np.int16
    [note] = volume.origin.notes
    assert note.startswith(f"slices of {distances} mm in one series were resampled to {spacing:g} mm")


@pytest.mark.parametrize(
    ("gaps", "message"),
    [
        ([1.5] * 4 + [3.0] + [1.5] * 4, r"missing between 004\.dcm and 005\.dcm, 3\.00"),
        ([3.0] + [1.5] * 6, r"missing between 000\.dcm and 001\.dcm"),
        ([2.0] * 4 + [8.0] + [3.0] * 4, r"missing between 004\.dcm and 005\.dcm"),
        ([2.0, 2.4, 1.6, 2.0, 2.0, 2.0, 2.0], r"slices lie unevenly"),
    ],
)
def test_a_missing_slice_is_not_resampled_over(tmp_path, gaps, message):
    two_spacings(tmp_path, gaps)
    with pytest.raises(InputError, match=message) as caught:
        read_series(tmp_path)
    assert "copy" not in str(caught.value)


def series(number: str, kernel: str, distance: float, slices: int, **changes: Any) -> Series:
    """Return a series of a head with a field of view of 250 mm."""
    plane = Plane(
        path=Path("a.dcm"),
        frame=0,
        instance="1",
        patient="p",
        study="1.2",
        frame_of_reference="1.3",
        series=f"1.4.{number}",
        number=number,
        description="Head",
        part="HEAD",
        kernel=kernel,
        acquisition="1",
        derived=False,
        thickness_mm=distance,
        position=np.zeros(3),
        directions=np.eye(3)[:2],
        spacing=(0.5, 0.5),
        size=(500, 500),
        slope=1.0,
        intercept=0.0,
    )
    plane = replace(plane, **changes)
    return Series(tuple(replace(plane, position=np.array([0, 0, distance * k])) for k in range(slices)))


BRAIN = series("1", "H30s", 0.75, 220)
BONE = series("2", "H60s", 1.0, 160, description="Head BONE")
THICK = series("3", "H60s", 5.0, 32)
PETROUS = series("4", "U75u", 0.4, 100, spacing=(0.2, 0.2))
CHEST = series("5", "B60s", 0.6, 500, part="CHEST")
MPR = series("6", "H60s", 0.75, 220, derived=True)
SLAB = series("7", "H60s", 0.75, 220, thickness_mm=10.0)
BOLUS = series("8", "H60s", 0.0, 30)
EVERY = [BRAIN, BONE, THICK, PETROUS, CHEST, MPR, SLAB, BOLUS]


@pytest.mark.parametrize(
    ("every", "best"),
    [
        (EVERY, BONE),
        (EVERY[::-1], BONE),
        ([BRAIN, THICK, PETROUS, CHEST, MPR], BRAIN),
        ([THICK, PETROUS], THICK),
        ([CHEST, THICK], THICK),
        ([BRAIN, SLAB], BRAIN),
        ([CHEST], CHEST),
        ([series("1", "B60s", 0.6, 500, part="HEART"), THICK], THICK),
        ([series("1", "FC30", 0.5, 300), series("2", "FC21", 0.5, 300)], series("1", "FC30", 0.5, 300)),
        ([series("1", "STANDARD", 0.625, 250), series("2", "BONEPLUS", 0.625, 250)], 1),
    ],
)
def test_the_thinnest_sharp_head_is_chosen(every, best):
    """Neither the sharpest series, which covers an ear, nor a reformatted or contrast one is chosen."""
    chosen, _ = choose(Path("x"), every, None)
    expected = every[best] if isinstance(best, int) else best
    assert chosen.first.number == expected.first.number


@pytest.mark.parametrize("text", ["3", "1.4.3", "thick"])
def test_a_series_is_chosen_by_number_uid_or_description(text):
    thick = series("3", "H30s", 5.0, 32, description="Head THICK")
    chosen, [note] = choose(Path("x"), [BRAIN, BONE, thick], text)
    assert chosen is thick
    assert "3 'Head THICK' (kernel H30s, 32 slices, 5 mm) was taken" in note
    assert "2 'Head BONE' (kernel H60s, 160 slices, 1 mm)" in note


def test_an_unknown_series_and_several_patients_are_refused():
    with pytest.raises(
        InputError, match=r"no series 'x9', expected .*'Head BONE' .kernel H60s, 160 slices, 1 mm"
    ):
        choose(Path("x"), [BRAIN, BONE], "x9")
    other = series("2", "H60s", 1.0, 160, patient="q")
    with pytest.raises(InputError, match="series of 2 patients, expected one"):
        choose(Path("x"), [BRAIN, other], None)
    assert choose(Path("x"), [BRAIN, other], "2")[0] is other


def test_one_of_two_series_is_read_and_the_other_named(tmp_path):
    write_series(tmp_path / "a", ramp(), SeriesNumber="2", SeriesDescription="soft")
    write_series(tmp_path / "b", ramp() + 1, SeriesNumber="3", SeriesDescription="bone", series="7.7")
    volume = read_series(tmp_path)
    assert np.array_equal(volume.values, ramp() + 1)
    assert volume.origin.series == "3 'bone' (6 slices, 1.5 mm)"
    assert volume.origin.notes == (
        "of 2 CT series 3 'bone' (6 slices, 1.5 mm) was taken, not 2 'soft' (6 slices, 1.5 mm)",
    )
    assert np.array_equal(read_series(tmp_path, "soft").values, ramp())


def test_an_enhanced_ct_is_a_volume_in_one_file(tmp_path):
    """Frames are in any order, each with rescale and position; alone, in a folder, without extension."""
    step = (0, 0.3, 1.5)
    path = dicoms.write_enhanced(tmp_path / "a" / "ct.dcm", ramp(), [3, 0, 1, 5, 4, 2], step)
    shutil.copy(path, tmp_path / "IM0001")
    for volume in (read_volume(path), read_series(tmp_path / "a"), read_volume(tmp_path / "IM0001")):
        assert np.array_equal(volume.values, ramp())
        assert np.allclose(volume.affine, [[-0.9, 0, 0, 0], [0, -0.8, -0.3, 0], [0, 0, 1.5, 0], [0, 0, 0, 1]])
        assert volume.origin.series == "1.2.3.4 (kernel H60s, 6 slices, 1.5 mm)"


def test_an_enhanced_ct_that_is_cut_off(tmp_path):
    path = dicoms.write_enhanced(tmp_path / "ct.dcm", ramp(), list(range(6)))
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(InputError, match=r"ct\.dcm: its pixels cannot be decoded .*copy it again"):
        read_volume(path)


def test_one_slice_is_not_a_volume(tmp_path):
    [first, *_] = write_series(tmp_path, ramp())
    with pytest.raises(
        InputError, match=rf"000\.dcm: is one DICOM slice; give its folder, {re.escape(str(tmp_path))}"
    ):
        read_volume(first)
    write_slice(first, np.zeros((5, 7), np.int16), modality="MR", kind="1.2.840.10008.5.1.4.1.1.4")
    with pytest.raises(InputError, match="is of modality MR, expected CT"):
        read_volume(first)
    dicoms.write_object(first, dicoms.RAW_DATA)
    with pytest.raises(InputError, match=r"DICOM without a CT volume .no image: Raw Data"):
        read_volume(first)
