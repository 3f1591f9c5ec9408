"""Finds how a head lies in its scan: the rigid motion into the Frankfurt frame of a template.

The template is the mean phantom: x = 0 is its symmetry plane, z = 0 the Frankfurt plane through ear canals
and lower orbital rims, y = 0 lies at the ear canals. Points of the scan's bone surface are laid onto the
template's surface by robust least squares over rotation, shift and one scale an axis (Fitzgibbon 2003, Robust
registration of 2D and 3D point sets: a distance map instead of closest points). Only scan-to-template
distances count, so a narrow field of view, a missing piece of vault or a head-holder do not pull. The scales
are for the fit alone: a head is turned and shifted, never stretched.
"""

from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations, product

import numpy as np

from calvaria.sources import phantom

TEMPLATE_SPACING_MM = 2.5
BORDER_VOXELS = 14  # of empty space around the template, where distances are still known
POINTS, COARSE_POINTS = 3000, 500
SAMPLING_MM = 2.0  # spacing at which the scan's surface is looked for
SOFTNESS_MM = (10.0, 4.0)  # distances much larger than that count linearly; coarse to fine
FAR_MM = 10.0  # distances are cut off here in the residual that is reported
SCALE_SPREAD = 0.08  # standard deviation of head sizes, as a fraction
SCALE_LIMIT = 0.5  # of the logarithm of a head's size
UPRIGHT_MM = 2.3  # a head that fits so well as its header says is not tried in other orientations
TURNED = 0.8  # another orientation must fit so much better than the header's before it is believed
# Parameters are rounded, since the last bits of a least-squares fit depend on the machine.
TURN_DIGITS, SHIFT_DIGITS = 4, 2


@dataclass(frozen=True)
class Pose:
    """Where the head is in its scan."""

    rotation: np.ndarray  # (3, 3) from scan RAS+ to the Frankfurt frame
    anchor_mm: np.ndarray  # (3,) the scan's point at mid-vault in x and y and at the vault's top in z
    size: np.ndarray  # (3,) the head's size along x, y, z relative to the template
    residual_mm: float  # mean distance between the fitted surfaces, each cut off at FAR_MM
    upright: bool  # whether the header's axes are the head's; else it is mirrored or has another axis order

    def to_box(self, anchor_target_mm: np.ndarray) -> np.ndarray:
        """(4, 4) rigid motion from scan RAS+ to the box in which the anchor lies at the target."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation
        matrix[:3, 3] = np.round(anchor_target_mm - _turn(self.rotation, self.anchor_mm), SHIFT_DIGITS)
        return matrix


def _turn(rotation: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Rotates (..., 3) points; not by a matrix product, whose last bits differ by machine."""
    return np.stack([sum(rotation[i, j] * points[..., j] for j in range(3)) for i in range(3)], axis=-1)


@dataclass(frozen=True)
class _Template:
    distance: np.ndarray  # (x, y, z) float32 mm to the template's surface
    origin_mm: np.ndarray  # (3,) position of the first voxel
    anchor_mm: np.ndarray  # (3,)


@cache
def _template() -> _Template:
    import edt

    class Middle:
        """A generator whose every draw is the middle: the mean phantom."""

        def random(self) -> float:
            return 0.5

    mean = replace(phantom.sample_phantom(Middle()), cut_height=-200.0)  # type: ignore[arg-type]
    mask, affine = phantom.build_phantom(mean, TEMPLATE_SPACING_MM)
    bone = np.pad(mask > 0, BORDER_VOXELS)
    spacing = (TEMPLATE_SPACING_MM,) * 3
    # Distances run between voxel centres; the surface lies half a voxel before the other side.
    away = np.where(bone, edt.edt(bone, anisotropy=spacing), edt.edt(~bone, anisotropy=spacing))
    origin = affine[:3, 3] - BORDER_VOXELS * TEMPLATE_SPACING_MM
    points = np.argwhere(bone) * TEMPLATE_SPACING_MM + origin
    return _Template((away - TEMPLATE_SPACING_MM / 2).astype(np.float32), origin, _vault_anchor(points))


def _vault_anchor(points: np.ndarray) -> np.ndarray:
    """(3,) middle in x and y, and top in z, of the upper 70 mm of (n, 3) points."""
    top = points[:, 2].max()
    vault = points[points[:, 2] > top - 70.0]
    middle = (vault.min(axis=0) + vault.max(axis=0)) / 2
    return np.array([middle[0], middle[1], top])


