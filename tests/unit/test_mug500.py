"""MUG500+'s implants, meshes without a coordinate system, are placed correctly or rejected."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from calvaria.errors import InputError
from calvaria.sources import Entry
from calvaria.sources.mug500 import Mug500Source

SHAPE = (60, 72, 44)
STEPS = np.array([[2.2, 0, 0], [0, 2.1, -0.33], [0, 0.5, 3.1]])  # LPS mm along i, j, k
ORIGIN = np.array([-61.0, -40.5, 87.0])
LPS = np.block([[STEPS.T, ORIGIN[:, None]], [np.zeros(3), np.ones(1)]])
SPACING = np.linalg.norm(STEPS, axis=1)
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
FRAMES = {
    "LPS": LPS,
    "RAS": FLIP @ LPS,
    "index times spacing": np.diag([*SPACING, 1.0]),
    "index times spacing, reversed": FLIP @ np.diag([*SPACING, 1.0]),
    "without directions": np.block([[np.diag(SPACING), ORIGIN[:, None]], [np.zeros(3), np.ones(1)]]),
    "index": np.eye(4),
}
# The implant: a rotated block in the hole, in voxel coordinates.
BLOCK = trimesh.transformations.euler_matrix(0.1, -0.3, 0.2)
BLOCK[:3, 3] = (45.3, 44.2, 33.4)
EXTENT = np.array([14.3, 17.1, 6.2])


def centres() -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1).astype(np.float64)


def block_distance() -> np.ndarray:
    """Return the distance of each voxel centre from the block in voxels, negative inside."""
    local = (centres() - BLOCK[:3, 3]) @ BLOCK[:3, :3]
    return (np.abs(local) - EXTENT / 2).max(axis=-1)


def skull() -> np.ndarray:
    """Return an asymmetric shell, open at the bottom and with a hole at the block."""
    x, y, z = np.moveaxis((centres() - (29.3, 34.2, 18.1)) / (24.1, 30.2, 21.3), -1, 0)
    x = x * (1 + 0.15 * y)
    radius = np.sqrt(x**2 + y**2 + z**2)
    return (radius < 1) & (radius > 0.86) & (z > -0.7) & (block_distance() > 0.8)


def surface(mask: np.ndarray) -> trimesh.Trimesh:
    """Return the outward faces between mask and background, two triangles each, in voxel coordinates."""
    padded = np.pad(mask, 1).astype(np.int8)
    quads = []
    for axis in range(3):
        u, v = (np.eye(3)[(axis + step) % 3] / 2 for step in (1, 2))
        for sign in (-1, 1):  # leaving and entering the mask along the axis
            at = np.argwhere(np.diff(padded, axis=axis) == sign) - 1.0
            at[:, axis] += 0.5
            corners = [at - u - v, at + u - v, at + u + v, at - u + v]
            quads.append(np.stack(corners[::-1] if sign > 0 else corners, axis=1))
    corners = np.concatenate(quads).reshape(-1, 3)
    first = np.arange(0, len(corners), 4)[:, None]
    return trimesh.Trimesh(
        corners, np.concatenate([first + np.array(t) for t in ((0, 1, 2), (0, 2, 3))]), process=False
    )


def block(shift: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(EXTENT, BLOCK)
    mesh.vertices += shift
    return mesh


def export(mesh: trimesh.Trimesh, path: Path, frame: np.ndarray) -> None:
    copy = mesh.copy()
    copy.apply_transform(frame)
    copy.export(path)


def write_mask(path: Path, mask: np.ndarray) -> None:
    import nrrd

    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"space": "left-posterior-superior", "space directions": STEPS, "space origin": ORIGIN}
    nrrd.write(str(path), mask.astype(np.uint8), header)


def craniotomy(root: Path, frame: np.ndarray, implant: trimesh.Trimesh | None = None) -> Entry:
    folder = root / "B0001"
    write_mask(folder / "B0001.nrrd", skull())
    export(surface(skull()), folder / "B0001.stl", frame)
    export(implant or block(), folder / "B0001_implant.stl", frame)
    (entry,) = mug(root).entries("mug")
    return entry


def mug(path: Path, **more: Any) -> Mug500Source:
    return Mug500Source(kind="mug500", path=path, **more)


@pytest.mark.parametrize("frame", FRAMES)
def test_the_implant_is_filled_where_it_belongs(tmp_path: Path, frame: str) -> None:
    """The reference is the block's planes, for every frame that an STL file may use."""
    entry = craniotomy(tmp_path, FRAMES[frame])
    scan = mug(tmp_path).read(entry, 0)
    distance = block_distance()
    clear = np.abs(distance) > 1e-3
    expected = np.where(skull(), 1, np.where(distance < 0, 2, 0))
    assert scan.labels.dtype == np.uint8
    assert (scan.labels == 2).sum() > 500
    assert np.array_equal(scan.labels[clear], expected[clear])
    assert scan.affine == pytest.approx(FLIP @ LPS)


