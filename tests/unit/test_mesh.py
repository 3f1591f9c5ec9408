"""Meshes are read without silent loss, and voxelised by an exact and deterministic rule."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from calvaria.errors import InputError
from calvaria.sources.mesh import lids, merged, read_solid, read_stl, voxelise

SHAPE = (24, 27, 30)


def parts(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)


def ball(radius: float = 8.3, at: tuple[float, ...] = (11.2, 12.4, 14.1), fine: int = 3) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=fine, radius=radius)
    mesh.vertices += at
    return mesh


def centres(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(np.float64)


def depth_below_planes(mesh: trimesh.Trimesh) -> np.ndarray:
    """Return the depth of each voxel centre below the nearest plane of a convex mesh, negative outside."""
    vertices, faces = parts(mesh)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return ((a * normal).sum(axis=1) - centres() @ normal.T).min(axis=-1)


@pytest.mark.parametrize("seed", range(8))
def test_every_centre_off_the_surface_is_decided_rightly(seed: int) -> None:
    """Rotated ellipsoids, partly outside the grid, are compared with the planes of their triangles."""
    rng = np.random.default_rng(seed)
    mesh = trimesh.creation.icosphere(subdivisions=2)
    turn = trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3]
    mesh.vertices = mesh.vertices * rng.uniform(4, 14, 3) @ turn.T + rng.uniform(8, 16, 3)
    depth = depth_below_planes(mesh)
    clear = np.abs(depth) > 1e-6
    assert np.array_equal(voxelise(*parts(mesh), SHAPE)[clear], (depth > 0)[clear])


@pytest.mark.parametrize("seed", range(8))
def test_corners_and_edges_on_voxel_centres_are_counted_once(seed: int) -> None:
    """Corners and edges of lattice polyhedra hit columns exactly; a miscount would corrupt columns."""
    points = np.random.default_rng(seed).integers(2, 22, (12, 3))
    hull = ConvexHull(points)
    mesh = trimesh.Trimesh(points, hull.simplices, process=False)
    flip = (np.cross(*np.moveaxis(np.diff(mesh.triangles, axis=1), 1, 0)) * hull.equations[:, :3]).sum(1) < 0
    mesh.faces[flip] = mesh.faces[flip][:, ::-1]
    depth = depth_below_planes(mesh)
    clear = np.abs(depth) > 1e-9
    assert not clear.all()
    assert np.array_equal(voxelise(*parts(mesh), SHAPE)[clear], (depth > 0)[clear])


def test_a_box_between_voxel_centres_is_half_open() -> None:
    """Faces in planes of voxel centres belong to the lower side only, so adjacent boxes never overlap."""
    box = trimesh.creation.box(bounds=[(3, 4, 5), (9, 11, 20)])
    filled = voxelise(*parts(box), SHAPE)
    expected = np.zeros(SHAPE, bool)
    expected[3:9, 4:11, 5:20] = True
    assert np.array_equal(filled, expected)


def test_volumes_converge() -> None:
    """Volumes of ball, rotated ellipsoid and box are correct within 1 % at fine resolution."""
    shape = (90, 90, 90)
    sphere = ball(38.6, (44.3, 45.1, 44.7), 5)
    assert voxelise(*parts(sphere), shape).sum() == pytest.approx(4 / 3 * np.pi * 38.6**3, rel=0.01)
    turn = trimesh.transformations.euler_matrix(0.4, 1.1, -0.7)
    turn[:3, 3] = 44.6
    ellipsoid = trimesh.creation.icosphere(subdivisions=5)
    ellipsoid.vertices *= (41.0, 23.0, 30.5)
    ellipsoid.apply_transform(turn)
    assert voxelise(*parts(ellipsoid), shape).sum() == pytest.approx(4 / 3 * np.pi * 41 * 23 * 30.5, rel=0.01)
    box = trimesh.creation.box((50, 30, 40), turn)
    assert voxelise(*parts(box), shape).sum() == pytest.approx(50 * 30 * 40, rel=0.01)


def test_a_torus_keeps_its_hole() -> None:
    """The surface is not convex, and columns enter and leave it twice."""
    mesh = trimesh.creation.torus(8.0, 3.0, major_sections=128, minor_sections=96)
    mesh.apply_transform(trimesh.transformations.euler_matrix(1.2, 0.3, 0.5))
    mesh.vertices += (11.3, 13.1, 14.6)
    turn = trimesh.transformations.euler_matrix(1.2, 0.3, 0.5)[:3, :3]
    x, y, z = np.moveaxis((centres() - (11.3, 13.1, 14.6)) @ turn, -1, 0)
    depth = 3 - np.hypot(np.hypot(x, y) - 8, z)
    clear = np.abs(depth) > 0.02
    assert np.array_equal(voxelise(*parts(mesh), SHAPE)[clear], (depth > 0)[clear])


def test_shells_overlap_nest_and_turn_inside_out() -> None:
    """Overlaps are inside, an inverted inner shell is a cavity, and inverting a mesh changes nothing."""
    one, two = ball(6.2, (9.1, 12.2, 13.3)), ball(5.7, (14.4, 13.9, 15.2))
    union = voxelise(*parts(trimesh.util.concatenate([one, two])), SHAPE)
    assert np.array_equal(union, voxelise(*parts(one), SHAPE) | voxelise(*parts(two), SHAPE))
    outer, inner = ball(9.0), ball(6.0)
    inner.invert()
    hollow = voxelise(*parts(trimesh.util.concatenate([outer, inner])), SHAPE)
    assert np.array_equal(hollow, voxelise(*parts(outer), SHAPE) & ~voxelise(*parts(inner), SHAPE))
    outer.invert()
    assert np.array_equal(voxelise(*parts(outer), SHAPE), voxelise(*parts(ball(9.0)), SHAPE))


def test_the_order_of_triangles_does_not_matter() -> None:
    """Nor does the first vertex of a triangle: equal surfaces give equal voxels."""
    vertices, faces = parts(ball())
    rng = np.random.default_rng(0)
    mixed = np.stack([np.roll(face, rng.integers(3)) for face in rng.permutation(faces)])
    assert np.array_equal(voxelise(vertices, faces, SHAPE), voxelise(vertices, mixed, SHAPE))


def test_parts_out_of_the_grid_are_cut_off() -> None:
    """Parts beyond either side of the grid do not affect voxels inside."""
    vertices, faces = parts(ball(9.5, (12.0, 13.0, 14.0)))
    whole = voxelise(vertices, faces, SHAPE)
    window = voxelise(vertices - (7, 8, 9), faces, (9, 8, 10))
    assert np.array_equal(window, whole[7:16, 8:16, 9:19])
    assert not voxelise(vertices + 500, faces, SHAPE).any()
    assert not voxelise(vertices, faces[:0], SHAPE).any()


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_stl_is_read_back(tmp_path: Path, kind: str) -> None:
    """Binary and ASCII files give the triangles that were written, to float32."""
    mesh = ball()
    mesh.export(tmp_path / "ball.stl", file_type=kind)
    vertices, faces = read_stl(tmp_path / "ball.stl")
    assert vertices.shape == (3 * len(mesh.faces), 3)
    assert vertices[faces] == pytest.approx(mesh.triangles, abs=1e-5)
    vertices, faces = read_solid(tmp_path / "ball.stl")
    assert (len(vertices), len(faces)) == (len(mesh.vertices), len(mesh.faces))


@pytest.mark.parametrize("header", [b"", b"solid from a program that calls binary files so"])
@pytest.mark.parametrize("tail", [b"", b"\0\0", b"\r\n", bytes(49)])
def test_what_follows_the_last_triangle_is_ignored(tmp_path: Path, header: bytes, tail: bytes) -> None:
    """Some programs append a few bytes to a binary file, or start it like an ASCII file."""
    content = trimesh.exchange.stl.export_stl(ball())
    (tmp_path / "ball.stl").write_bytes(header.ljust(80, b" ") + content[80:] + tail)
    assert read_stl(tmp_path / "ball.stl")[0] == pytest.approx(ball().triangles.reshape(-1, 3), abs=1e-5)


def test_more_than_a_tail_is_refused(tmp_path: Path) -> None:
    """Triangles that the header does not count are not dropped."""
    content = trimesh.exchange.stl.export_stl(ball())
    (tmp_path / "ball.stl").write_bytes(content + content[84:134])
    with pytest.raises(InputError, match="again"):
        read_stl(tmp_path / "ball.stl")


def test_all_solids_of_an_ascii_file_are_read(tmp_path: Path) -> None:
    """An implant in several named solids is not reduced to one of them."""
    texts = [trimesh.exchange.stl.export_stl_ascii(ball(3.0, (x, 9.0, 9.0), 1)) for x in (5.0, 15.0)]
    (tmp_path / "two.stl").write_text("\n".join(texts))
    assert len(read_stl(tmp_path / "two.stl")[1]) == 160


def test_damaged_stl_is_refused(tmp_path: Path) -> None:
    """Truncated, garbled, empty or absent files are an error that names the file, never a smaller mesh."""
    path = tmp_path / "b.stl"
    binary = trimesh.exchange.stl.export_stl(ball())
    text = trimesh.exchange.stl.export_stl_ascii(ball(fine=1))
    strange = [bytearray(binary) for _ in range(2)]
    for content, value in zip(strange, (np.nan, 3e38), strict=True):
        content[96:100] = np.float32(value).tobytes()
    garbled = text.replace("vertex", "vertex x", 1)
    damaged = [binary[:-70], binary[:50], b"", text[: len(text) // 2].encode(), garbled.encode(), *strange]
    for content in [*damaged, b"solid\nendsolid\n", b"\x89PNG" * 60]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"b\.stl.*(again|repair)"):
            read_stl(path)
    with pytest.raises(InputError, match="no such file"):
        read_stl(tmp_path / "absent.stl")


def test_small_holes_are_closed(tmp_path: Path) -> None:
    """A few missing or inverted triangles, as in real implants, do not corrupt whole columns."""
    whole = ball()
    faces = np.delete(whole.faces, [5, 400], axis=0)
    faces[[100, 300]] = faces[[100, 300]][:, ::-1]
    trimesh.Trimesh(whole.vertices, faces, process=False).export(tmp_path / "b.stl")
    filled = voxelise(*read_solid(tmp_path / "b.stl"), SHAPE)
    assert np.array_equal(filled, voxelise(*parts(whole), SHAPE))


def test_closing_leaves_no_edge_open() -> None:
    """After closing any damaged mesh, each edge occurs equally often in both directions."""
    whole = ball(fine=2)
    torn = np.random.default_rng(3).permutation(whole.faces)[:200]
    vertices, patch = lids(np.asarray(whole.vertices), torn)
    again, none = lids(vertices, np.concatenate([torn, patch]))
    assert len(patch)
    assert len(none) == 0
    assert len(again) == len(vertices)


def test_open_surfaces_are_refused(tmp_path: Path) -> None:
    """The volume enclosed by a hemisphere is undefined."""
    whole = ball()
    half = whole.faces[whole.triangles_center[:, 2] > 14]
    trimesh.Trimesh(whole.vertices, half, process=False).export(tmp_path / "half.stl")
    with pytest.raises(InputError, match=r"half\.stl: its surface is not closed: lids on 48 .* more than 1%"):
        read_solid(tmp_path / "half.stl")


def test_merging_drops_collapsed_triangles() -> None:
    """Vertices that differ in the last digit are merged, and slivers between them removed."""
    vertices = np.array([[0, 0, 0], [0, 0, 1e-6], [1, 0, 0], [0, 1, 0]], np.float64)
    points, faces = merged(vertices, np.array([[0, 2, 3], [0, 1, 2]]))
    assert len(points) == 3
    assert len(faces) == 1
