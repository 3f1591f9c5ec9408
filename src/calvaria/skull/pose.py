"""Estimate the pose of a head: the rigid transform into the Frankfurt frame of a template.

Points of the scan's bone surface are fitted to the surface of a mean skull by robust least squares over
rotation, translation and one scale per axis (Fitzgibbon 2003, Robust registration of 2D and 3D point sets:
a distance map instead of closest points). Only the distances of points above the template's upper jaw
count, so neck, jaw, shoulders, a narrow field of view, a missing part of the vault or a head-holder do not
bias the fit. The scales serve the fit alone: a head is rotated and translated, never scaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from calvaria.skull.template import Template, load_template, vault_anchor

POINTS, SOME_POINTS, FEW_POINTS = 8000, 2000, 700  # of the fine fit, the coarse fit and the search
SAMPLING_MM = 2.0  # spacing at which the scan's surface is sampled
NORMAL_MM = 2.0  # sd of the smoothing from which surface normals are computed
LOWEST_MM, TAPER_MM = -20.0, 15.0  # from the Frankfurt plane: no weight below, full after the taper
VAULT_FROM_MM, VAULT_WEIGHT = 35.0, 2.0  # every scan shows the vault, but not base and face
FARTHEST_MM = 25.0  # points farther from the template do not count
ALONG = 0.02  # least weight of a point whose normal differs from the template's
# (scale of the Cauchy weights in mm, largest number of rounds), coarse to fine.
SEARCH = ((10.0, 12),)
COARSE = ((10.0, 15), (4.0, 15), (2.5, 30))
FINE = ((2.5, 40),)
SIZE_SPREAD, SHAPE_SPREAD = 0.05, 0.04  # sd of the log scales: common to all axes, and per axis
PRIOR_POINTS = 240.0  # weight of the prior: one sd counts as this many points at 1 mm
SIZE_LIMIT = 0.6  # bound of the log scales
ARM_MM = 80.0  # lever arm that converts rotations to millimetres
LONGEST_STEP_MM, END_MM, END_SIZE = 15.0, 1e-3, 2e-5
TILT_DEG = 30.0  # the search starts from the header's orientation, and tilted by this about each axis
FAR_MM = 10.0  # distances are clipped to this in the misfit
COVERED_MM = 5.0  # a point of the template's vault is covered if the scan's surface is this near
MISSING_WEIGHT = 0.25  # low: a defect or cut also leaves the vault uncovered in the right orientation
UPRIGHT_MM = 2.2  # at a smaller misfit in the header's orientation no other orientation is tried
TURNED = 0.8  # another orientation is accepted if its misfit is at most this share of the header's
UPRIGHT_DEG = 60.0  # a larger rotation means another axis order
# Parameters are rounded, since the last bits of a least-squares fit depend on the machine.
TURN_DIGITS, SHIFT_DIGITS = 4, 2


@dataclass(frozen=True)
class Pose:
    """Pose of a head in its scan."""

    rotation: np.ndarray  # (3, 3) from scan RAS+ to the Frankfurt frame
    anchor_mm: np.ndarray  # (3,) the scan's point at mid-vault in x and y and at the vault's top in z
    size: np.ndarray  # (3,) the head's size along x, y, z relative to the template
    residual_mm: float  # mean distance of the scan's surface from the template, each clipped to FAR_MM
    coverage: float  # share of the template's vault within COVERED_MM of the scan; outer or inner, if less
    upright: bool  # whether the header's axes are the head's; otherwise mirrored or in another order

    def to_box(self, anchor_target_mm: np.ndarray) -> np.ndarray:
        """Return the (4, 4) rigid transform from scan RAS+ to the frame with the anchor at the target."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation
        matrix[:3, 3] = np.round(anchor_target_mm - _turn(self.rotation, self.anchor_mm), SHIFT_DIGITS)
        return matrix