def test_a_mesh_that_fits_in_no_frame_is_refused(tmp_path: Path) -> None:
    """An implant is never placed by guessing: the message lists the frames tried, with figures."""
    away = np.eye(4)
    away[:3, 3] = (31, 7, -13)
    entry = craniotomy(tmp_path, away @ LPS)
    with pytest.raises(InputError, match=r"B0001\.stl: .* any frame tried: LPS mm \d+%, RAS mm \d+%, .* 80%"):
        mug(tmp_path).read(entry, 0)


def test_implants_in_the_wrong_place_are_refused(tmp_path: Path) -> None:
    """An implant away from the bone, inside it, or outside the volume belongs to another skull."""
    entry = craniotomy(tmp_path, LPS, block((-16, -10, -16)))
    with pytest.raises(InputError, match=r"B0001_implant\.stl: is more than 3 mm"):
        mug(tmp_path).read(entry, 0)
    entry = craniotomy(tmp_path, LPS, block((0, 0, 30)))
    with pytest.raises(InputError, match=r"100% of its vertices are outside the volume"):
        mug(tmp_path).read(entry, 0)
    bone = np.argwhere(skull())[len(np.argwhere(skull())) // 2]
    inside = trimesh.creation.box((1.2, 1.2, 1.2), trimesh.transformations.translation_matrix(bone))
    entry = craniotomy(tmp_path, LPS, inside)
    with pytest.raises(InputError, match=r"fills 1 voxels of its skull's grid, 0 of them outside bone"):
        mug(tmp_path).read(entry, 0)
    between = trimesh.creation.box((0.3, 0.3, 0.3), trimesh.transformations.translation_matrix(bone + 0.5))
    entry = craniotomy(tmp_path, LPS, between)
    with pytest.raises(InputError, match=r"fills 0 voxels"):
        mug(tmp_path).read(entry, 0)


@pytest.mark.parametrize(("unit", "mm"), [("metres", 1000), ("centimetres", 10)])
def test_a_unit_other_than_millimetres_is_named(tmp_path: Path, unit: str, mm: float) -> None:
    """Such a mesh covers few voxels, all of which may be on the surface; it does not fit."""
    entry = craniotomy(tmp_path, np.diag([1 / mm, 1 / mm, 1 / mm, 1.0]) @ LPS)
    with pytest.raises(InputError, match=rf"B0001\.stl: is in {unit}, .* {mm:g} times as large"):
        mug(tmp_path).read(entry, 0)


@pytest.mark.parametrize("signs", [(-1, 1, 1), (-1, -1, 1)])
def test_an_implant_in_other_coordinates_than_its_skull_is_refused(tmp_path: Path, signs: Any) -> None:
    """The hole is near the middle, so the implant touches bone and overlaps the hole in both cases."""
    lps = np.diag([2.0, 2.0, 2.0, 1.0])
    lps[:3, 3] = -2.0 * (np.array(SHAPE) - 1) / 2
    skull, hole = off_the_middle()
    import nrrd

    folder = tmp_path / "B0001"
    folder.mkdir()
    header = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
    }
    nrrd.write(str(folder / "B0001.nrrd"), skull.astype(np.uint8), header)
    export(surface(skull), folder / "B0001.stl", lps)
    export(surface(hole), folder / "B0001_implant.stl", lps)
    (entry,) = mug(tmp_path).entries("mug")
    assert np.array_equal(mug(tmp_path).read(entry, 0).labels, skull + 2 * hole)
    export(surface(hole), folder / "B0001_implant.stl", np.diag([*signs, 1.0]) @ lps)
    with pytest.raises(InputError, match=r"B0001_implant\.stl: does not fill the hole .* mirrored in"):
        mug(tmp_path).read(entry, 0)