def find_pose(labels: np.ndarray, affine: np.ndarray) -> Pose:
    """The pose of the head in a scan.

    Args:
        labels: (i, j, k), non-zero where there is bone.
        affine: (4, 4) voxel indices to RAS+ millimetres.
    """
    points = _surface(labels, affine)
    chosen, upright = _coarse(points[:COARSE_POINTS])
    fit = _fit(points, chosen.rotation, np.log(chosen.size), SOFTNESS_MM, 60)
    rotation = _rotation(np.round(_rotation_vector(fit.rotation), TURN_DIGITS))
    # Turned by more than an eighth of a turn, it is another axis order that was found by the fit itself.
    upright = upright and bool(np.trace(rotation) > 1 + 2 * np.cos(np.deg2rad(45)))
    return Pose(
        np.round(rotation, 12),
        np.round(fit.anchor_mm, SHIFT_DIGITS),
        np.round(fit.size, 4),
        round(_residual(points, fit), 2),
        upright,
    )


def _coarse(points: np.ndarray) -> tuple["_Fit", bool]:
    """A first fit, and whether it is the one that the header's axes say."""
    orientations = _orientations()
    first = _quick_fit(points, orientations[0])
    residual = _residual(points, first)
    if residual <= UPRIGHT_MM:
        return first, True
    others = [_quick_fit(points, start) for start in orientations[1:]]
    costs = [_residual(points, fit) for fit in others]
    best = int(np.argmin(costs))
    if costs[best] > TURNED * residual:
        return first, True
    return others[best], False


def _quick_fit(points: np.ndarray, start: np.ndarray) -> "_Fit":
    return _fit(points, start, np.zeros(3), SOFTNESS_MM[:1], 15)


@dataclass(frozen=True)
class _Fit:
    rotation: np.ndarray  # (3, 3)
    size: np.ndarray  # (3,) of the head, relative to the template
    anchor_mm: np.ndarray  # (3,) in the scan


def _surface(labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """At most POINTS points, (n, 3) in mm, of the bone's surface, in a fixed random order."""
    from scipy.ndimage import binary_erosion

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(1, np.floor(SAMPLING_MM / spacing)).astype(int)
    coarse = labels[:: steps[0], :: steps[1], :: steps[2]] > 0
    found = np.argwhere(coarse & ~binary_erosion(coarse))
    chosen = found[np.random.default_rng(0).permutation(len(found))[:POINTS]] * steps
    return _turn(affine[:3, :3], chosen) + affine[:3, 3]


def _orientations() -> list[np.ndarray]:
    """The 24 proper rotations that map axes onto axes, the identity first."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                found.append(matrix)
    return sorted(found, key=lambda matrix: -np.trace(matrix))


def _fit(
    points: np.ndarray, start: np.ndarray, log_size: np.ndarray, softness: tuple[float, ...], most: int
) -> _Fit:
    """Lays the points onto the template, starting from a rotation and a size."""
    from scipy.optimize import least_squares

    template = _template()
    centre = points.mean(axis=0)
    turned = (points - centre) @ start.T
    shift = template.anchor_mm - _vault_anchor(turned) / np.exp(log_size)
    x = np.concatenate([np.zeros(3), shift, log_size])

    def residuals(x: np.ndarray) -> np.ndarray:
        moved = turned @ _rotation(x[:3]).T / np.exp(x[6:]) + x[3:6]
        # The prior on the sizes weighs like a few dozen points that are a spread away.
        return np.concatenate([_distance(moved), x[6:] / SCALE_SPREAD * 40.0])

    limit = np.array([np.inf] * 6 + [SCALE_LIMIT] * 3)
    x_scale = [0.1] * 3 + [5.0] * 3 + [0.05] * 3
    for soft in softness:
        x = least_squares(
            residuals,
            x,
            loss="soft_l1",
            f_scale=soft,
            x_scale=x_scale,
            bounds=(-limit, limit),
            max_nfev=most,
            tr_solver="lsmr",  # the other way, an SVD of all points at every step, takes four times as long
        ).x
    rotation = _rotation(x[:3])
    size = np.exp(x[6:])
    anchor = start.T @ rotation.T @ ((template.anchor_mm - x[3:6]) * size) + centre
    return _Fit(rotation @ start, size, anchor)


def _residual(points: np.ndarray, fit: _Fit) -> float:
    moved = (points - fit.anchor_mm) @ fit.rotation.T / fit.size + _template().anchor_mm
    return float(np.minimum(_distance(moved), FAR_MM).mean())


def _distance(points: np.ndarray) -> np.ndarray:
    """(n,) mm from (n, 3) points to the template's surface."""
    from scipy.ndimage import map_coordinates

    template = _template()
    index = (points - template.origin_mm) / TEMPLATE_SPACING_MM
    return map_coordinates(template.distance, index.T, output=np.float64, order=1, mode="nearest")


def _rotation(vector: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about a (3,) vector by its length in radians (Rodrigues)."""
    angle = float(np.sqrt((vector**2).sum()))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def _rotation_vector(matrix: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrix).as_rotvec()