def _turn(rotation: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Rotate (..., 3) points without a matrix product, whose last bits differ between machines."""
    return np.stack([sum(rotation[i, j] * points[..., j] for j in range(3)) for i in range(3)], axis=-1)


def find_pose(labels: np.ndarray, affine: np.ndarray, template: Template | None = None) -> Pose:
    """Return the pose of the head in a scan.

    Args:
        labels: (i, j, k), non-zero where there is bone.
        affine: (4, 4) voxel indices to RAS+ millimetres.
        template: the mean skull to fit to; by default the shipped one.
    """
    template = template or load_template()
    cloud = _surface(labels, affine)
    chosen, upright = _orient(template, cloud)
    fit = _fit(template, cloud.first(SOME_POINTS), chosen, COARSE)
    fit = _fit(template, cloud, fit, FINE)
    rotation = rotation_about(np.round(_rotation_vector(fit.rotation), TURN_DIGITS))
    misfit = _misfit(template, cloud, fit)
    return Pose(
        np.round(rotation, 12),
        np.round(fit.anchor_mm, SHIFT_DIGITS),
        np.round(fit.size, 4),
        round(misfit.residual_mm, 2),
        round(misfit.coverage, 3),
        upright and _turned_deg(rotation) < UPRIGHT_DEG,
    )


@dataclass(frozen=True)
class _Cloud:
    """Points of a scan's bone surface in a fixed random order."""

    points: np.ndarray  # (n, 3) mm
    normals: np.ndarray  # (n, 3) unit vectors out of the bone

    def first(self, count: int) -> "_Cloud":
        return _Cloud(self.points[:count], self.normals[:count])


@dataclass(frozen=True)
class _Fit:
    rotation: np.ndarray  # (3, 3) scan to template
    size: np.ndarray  # (3,) of the head, relative to the template
    anchor_mm: np.ndarray  # (3,) in the scan

    def to_template(self, template: Template, points: np.ndarray) -> np.ndarray:
        """Return (n, 3) points of the scan in the template's frame."""
        return (points - self.anchor_mm) @ self.rotation.T / self.size + template.anchor_mm


@dataclass(frozen=True)
class _Misfit:
    residual_mm: float  # mean distance of the scan's points that count from the template
    missing_mm: float  # mean distance of the template's vault from the scan's points
    coverage: float  # share of the template's vault near the scan's points, of the less covered surface

    @property
    def total_mm(self) -> float:
        """Return a misfit that is low only if the scan fits the template and covers its vault."""
        return self.residual_mm + MISSING_WEIGHT * self.missing_mm


def _surface(labels: np.ndarray, affine: np.ndarray) -> _Cloud:
    """Return at most POINTS points of the bone's surface, with their normals."""
    from scipy.ndimage import binary_erosion, gaussian_filter

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(1, np.floor(SAMPLING_MM / spacing)).astype(int)
    bone = np.ascontiguousarray(labels[:: steps[0], :: steps[1], :: steps[2]] > 0)
    border = np.argwhere(bone & ~binary_erosion(bone))
    chosen = border[np.random.default_rng(0).permutation(len(border))[:POINTS]]
    smooth = gaussian_filter(np.pad(bone, 2).astype(np.float32), NORMAL_MM / (spacing * steps))
    directions = affine[:3, :3] * steps
    slopes = np.stack(
        [
            smooth[tuple((chosen + 2 + one).T)] - smooth[tuple((chosen + 2 - one).T)]
            for one in np.eye(3, dtype=int)
        ],
        axis=-1,
    )
    normals = -slopes @ np.linalg.inv(directions)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return _Cloud(_turn(directions, chosen) + affine[:3, 3], normals)


def _orient(template: Template, cloud: _Cloud) -> tuple[_Fit, bool]:
    """Return the best fit of the search, and whether it is in the header's orientation."""
    first = _best(template, cloud, _tilts())
    misfit = _misfit(template, cloud, first).total_mm
    if misfit <= UPRIGHT_MM:
        return first, True
    other = _best(template, cloud, _orientations()[1:])
    if _misfit(template, cloud, other).total_mm > TURNED * misfit:
        return first, True
    return other, False


def _best(template: Template, cloud: _Cloud, starts: Sequence[np.ndarray]) -> _Fit:
    few = cloud.first(FEW_POINTS)
    fits = [_fit(template, few, _start(cloud, rotation), SEARCH) for rotation in starts]
    return min(fits, key=lambda fit: _misfit(template, cloud, fit).total_mm)


def _start(cloud: _Cloud, rotation: np.ndarray) -> _Fit:
    """Return a start of the fit: average size, this rotation, and the highest bone as the vault's top."""
    anchor = rotation.T @ vault_anchor(cloud.points @ rotation.T)
    return _Fit(rotation, np.ones(3), anchor)


def _tilts() -> list[np.ndarray]:
    """Return the header's orientation, and the tilted ones, both ways about each axis."""
    turns = [sign * np.deg2rad(TILT_DEG) * axis for axis in np.eye(3) for sign in (-1, 1)]
    return [np.eye(3), *(rotation_about(turn) for turn in turns)]


def _orientations() -> list[np.ndarray]:
    """Return the 24 proper rotations that map axes onto axes, the identity first."""
    matrices = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                matrices.append(matrix)
    return sorted(matrices, key=lambda matrix: -np.trace(matrix))


def _fit(template: Template, cloud: _Cloud, start: _Fit, schedule: Sequence[tuple[float, int]]) -> _Fit:
    """Fit the points to the template by Gauss-Newton rounds with Cauchy weights.

    Args:
        schedule: scales of the Cauchy weights in mm, each with its largest number of rounds.
    """
    spread = np.full((3, 3), SIZE_SPREAD**2) + np.eye(3) * SHAPE_SPREAD**2
    prior = PRIOR_POINTS * np.linalg.inv(spread)
    rotation, log_size = start.rotation, np.log(start.size)
    shift = template.anchor_mm
    centred = cloud.points - start.anchor_mm
    for soft_mm, rounds in schedule:
        for _ in range(rounds):
            relative = centred @ rotation.T / np.exp(log_size)
            moved = relative + shift
            distance, gradient = template.at(moved)
            weight = _weight(moved, distance, gradient, cloud.normals @ rotation.T, soft_mm)
            slopes = np.concatenate(
                [np.cross(relative, gradient) / ARM_MM, gradient, -relative * gradient], axis=-1
            )
            normal = slopes.T @ (slopes * weight[:, None])
            target = -slopes.T @ (weight * distance)
            normal[6:, 6:] += prior
            target[6:] -= prior @ log_size
            normal[np.diag_indices(9)] += 1e-6
            step = np.linalg.solve(normal, target)
            step /= max(1.0, np.abs(step[:6]).max() / LONGEST_STEP_MM)
            rotation = rotation_about(step[:3] / ARM_MM) @ rotation
            shift = shift + step[3:6]
            log_size = np.clip(log_size + step[6:], -SIZE_LIMIT, SIZE_LIMIT)
            if np.abs(step[:6]).max() < END_MM and np.abs(step[6:]).max() < END_SIZE:
                break
    size = np.exp(log_size)
    anchor = rotation.T @ ((template.anchor_mm - shift) * size) + start.anchor_mm
    return _Fit(rotation, size, anchor)


def _weight(
    moved: np.ndarray, distance: np.ndarray, gradient: np.ndarray, normals: np.ndarray, soft_mm: float
) -> np.ndarray:
    """Return (n,) weights of points, from their position, distance and normal."""
    steep = np.maximum(np.linalg.norm(gradient, axis=1), 1e-6)
    facing = np.clip((normals * gradient).sum(axis=1) / steep, ALONG, 1)
    robust = 1 / (1 + (distance / soft_mm) ** 2)
    return np.asarray(_region(moved) * robust * facing * (np.abs(distance) < FARTHEST_MM))


def _region(moved: np.ndarray) -> np.ndarray:
    """Return (n,) weights of points by their height in the template's frame."""
    height = moved[:, 2]
    low = np.clip((height - LOWEST_MM) / TAPER_MM, 0, 1)
    return np.where(height > VAULT_FROM_MM, VAULT_WEIGHT, low)


def _misfit(template: Template, cloud: _Cloud, fit: _Fit) -> _Misfit:
    from scipy.spatial import cKDTree

    moved = fit.to_template(template, cloud.points)
    counted = _region(moved) > 0
    distance, _ = template.at(moved)
    residual = np.minimum(np.abs(distance[counted]), FAR_MM)
    nearest, _ = cKDTree(moved).query(template.vault_mm, distance_upper_bound=FAR_MM)
    missing = np.minimum(nearest, FAR_MM)  # (2, n), of the vault's outer and inner surface
    return _Misfit(
        float(residual.mean()) if len(residual) else FAR_MM,
        float(missing.mean()),
        float((missing < COVERED_MM).mean(axis=1).min()),
    )


def rotation_about(vector: np.ndarray) -> np.ndarray:
    """Return the (3, 3) rotation about a (3,) vector, by its length in radians (Rodrigues)."""
    angle = float(np.sqrt((vector**2).sum()))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def _rotation_vector(matrix: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(matrix).as_rotvec())


def _turned_deg(rotation: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
