"""The surface of a fitted implant as a mesh in patient coordinates."""

from typing import TYPE_CHECKING

import numpy as np

from calvaria.reconstruction.implant.fitting import Fitted
from calvaria.reconstruction.implant.space import Space

if TYPE_CHECKING:
    import trimesh

LEAST_LEVEL_MM = 1e-3  # samples exactly on the surface would produce triangles without area


def surface(fitted: Fitted, space: Space) -> "trimesh.Trimesh":
    """Return the zero level set as triangles that face outwards, in RAS+ millimetres.

    Source: Lewiner et al. 2003, marching cubes with topological guarantees.
    """
    import trimesh
    from skimage.measure import marching_cubes

    level = np.pad(fitted.level_mm, 1, constant_values=1.0)
    level = np.where(np.abs(level) < LEAST_LEVEL_MM, LEAST_LEVEL_MM, level)
    corners, faces, _, _ = marching_cubes(level, 0.0, allow_degenerate=False)
    positions = (corners - 1) * space.spacing_mm
    placed = positions @ space.to_patient[:3, :3].T + space.to_patient[:3, 3]
    mesh = trimesh.Trimesh(placed, faces, process=True)
    if mesh.volume < 0:  # the scan's axes are a left-handed frame, or the level grows inwards
        mesh.invert()
    return mesh


def mesh_bytes(mesh: "trimesh.Trimesh", ending: str) -> bytes:
    """Return the content of a mesh file in millimetres, by its ending: ``.stl`` (binary) or ``.ply``."""
    return bytes(mesh.export(file_type=ending.lower().removeprefix(".")))