def off_the_middle() -> tuple[np.ndarray, np.ndarray]:
    """Return a shell with a 32 mm hole next to its top, and the missing part; mirror images overlap."""
    at = (centres() - (np.array(SHAPE) - 1) / 2) * 2.0
    radius = np.linalg.norm(at / (56.0, 68.0, 40.0), axis=-1)
    shell = (radius < 1) & (radius > 0.86)
    hole = shell & (np.hypot(at[..., 0] - 5, at[..., 1] - 4) < 16) & (at[..., 2] > 0)
    return shell & ~hole, hole


def test_skulls_are_listed_from_folders_and_archives(tmp_path: Path) -> None:
    """Healthy skulls and craniotomies are listed as published or as extracted; other files are ignored."""
    for folder in ("A0002", "A0491-A0495/A0491", "A0500/A0500", "__MACOSX/A0492", "notes"):
        write_mask(tmp_path / folder / f"{folder[-5:]}.nrrd", skull())
    (tmp_path / "A0002" / "A0002_clear.stl").touch()
    for name in ("B0001.nrrd", "B0001.stl", "B0001_implant.stl", "B0001.png"):
        path = tmp_path / "craniotomy_skull" / "B0001" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = mug(tmp_path).entries("mug")
    assert [entry.id for entry in found] == ["mug/A0002", "mug/A0491", "mug/A0500", "mug/B0001"]
    assert [entry.person for entry in found] == [entry.id for entry in found]
    assert [len(entry.files) for entry in found] == [1, 1, 1, 3]
    assert not any(entry.fault for entry in found)
    assert mug(tmp_path, limit=1).entries("mug") == found[:1]
    scan = mug(tmp_path).read(found[0], 0)
    assert np.array_equal(scan.labels, skull())
    write_mask(tmp_path / "A0002" / "A0002.nrrd", np.zeros(SHAPE))
    with pytest.raises(InputError, match=r"A0002\.nrrd: is empty"):
        mug(tmp_path).read(found[0], 0)


def test_missing_and_doubled_skulls_are_faults(tmp_path: Path) -> None:
    """Each fault names its file or folders; a folder without any skull is rejected."""
    with pytest.raises(InputError, match=r"ingest\.sources\.mug\.path: .* holds no folder A0001"):
        mug(tmp_path).entries("mug")
    (tmp_path / "A0001").mkdir()
    (tmp_path / "B0001").mkdir()
    for name in ("B0001.nrrd", "B0001_implant.stl"):
        (tmp_path / "B0001" / name).touch()
    for folder in ("A0003", "A0001-A0020/A0003"):
        write_mask(tmp_path / folder / "A0003.nrrd", skull())
    faults = [str(entry.fault) for entry in mug(tmp_path).entries("mug")]
    assert faults[0].startswith(f"no such file: {tmp_path / 'A0001' / 'A0001.nrrd'};")
    assert "remove all but one" in faults[1]
    assert faults[2].startswith(f"no such file: {tmp_path / 'B0001' / 'B0001.stl'};")
