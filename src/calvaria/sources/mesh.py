"""Surface meshes: reading of STL files, closing of small holes, and voxelisation."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calvaria.errors import InputError
from calvaria.sources.opening import open_checked

Points = npt.NDArray[np.float64]  # (n, 3)
Faces = npt.NDArray[np.int64]  # (m, 3), indices of points

_STL_HEADER, _STL_TRIANGLE = 84, 50  # bytes of a binary file; the header ends in the number of triangles
_FARTHEST = 1e6  # no coordinate of a skull is larger, in any unit
_PATCH = 0.01  # holes larger than this fraction of the surface are not closed
_MERGE = 1e-4  # vertices closer than this are one; an STL file repeats a vertex for each of its triangles
_CANDIDATES = 1 << 19  # pairs of triangle and column processed together; bounds the memory
_SLAB = 1 << 22  # voxels filled together; likewise
_FINEST = 29  # bits of a coordinate in fixed point: products of two differences then fit 63 bits


def read_stl(path: Path) -> tuple[Points, Faces]:
    """Return vertices (n, 3) in the file's coordinates, and faces (m, 3), of a binary or ASCII STL file.

    Vertices are as in the file: each triangle has its own three. Several solids become one mesh.

    Raises:
        InputError: if the file is missing, truncated, empty, not STL, or has impossible coordinates.
    """
    import warnings

    import trimesh

    try:
        with open_checked(path) as file:
            content = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # trimesh's ASCII parser only warns where it stops at garbage
            loaded = trimesh.load(io.BytesIO(_without_tail(content)), file_type="stl", process=False)
            meshes = [loaded] if isinstance(loaded, trimesh.Trimesh) else list(loaded.geometry.values())
    except (ValueError, IndexError, KeyError, TypeError, Warning) as error:
        raise InputError(f"{path}: cannot be read as STL ({error}); download or export it again") from None
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = [np.asarray(mesh.faces, np.int64) + at for mesh, at in zip(meshes, starts[:-1], strict=True)]
    if not sum(map(len, faces)):
        raise InputError(
            f"{path}: holds no triangle that can be read, expected a complete binary or ASCII STL; "
            "download or export it again"
        )
    vertices = np.concatenate([np.asarray(mesh.vertices, np.float64) for mesh in meshes])
    bad = int((~(np.abs(vertices) <= _FARTHEST)).any(axis=1).sum())
    if bad:
        raise InputError(
            f"{path}: {bad} vertices have coordinates that are not finite or beyond {_FARTHEST:g}; "
            "repair it in a mesh editor, or export it in millimetres"
        )
    return vertices, np.concatenate(faces)


def _without_tail(content: bytes) -> bytes:
    """Return a binary STL up to its last triangle, as some programs append bytes; other content whole.

    In an ASCII file the four bytes that count triangles are text, a number far larger than the file.
    """
    if len(content) < _STL_HEADER:
        return content
    end = _STL_HEADER + _STL_TRIANGLE * int.from_bytes(content[_STL_HEADER - 4 : _STL_HEADER], "little")
    return content[:end] if _STL_HEADER < end <= len(content) < end + _STL_TRIANGLE else content


def read_solid(path: Path) -> tuple[Points, Faces]:
    """Read an STL file as a closed surface: merge common vertices, and close small holes.

    Raises:
        InputError: as for `read_stl`, or if closing the surface would add more than 1 % to its area.
    """
    vertices, faces = merged(*read_stl(path))
    patch_vertices, patch = lids(vertices, faces)
    area, missing = surface(vertices, faces), surface(patch_vertices, patch)
    if missing > _PATCH * area:
        raise InputError(
            f"{path}: its surface is not closed: lids on {len(patch)} open or wrongly turned edges add "
            f"{missing / max(area, 1e-12):.1%} to its area, more than {_PATCH:.0%}; close it in a mesh editor"
        )
    return patch_vertices, np.concatenate([faces, patch])


def merged(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Merge coinciding vertices (n, 3) of a mesh; drop the triangles that collapse."""
    cells, where = np.unique(np.rint(vertices / _MERGE), axis=0, return_inverse=True)
    faces = where.reshape(-1)[faces]
    a, b, c = faces.T
    return cells * _MERGE, faces[(a != b) & (b != c) & (c != a)]


