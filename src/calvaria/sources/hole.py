"""Check that an implant fits its hole: along its rim, bone continues at the same depth.

Rays are cast from a point inside the head through the implant and its surroundings. Along the implant's
rim, the depths at which rays are in the implant are compared with those at which rays some millimetres
further out are in bone. An implant with a gap or a little overlap keeps most of that agreement; one that is
mirrored, raised, or meant for another hole does not. With the 75 implants of SkullFix, unchanged, with gaps
of 1 and 2 mm and with overlaps of 2 and 4 mm, the mirror image scores at most 0.02 more than the implant
itself; where the two have a Dice below 0.8, it scores at least 0.08 less in 123 of 128.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_SIZE = 96  # rays along each edge of the picture
_AROUND_MM = 20.0  # margin of the picture around the implant
_CENTRE_MM = 70.0  # from the implant to the origin of the rays, towards the centroid of bone
_STEP_MM = 0.5
_DEPTH_MM = 12.0  # bone is sampled to this distance below and above the implant's depths
_INSIDE_MM = 4.0  # from the silhouette's edge inwards to the implant's sampled depths, beyond a bevel
_OUTSIDE_MM = 3.0  # and outwards to those of bone, beyond a gap

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RimFit:
    """Fit of an implant to the bone around it."""

    agreement: float  # 0 to 1, of the depths of implant and bone along the rim; overlap over union
    on_bone: float  # 0 to 1, share of the implant's silhouette that is also bone

    @property
    def score(self) -> float:
        """0 to 1; high if the implant continues the bone and only its rim is on bone."""
        return self.agreement * (1 - self.on_bone)


def rim_fit(bone: Mask, implant: Mask, spacing: npt.NDArray[np.float64]) -> RimFit:
    """Compare the depths of implant and bone.

    Args:
        bone: (i, j, k), of at most about 1 mm, as finer only takes longer; it may overlap the implant.
        implant: (i, j, k), not empty.
        spacing: (3,) mm; axes are assumed perpendicular, which holds except for gantry tilt.
    """
    from scipy.ndimage import distance_transform_edt

    in_bone, in_implant, pixel_mm, in_view = _depths(bone, implant, spacing)
    silhouette, bone_seen = in_implant.any(axis=0), in_bone.any(axis=0)
    on_bone = np.count_nonzero(silhouette & bone_seen) / max(int(np.count_nonzero(silhouette)), 1)
    within, beyond = (distance_transform_edt(part) * pixel_mm for part in (silhouette, ~silhouette))
    core, ring = within > _INSIDE_MM, in_view & (beyond > _OUTSIDE_MM)
    if not core.any() or not ring.any():
        return RimFit(0.0, on_bone)
    rim = silhouette & (within <= 1.5 * pixel_mm)
    a, b = _nearest(in_implant, core, rim), _nearest(in_bone, ring, rim)
    agreement = (a & b).sum(axis=0) / np.maximum((a | b).sum(axis=0), 1)
    return RimFit(float(agreement.mean()), on_bone)


def _nearest(silhouettes: Mask, place: Mask, rim: Mask) -> Mask:
    """Return (depth, n) silhouettes at the ray of a (u, v) mask nearest to each of n rays of the rim."""
    from scipy.ndimage import distance_transform_edt

    u, v = distance_transform_edt(~place, return_distances=False, return_indices=True)
    return silhouettes[:, u[rim], v[rim]]


def _depths(bone: Mask, implant: Mask, spacing: npt.NDArray[np.float64]) -> tuple[Mask, Mask, float, Mask]:
    """Sample bone and implant along rays.

    Returns:
        (depth, u, v) bone and implant; mm between rays at the implant's depth; and (u, v) rays in view.
    """
    places = np.argwhere(implant) * spacing
    middle = places.mean(axis=0)
    inwards = np.argwhere(bone).mean(axis=0) * spacing - middle
    distance = max(float(np.linalg.norm(inwards)), 1.0)
    radius = min(_CENTRE_MM, distance)
    axis = -inwards / distance
    centre = middle - radius * axis
    depths = np.linalg.norm(places - centre, axis=1)
    towards = ((places - centre) @ axis) / np.maximum(depths, 1e-6)
    cone = min(float(np.arccos(np.clip(towards, -1, 1)).max()) + _AROUND_MM / radius, np.pi - 0.5)

    first = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    first /= np.linalg.norm(first)
    u, v = np.meshgrid(*(2 * [(np.arange(_SIZE) + 0.5) / _SIZE * 2 - 1]), indexing="ij")
    from_axis = np.hypot(u, v)
    along = (np.sin(from_axis * cone) / np.maximum(from_axis, 1e-9))[..., None]
    rays = (u[..., None] * first + v[..., None] * np.cross(axis, first)) * along + np.cos(from_axis * cone)[
        ..., None
    ] * axis

    limit = np.array(bone.shape) - 1
    labels = bone + 2 * implant.astype(np.uint8)
    steps = np.arange(max(float(depths.min()) - _DEPTH_MM, 0), float(depths.max()) + _DEPTH_MM, _STEP_MM)
    silhouettes = np.empty((len(steps), _SIZE, _SIZE), np.uint8)
    for number, depth in enumerate(steps):
        index = np.rint((centre + rays * depth) / spacing).astype(np.int64)
        inside = ((index >= 0) & (index <= limit)).all(axis=-1)
        i, j, k = np.moveaxis(np.clip(index, 0, limit), -1, 0)
        silhouettes[number] = np.where(inside, labels[i, j, k], 0)
    return (silhouettes & 1) > 0, (silhouettes & 2) > 0, 2 * cone * radius / _SIZE, from_axis <= 1
