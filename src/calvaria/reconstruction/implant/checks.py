"""Checks of an implant's printability and fit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from calvaria.reconstruction.implant.fitting import Fitted, clearance
from calvaria.reconstruction.implant.space import Space

if TYPE_CHECKING:
    import trimesh

RAYS = 4000
STEP_MM = 0.1
REACH_MM = 30.0
THIN_PERCENTILE = 5.0  # not the minimum, since edges taper to zero
TOLERANCE_MM = 0.25  # half of the finest voxel, the resolution of a scan


@dataclass(frozen=True)
class Check:
    """The check of one property."""

    name: str
    passed: bool
    value: float | int | bool
    expected: str


def check(
    mesh: "trimesh.Trimesh", fitted: Fitted, space: Space, least_thickness_mm: float
) -> tuple[Check, ...]:
    """Check a fitted implant.

    ``watertight``  every edge belongs to two triangles of consistent orientation.
    ``pieces``      one connected surface.
    ``thickness``   mm, minimum over 95 % of the surface, along rays into it.
    ``overlap``     ml of the implant inside bone.
    ``gap``         mm, minimum distance of the surface to bone, with a tolerance of half a voxel.
    ``insertion``   share of the surface whose path outwards along the direction is clear of bone.
    """
    inverse = np.linalg.inv(space.to_patient)
    points = mesh.vertices @ inverse[:3, :3].T + inverse[:3, 3]
    bone = space.at(space.bone_mm, points)
    inside = fitted.level_mm < 0
    overlap = int(np.count_nonzero(inside & (space.bone_mm < 0))) * space.spacing_mm**3 / 1000
    clear_mm = clearance(space, points, fitted.direction)
    free = float(np.mean(clear_mm >= -TOLERANCE_MM))
    thin = float(np.percentile(thickness(fitted, space), THIN_PERCENTILE))
    nearest = float(bone.min())
    sound = bool(mesh.is_watertight and mesh.is_winding_consistent)
    pieces = int(mesh.body_count)
    return (
        Check("watertight", sound, sound, "true"),
        Check("pieces", pieces == 1, pieces, "1"),
        Check("thickness", thin >= least_thickness_mm, thin, f"at least {least_thickness_mm:g} mm"),
        Check("overlap", overlap == 0, overlap, "0 ml"),
        Check(
            "gap",
            nearest >= fitted.gap_mm - TOLERANCE_MM,
            nearest,
            f"at least {fitted.gap_mm:g} mm, less {TOLERANCE_MM:g} mm of uncertainty",
        ),
        Check("insertion", free == 1.0, free, "1"),
    )


def thickness(fitted: Fitted, space: Space) -> np.ndarray:
    """Return the implant's thickness in mm, (n,), along rays normal to its surface, evenly distributed."""
    level, spacing = fitted.level_mm, space.spacing_mm
    slope = np.stack(np.gradient(level, spacing), axis=-1)
    on = np.argwhere((level < 0) & (level > -spacing))
    if not len(on):
        return np.zeros(1)
    start = on[:: max(1, len(on) // RAYS)]
    inwards = -slope[tuple(start.T)]
    inwards /= np.maximum(np.linalg.norm(inwards, axis=1, keepdims=True), 1e-9)
    depth = -level[tuple(start.T)]
    # Back to the surface, then inwards until the ray leaves the implant.
    positions = start * spacing - depth[:, None] * inwards
    length = np.zeros(len(start))
    going = np.ones(len(start), bool)
    for way in np.arange(2 * STEP_MM, REACH_MM, STEP_MM):
        rays = np.flatnonzero(going)
        if not len(rays):
            break
        still = space.at(level, positions[rays] + way * inwards[rays]) < 0
        length[rays[still]] = way
        going[rays] = still | (way <= spacing)
    return length


def to_json(checks: tuple[Check, ...]) -> dict[str, Any]:
    """Return the checks by name, and whether all are passed."""
    return {
        "passed": all(one.passed for one in checks),
        "checks": {
            one.name: {"passed": one.passed, "found": one.value, "wanted": one.expected} for one in checks
        },
    }