def surface(vertices: Points, faces: Faces) -> float:
    """Return the area of the triangles."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def lids(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Return faces that close the mesh: all vertices with new ones (n, 3), and the new faces (m, 3).

    An edge is open unless it is traversed as often forwards as backwards. Open edges form closed paths;
    each connected group of them is joined to its mean. A triangle of wrong orientation is corrected.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = np.where(edges[:, 0] < edges[:, 1], 1, -1)
    pairs, which = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    excess = np.bincount(which.reshape(-1), forward, len(pairs)).astype(np.int64)
    is_open = excess != 0
    first, second = pairs[is_open].T
    backward = excess[is_open] < 0
    tails, heads = np.where(backward, second, first), np.where(backward, first, second)
    count = len(vertices)
    links = coo_array((np.ones(len(tails), np.int8), (tails, heads)), shape=(count, count))
    group = np.unique(connected_components(links, directed=False)[1][tails], return_inverse=True)[1].reshape(
        -1
    )
    size = np.bincount(group)
    means = np.stack([np.bincount(group, vertices[tails, axis]) / size for axis in range(3)], axis=1)
    new = np.stack([heads, tails, count + group], axis=1)
    return np.concatenate([vertices, means]), np.repeat(new, np.abs(excess[is_open]), axis=0)


def voxelise(vertices: Points, faces: Faces, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Return the (i, j, k) voxels whose centres are inside a closed mesh.

    A centre is inside where the winding number is not 0, so shells may overlap, and the mesh may be inside
    out as a whole. A centre on the surface is inside where the mesh lies towards higher indices. Parts of
    the mesh may extend beyond the grid.

    Args:
        vertices: (n, 3) voxel coordinates, of which integers are voxel centres; at most 2**28.
        faces: (m, 3) indices of vertices; every edge has to be traversed as often forwards as backwards.
        shape: voxels along i, j, k.
    """
    inside = np.zeros(shape, np.bool_)
    crossings = list(_crossings(vertices[faces], shape))
    if not sum(len(depth) for *_, depth, _ in crossings):
        return inside
    i, j, depth, sign = (np.concatenate(parts) for parts in zip(*crossings, strict=True))
    # Rounded, so that a face that lies in a plane of centres is not torn by the last bit of an interpolation.
    k = np.clip(np.ceil(np.round(depth, 6)), 0, shape[2]).astype(np.int64)
    order = np.argsort(i, kind="stable")
    i, j, k, sign = i[order], j[order], k[order], sign[order]
    j0, j1, k0, k1 = int(j.min()), int(j.max()) + 1, int(k.min()), int(k.max())
    rows = max(1, _SLAB // max(1, (j1 - j0) * (k1 - k0)))
    for i0 in range(int(i[0]), int(i[-1]) + 1, rows):
        i1 = min(i0 + rows, int(i[-1]) + 1)
        part = slice(*np.searchsorted(i, (i0, i1)))
        winding = np.zeros((i1 - i0, j1 - j0, k1 - k0 + 1), np.int32)
        np.add.at(winding, (i[part] - i0, j[part] - j0, k[part] - k0), sign[part])
        np.cumsum(winding, axis=2, out=winding)
        inside[i0:i1, j0:j1, k0:k1] = winding[:, :, :-1] != 0
    return inside


def _crossings(
    triangles: npt.NDArray[np.float64], shape: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield where columns (i, j, any) pierce triangles (m, 3 corners, 3): i, j, depth in k, direction.

    In the plane of i and j the corners are integers in fixed point, so that the side of an edge on which a
    column lies is exact. A column on an edge counts as shifted by (e, e * e) for an infinitesimal e, so
    that it pierces exactly one of the triangles that share the edge.
    """
    extent = max(np.abs(triangles[:, :, :2]).max(initial=1.0), *shape)
    unit = 1 << max(0, _FINEST - int(np.ceil(np.log2(extent))))
    corner = np.rint(triangles[:, :, :2] * unit).astype(np.int64)
    edge = np.roll(corner, -1, axis=1) - corner
    twice_area = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]
    tie = np.where(edge[:, :, 1] != 0, -np.sign(edge[:, :, 1]), np.sign(edge[:, :, 0]))
    low = np.maximum(-(-corner.min(axis=1) // unit), 0)
    high = np.minimum(corner.max(axis=1) // unit, np.array(shape[:2]) - 1)
    width = np.maximum(high - low + 1, 0)
    count = np.where(twice_area != 0, width[:, 0] * width[:, 1], 0)
    z = triangles[:, :, 2]
    ends = np.cumsum(count)
    cuts = np.searchsorted(ends, np.arange(_CANDIDATES, int(ends[-1]) if len(ends) else 0, _CANDIDATES))
    for part in np.split(np.arange(len(triangles)), np.unique(cuts)):
        t = np.repeat(part, count[part])
        at = np.arange(len(t)) - np.repeat(np.cumsum(count[part]) - count[part], count[part])
        p = low[t] + np.stack([at // np.maximum(width[t, 1], 1), at % np.maximum(width[t, 1], 1)], axis=1)
        weight, side = [], []
        for e in range(3):
            to = p * unit - corner[t, e]
            weight.append(edge[t, e, 0] * to[:, 1] - edge[t, e, 1] * to[:, 0])
            side.append(np.where(weight[e] != 0, np.sign(weight[e]), tie[t, e]))
        hit = (side[0] == side[1]) & (side[1] == side[2])
        t, p = t[hit], p[hit]
        rise = weight[2][hit] * (z[t, 1] - z[t, 0]) + weight[0][hit] * (z[t, 2] - z[t, 0])
        yield p[:, 0], p[:, 1], z[t, 0] + rise / twice_area[t], -np.sign(twice_area[t]).astype(np.int32)
