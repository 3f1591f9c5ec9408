"""Implicit anatomy of the human skull: each part is a function from points to a signed distance.

Frame: millimetres in the head's own axes (x to the patient's right, y to the front, z up). The plane
z = 0 is the Frankfurt plane through the ear canals and the lower orbital rims; y = 0 lies at the ear canals
and x = 0 is the midline. Lengths describe a skull of mean size; `phantom.py` scales, skews and turns it.

Method: the braincase is an offset shell around an endocast made of the brain's lobes, the face is a smooth
union of bars and ellipsoids, and the orbits, sinuses and airways are carved out of it. Distances are negative
inside. Paired parts are modelled once and read through |x|; asymmetry comes from skewing the points.

Only + - * / sqrt, comparisons, floor and min/max on float64 are used, elementwise: IEEE 754 rounds all of
them exactly, so that the sign of every distance, and with it the mask, is the same on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from calvaria.sources.phantom import Phantom

Field = npt.NDArray[np.float64]  # one value a point
Vector = tuple[float, float, float]

# Beyond any blend's width a part cannot touch the surface: its distance is then given as a lower bound only.
_FAR = 40.0


@dataclass(frozen=True)
class Points:
    """Positions in the head's frame, one array an axis, all of one shape, and the box around them."""

    x: Field
    y: Field
    z: Field
    low: Vector
    high: Vector

    @classmethod
    def of(cls, x: Field, y: Field, z: Field) -> Points:
        """Points with their bounding box."""
        low = (x.min().item(), y.min().item(), z.min().item())
        return cls(x, y, z, low, (x.max().item(), y.max().item(), z.max().item()))

    def mirrored(self) -> Points:
        """The same points folded onto the right half, for paired parts."""
        return Points.of(np.abs(self.x), self.y, self.z)

    def gap(self, low: Vector, high: Vector) -> float:
        """A lower bound in mm of the distance between these points and a box, 0 where they overlap."""
        gaps = (max(a - d, c - b, 0.0) for a, b, c, d in zip(self.low, self.high, low, high, strict=True))
        return max(gaps)


# --- primitives and blends -------------------------------------------------------------------------------------


def smooth_min(a: Field, b: Field, width: float) -> Field:
    """Union of two distances with a fillet of the given width (quadratic blend)."""
    overlap = np.maximum(width - np.abs(a - b), 0.0)
    return np.minimum(a, b) - overlap * overlap * (0.25 / width)


def smooth_max(a: Field, b: Field, width: float) -> Field:
    """Intersection of two distances with a fillet of the given width."""
    return -smooth_min(-a, -b, width)


def smooth_step(value: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, cubic between."""
    t = np.minimum(np.maximum((value - low) * (1.0 / (high - low)), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def wave(value: Field) -> Field:
    """A sine's stand-in of period 1 and amplitude 1 made of parabolas."""
    w = 2.0 * (value - np.floor(value + 0.5))
    return 4.0 * w * (1.0 - np.abs(w))


def box_gap(p: Points, start: Vector, end: Vector, reach: Vector) -> float:
    """A lower bound of the distance from the points to a part that spans start to end, give or take `reach`."""
    low = (min(start[0], end[0]) - reach[0], min(start[1], end[1]) - reach[1], min(start[2], end[2]) - reach[2])
    high = (max(start[0], end[0]) + reach[0], max(start[1], end[1]) + reach[1], max(start[2], end[2]) + reach[2])
    return p.gap(low, high)


def ellipsoid(p: Points, centre: Vector, radii: Vector, lower: float | None = None) -> Field:
    """Approximate distance to an ellipsoid; `lower` replaces the z radius below its centre."""
    reach = (radii[0], radii[1], max(radii[2], lower or 0.0))
    gap = box_gap(p, centre, centre, reach)
    if gap > _FAR:
        return np.array(gap)
    u, v, w = p.x - centre[0], p.y - centre[1], p.z - centre[2]
    ix, iy, iz = 1.0 / radii[0], 1.0 / radii[1], 1.0 / radii[2]
    u, v = u * ix, v * iy
    scale = iz if lower is None else np.where(w < 0.0, 1.0 / lower, iz)
    w = w * scale
    level = np.sqrt(u * u + v * v + w * w)
    u, v, w = u * ix, v * iy, w * scale
    slope = np.sqrt(u * u + v * v + w * w)
    return level * (level - 1.0) / np.maximum(slope, 1e-6)


def capsule(
    p: Points, start: Vector, end: Vector, r0: float, r1: float, thin: Vector = (1.0, 1.0, 1.0)
) -> Field:
    """Distance to a bar from `start` to `end` with radii r0 and r1; `thin` > 1 flattens it along an axis."""
    radius = max(r0, r1)
    gap = box_gap(p, start, end, (radius / thin[0], radius / thin[1], radius / thin[2]))
    if gap > _FAR:
        return np.array(gap)
    a = [s * t for s, t in zip(start, thin, strict=True)]
    b = [e * t - s for e, t, s in zip(end, thin, a, strict=True)]
    u, v, w = p.x * thin[0] - a[0], p.y * thin[1] - a[1], p.z * thin[2] - a[2]
    inverse = 1.0 / (b[0] * b[0] + b[1] * b[1] + b[2] * b[2])
    t = np.minimum(np.maximum((u * b[0] + v * b[1] + w * b[2]) * inverse, 0.0), 1.0)
    u, v, w = u - t * b[0], v - t * b[1], w - t * b[2]
    return np.sqrt(u * u + v * v + w * w) - (r0 + t * (r1 - r0))


def bar(p: Points, joints: Sequence[tuple[Vector, float]], thin: Vector = (1.0, 1.0, 1.0)) -> Field:
    """Distance to a chain of capsules through (position, radius) joints."""
    out = capsule(p, joints[0][0], joints[1][0], joints[0][1], joints[1][1], thin)
    for (a, ra), (b, rb) in zip(joints[1:-1], joints[2:], strict=True):
        out = np.minimum(out, capsule(p, a, b, ra, rb, thin))
    return out


def bump(p: Points, centre: Vector, radii: Vector) -> Field:
    """A smooth kernel: 1 at the centre, 0 outside the ellipsoid of the given radii."""
    u = (p.x - centre[0]) * (1.0 / radii[0])
    v = (p.y - centre[1]) * (1.0 / radii[1])
    w = (p.z - centre[2]) * (1.0 / radii[2])
    inside = np.maximum(1.0 - (u * u + v * v + w * w), 0.0)
    return inside * inside


# --- braincase ---------------------------------------------------------------------------------------------------


def endocast(p: Points, m: Points, ph: Phantom) -> Field:
    """The cranial cavity: cerebrum, frontal and occipital poles, temporal lobes, cerebellum, brain stem."""
    breadth = ph.parietal_breadth
    slope = ph.forehead_slope
    top = ph.vertex_height
    cerebrum = ellipsoid(p, (0.0, -8.0, 46.0), (60.0, 66.0, 63.0 + top), 26.0)
    hemisphere = ellipsoid(m, (20.0, -13.0, 50.0), (42.0 + breadth, 52.0, 52.0), 40.0)
    frontal = ellipsoid(
        p, (0.0, 38.0 - slope, 45.0), (49.0 + ph.frontal_breadth, 45.0 + slope, 45.5 + 0.5 * top), 21.0
    )
    brow_fossa = ellipsoid(m, (17.0, 54.0, 42.0), (24.0, 27.0, 16.0))
    occipital = ellipsoid(p, (0.0, -40.0, 27.0), (42.0, 39.0 + ph.occipital_bulge, 42.0), 32.0)
    vault = smooth_min(smooth_min(cerebrum, hemisphere, 12.0), smooth_min(frontal, occipital, 4.0), 24.0)
    temporal = ellipsoid(m, (36.0, 18.0, 25.0), (24.0, 31.0, 23.0))
    flank = ellipsoid(m, (28.0, -17.0, 20.0), (32.0, 38.0, 36.0))
    cerebellum = ellipsoid(m, (18.0, -33.0, 0.0), (30.0, 31.0, 24.0))
    stem = capsule(p, (0.0, -4.0, 22.0), (0.0, -16.0, -20.0), 13.0, 14.0)
    hind = smooth_min(flank, smooth_min(cerebellum, stem, 8.0), 10.0)
    out = smooth_min(vault, hind, 12.0)
    out = smooth_min(out, np.minimum(temporal, brow_fossa), 10.0)
    nuchal_plane = -0.62 * (p.y + 78.0) - 0.78 * (p.z - 10.0)
    return smooth_max(out, nuchal_plane, 16.0)


def vault_waves(p: Points, coefficients: Sequence[float]) -> Field:
    """Gentle irregularity: a cubic polynomial of the direction seen from the middle of the vault."""
    w0 = p.z - 45.0
    inverse = 1.0 / np.maximum(np.sqrt(p.x * p.x + p.y * p.y + w0 * w0), 10.0)
    u, v, w = p.x * inverse, p.y * inverse, w0 * inverse
    uu, vv, ww = u * u, v * v, w * w
    c = coefficients
    even = c[0] * (vv - uu) + c[1] * (ww - uu) + c[2] * v * w + c[3] * v * (5.0 * vv - 3.0)
    even = even + c[4] * w * (5.0 * ww - 3.0) + c[5] * v * (5.0 * ww - 1.0) + c[6] * (uu * vv - ww * vv) * 4.0
    odd = c[7] * u * v + c[8] * u * w + c[9] * u * v * w * 4.0 + c[10] * u * (5.0 * vv - 1.0)
    return even + odd + c[11] * u * (5.0 * ww - 1.0)


def shell_thickness(p: Points, m: Points, ph: Phantom, thinnest: float) -> Field:
    """Thickness of the braincase: stout frontal and occipital bone, thin temporal squama, rough thin base."""
    vault = ph.thickness * (1.0 + 0.22 * vault_waves(p, ph.thickness_waves))
    vault = vault + ph.frontal_thickening * bump(p, (0.0, 92.0, 55.0), (55.0, 45.0, 45.0))
    vault = vault + ph.occipital_thickening * bump(p, (0.0, -82.0, 12.0), (45.0, 40.0, 34.0))
    vault = vault * (1.0 - 0.46 * bump(m, (64.0, 18.0, 24.0), (32.0, 52.0, 46.0)))
    low = 1.0 - smooth_step(p.z + 0.25 * p.y, -22.0, 18.0)
    base = 0.4 * ph.thickness + 0.9 + 1.1 * relief(p)
    thickness = vault + (base - vault) * low * 0.9
    thickness = thickness * (1.0 - 0.55 * bump(m, (28.0, 52.0, 26.0), (34.0, 36.0, 20.0)))
    return np.maximum(thickness, thinnest)


def temporal_hollow(m: Points, ph: Phantom) -> Field:
    """Depth of the hollow behind the brow in which the temporal muscle lies."""
    return ph.temporal_hollow * bump(m, (58.0, 48.0, 36.0), (24.0, 32.0, 34.0))


def relief(p: Points) -> Field:
    """Irregular roughness between -1 and 1: waves bent by other waves, so that no lattice shows."""
    bend = wave(p.x * 0.023 + p.z * 0.017 + 0.4) + wave(p.y * 0.019 - p.x * 0.011)
    first = wave(p.x * 0.047 + p.y * 0.013 + 0.31 * bend)
    return first * wave(p.y * 0.053 - p.z * 0.029 + 0.27 * bend + 0.23 * first)


def impressions(p: Points, depth: float) -> Field:
    """Shallow marks of the brain's gyri on the inner table."""
    first = wave(p.x * 0.041 + p.z * 0.017)
    return depth * wave(p.y * 0.037 - p.z * 0.019 + 0.3 * first) * wave(p.z * 0.043 + 0.2 * first)


# --- outside of the braincase --------------------------------------------------------------------------------


def occiput(m: Points, ph: Phantom) -> Field:
    """External occipital protuberance with the superior nuchal lines running off it."""
    s = ph.protuberance
    line = bar(
        m, [((0.0, -77.0, 12.0), 5.0 + s), ((22.0, -73.0, 12.0), 5.0), ((46.0, -50.0, 6.0), 4.0)]
    )
    return line + 1.0


def mastoid(m: Points, ph: Phantom) -> Field:
    """Mastoid process, a blunt cone behind the ear canal."""
    s = ph.mastoid_size
    top = capsule(m, (53.0, -18.0, 2.0), (50.0, -14.0, -24.0 * s), 13.0 * s, 6.5 * s)
    return smooth_min(top, capsule(m, (54.0, -30.0, 2.0), (52.0, -18.0, -14.0), 9.0, 9.0), 6.0)


def air_cells(p: Points, m: Points) -> Field:
    """Mastoid and petrous air cells: small irregular holes that never reach the surface."""
    if p.gap((-60.0, -36.0, -24.0), (60.0, 16.0, 14.0)) > 0.0:
        return np.array(_FAR)
    bend = relief(p)
    cells = wave(p.x * 0.11 + 0.5 * bend) * wave(p.y * 0.12 + 0.4 * bend) + 0.6 * wave(p.z * 0.13 + p.x * 0.05)
    region = np.minimum(ellipsoid(m, (51.0, -19.0, -4.0), (9.0, 12.0, 15.0)),
                        capsule(m, (26.0, 4.0, -3.0), (50.0, -12.0, -2.0), 3.5, 6.0, (1.0, 1.0, 0.6)))
    return np.maximum(6.0 * (0.22 - cells), region)


def skull_base(m: Points) -> Field:
    """Sphenoid body, clivus, occipital condyles and pterygoid plates."""
    body = ellipsoid(m, (0.0, 27.0, 9.0), (17.0, 20.0, 11.0))
    clivus = capsule(m, (0.0, 14.0, 10.0), (0.0, 4.0, -15.0), 8.0, 4.5, (0.6, 1.0, 1.0))
    condyle = capsule(m, (13.0, -1.0, -21.0), (19.0, -14.0, -20.0), 5.0, 5.0)
    plates = bar(
        m, [((15.0, 40.0, 4.0), 4.0), ((17.0, 36.0, -16.0), 3.2), ((19.0, 34.0, -34.0), 2.6)], (1.6, 0.8, 1.0)
    )
    joint = capsule(m, (40.0, 12.0, -1.0), (56.0, 8.0, -2.0), 4.0, 5.0)
    out = smooth_min(body, clivus, 6.0)
    out = smooth_min(out, np.minimum(condyle, joint), 4.0)
    return smooth_min(out, plates, 4.0)


def petrous(m: Points) -> Field:
    """Petrous pyramid, the ridge between the middle and the posterior fossa."""
    return capsule(m, (13.0, 13.0, 0.0), (54.0, -14.0, -2.0), 6.0, 8.5, (1.0, 1.0, 0.5))


def ear_canal(m: Points) -> Field:
    """External ear canal, a blind hole in front of the mastoid."""
    return capsule(m, (42.0, 0.0, 1.0), (80.0, -3.0, 0.0), 3.2, 4.0)


def base_holes(m: Points) -> Field:
    """Jugular and oval foramina, which pierce the base."""
    jugular = capsule(m, (24.0, -8.0, -2.0), (26.0, -4.0, -30.0), 3.5, 4.5)
    return np.minimum(jugular, capsule(m, (24.0, 21.0, 12.0), (25.0, 19.0, -16.0), 2.6, 3.2))


def atlas(m: Points) -> Field:
    """First vertebra: a ring under the condyles, with its transverse processes."""
    u, v = m.x * (1.0 / 17.0), (m.y + 16.0) * (1.0 / 21.0)
    radial = (np.sqrt(u * u + v * v) - 1.0) * 18.0
    height = (m.z + 34.0) * 0.75
    ring = np.sqrt(radial * radial + height * height) - 3.2
    mass = capsule(m, (17.0, -6.0, -31.0), (37.0, -12.0, -35.0), 5.5, 3.5)
    return smooth_min(ring, mass, 3.0)


def clinoids(m: Points) -> Field:
    """Dorsum sellae, anterior clinoids with the sphenoid ridge, and crista galli."""
    dorsum = capsule(m, (0.0, 14.0, 12.0), (7.0, 14.0, 23.0), 3.5, 2.2)
    ridge = bar(m, [((10.0, 31.0, 25.0), 2.6), ((26.0, 39.0, 28.0), 2.6), ((50.0, 46.0, 34.0), 3.0)])
    crista = capsule(m, (0.0, 62.0, 24.0), (0.0, 72.0, 36.0), 2.5, 1.8)
    return np.minimum(np.minimum(dorsum, ridge), crista)


# --- face --------------------------------------------------------------------------------------------------------


def orbital_rim(m: Points, ph: Phantom) -> Field:
    """The frame of bone around the orbit: brow, lateral pillar, lower rim and nasal pillar."""
    b = ph.brow
    brow = bar(
        m,
        [
            ((0.0, 83.0, 38.0), 5.5 + b),
            ((14.0, 83.0, 40.0), 5.0 + b),
            ((30.0, 78.0, 41.0), 5.0 + 0.5 * b),
            ((44.0, 70.5, 37.0), 6.0),
            ((49.0, 67.5, 24.0), 6.0),
            ((48.5, 66.0, 6.0), 6.5),
        ],
        (1.0, 0.8, 1.0),
    )
    lower = bar(
        m,
        [
            ((48.5, 66.0, 6.0), 6.5),
            ((40.0, 71.0, -6.0), 6.5),
            ((25.0, 75.0, -7.0), 6.0),
            ((13.0, 79.0, 6.0), 5.0),
            ((8.0, 81.0, 22.0), 5.0),
            ((8.0, 82.0, 36.0), 6.0),
        ],
    )
    return np.minimum(brow, lower)


def nasal_bones(m: Points) -> Field:
    """Nasal bones over the pyramid that the frontal processes of the maxilla form around the aperture."""
    roof = bar(m, [((0.0, 83.0, 34.0), 5.5), ((0.0, 90.0, 20.0), 4.5), ((0.0, 96.0, 9.0), 4.0)], (0.7, 1.0, 1.0))
    pyramid = capsule(m, (0.0, 75.0, 28.0), (0.0, 73.0, -14.0), 9.0, 20.0)
    return smooth_min(roof, pyramid, 8.0)


def zygoma(m: Points, ph: Phantom) -> Field:
    """Cheek bone and zygomatic arch, a free bar lateral to the temporal fossa."""
    f = ph.zygoma_flare
    arch = bar(
        m,
        [
            ((49.0, 62.0, -4.0), 8.0),
            ((55.0 + f, 50.0, -6.0), 6.0),
            ((60.0 + f, 36.0, -5.0), 4.8),
            ((61.5 + f, 20.0, -2.0), 4.5),
            ((60.0, 4.0, 3.0), 6.0),
        ],
        (1.7, 1.0, 0.85),
    )
    cheek = bar(m, [((49.0, 65.0, 6.0), 7.0), ((45.0, 64.0, -9.0), 8.5), ((32.0, 64.0, -22.0), 8.0)])
    return smooth_min(arch, cheek, 6.0)


def maxilla(m: Points) -> Field:
    """Upper jaw: body around the sinuses, alveolar arch and hard palate."""
    body = ellipsoid(m, (18.0, 57.0, -12.0), (20.0, 21.0, 22.0))
    arch = bar(
        m,
        [((0.0, 84.0, -36.0), 5.0), ((12.0, 80.0, -36.0), 5.0), ((22.0, 68.0, -36.0), 5.0), ((26.0, 46.0, -34.0), 5.5)],
        (1.0, 1.0, 0.5),
    )
    spine = capsule(m, (0.0, 82.0, -28.0), (0.0, 90.0, -26.0), 4.0, 1.6)
    palate = ellipsoid(m, (0.0, 60.0, -30.0), (26.0, 26.0, 3.5))
    return smooth_min(smooth_min(body, np.minimum(arch, spine), 6.0), palate, 4.0)


def sphenoid_wing(m: Points) -> Field:
    """Greater wing of the sphenoid, the wall between the orbit and the temporal fossa."""
    return ellipsoid(m, (38.0, 50.0, 24.0), (9.0, 22.0, 21.0))


def mandible(m: Points) -> Field:
    """Lower jaw: condyle, coronoid process, ramus and body; most fields of view show its upper end only."""
    neck = bar(
        m, [((49.0, 8.0, -6.0), 4.0), ((48.0, 8.0, -22.0), 4.5), ((46.0, 16.0, -50.0), 6.0)], (1.7, 0.75, 1.0)
    )
    coronoid = bar(m, [((47.0, 34.0, -12.0), 2.0), ((46.0, 30.0, -30.0), 5.5), ((45.0, 22.0, -52.0), 6.0)], (1.7, 0.6, 1.0))
    body = bar(m, [((44.0, 22.0, -60.0), 6.0), ((28.0, 60.0, -66.0), 6.0), ((10.0, 80.0, -68.0), 6.0), ((0.0, 82.0, -68.0), 6.5)], (1.2, 1.0, 0.5))
    head = capsule(m, (44.0, 8.0, -5.0), (54.0, 8.0, -5.0), 3.5, 3.5)
    return smooth_min(np.minimum(head, smooth_min(neck, coronoid, 6.0)), body, 4.0)


def orbit(m: Points, ph: Phantom) -> Field:
    """The eye socket: a cone that narrows from the rim to the optic canal."""
    s = ph.orbit_size
    squash = (0.95, 1.0, 1.04)
    cone = capsule(m, (12.0, 38.0, 22.0), (31.5, 73.0, 17.0), 3.5, 17.0 * s, squash)
    mouth = capsule(m, (31.5, 73.0, 17.0), (37.0, 100.0, 15.0), 17.0 * s, 19.0 * s, squash)
    return np.minimum(cone, mouth)


def orbital_wall(m: Points, socket: Field, thickness: float) -> Field:
    """Thin bone around the eye socket behind its rim."""
    behind_rim = m.y + 0.5 * np.maximum(m.x - 20.0, 0.0) - 80.0
    return np.maximum(socket - thickness, behind_rim)


def airways(m: Points) -> Field:
    """Nasal cavity with its pear-shaped aperture, maxillary, sphenoid and frontal sinuses."""
    cavity = capsule(m, (4.5, 62.0, -18.0), (3.0, 62.0, 18.0), 9.5, 5.0, (1.0, 0.38, 1.0))
    aperture = bar(m, [((4.0, 74.0, -16.0), 8.5), ((4.0, 110.0, -18.0), 9.0)])
    bridge = capsule(m, (1.0, 74.0, -1.0), (1.0, 110.0, -10.0), 7.0, 11.0)
    antrum = ellipsoid(m, (26.0, 56.0, -11.0), (13.0, 17.0, 17.5))
    sphenoid = ellipsoid(m, (7.0, 30.0, 9.0), (6.0, 11.0, 7.0))
    frontal = ellipsoid(m, (9.0, 83.0, 40.0), (8.0, 3.2, 6.0))
    nose = np.minimum(cavity, np.minimum(aperture, bridge))
    return np.minimum(nose, np.minimum(frontal, np.minimum(antrum, sphenoid)))


def conchae(m: Points, thickness: float) -> Field:
    """Nasal septum, conchae and ethmoid cells: thin plates inside the nasal cavity."""
    half = 0.5 * thickness
    septum = np.maximum(m.x - half, np.abs(m.z + 2.0) - 30.0)
    scroll = m.z + 0.06 * (m.x - 8.0) * (m.x - 8.0)
    plates = np.minimum(np.abs(scroll + 12.0), np.abs(scroll - 1.0)) - half
    plates = np.maximum(plates, np.abs(m.x - 7.5) - 4.0)
    side = np.maximum(np.abs(m.x - 14.5 + 0.15 * np.maximum(m.z, 0.0)) - half, m.z - 20.0)
    cells = np.minimum(np.abs(m.x - 6.5), np.abs(wave(m.y * 0.05 + m.x * 0.02)) * 6.0) - half
    cells = np.maximum(cells, 8.0 - m.z)
    return np.maximum(np.minimum(np.minimum(septum, side), np.minimum(plates, cells)), np.abs(m.y - 55.0) - 20.0)


# --- the whole ---------------------------------------------------------------------------------------------------


def foramen_magnum(p: Points, ph: Phantom) -> Field:
    """The canal by which the spinal cord leaves, slightly tilted to the front."""
    s = ph.foramen_size
    return capsule(p, (0.0, -15.0, -8.0), (0.0, -18.0, -60.0), 15.0 * s, 15.0 * s, (1.0, 0.86, 1.0))


def skull(p: Points, ph: Phantom, spacing: float) -> Field:
    """Signed distance to bone; plates stay at least one voxel thick so that they survive sampling."""
    plate = max(1.7, spacing)
    m = p.mirrored()
    outer = endocast(p, m, ph) + vault_waves(p, ph.shape_waves)
    outer = outer + temporal_hollow(m, ph)
    cavity = outer + impressions(p, ph.impression_depth)
    bone = outer - shell_thickness(p, m, ph, plate)
    bone = smooth_min(bone, occiput(m, ph), 10.0)
    bone = smooth_min(bone, np.minimum(mastoid(m, ph), skull_base(m)), 6.0)
    if p.high[1] > -15.0 and p.low[2] < 65.0:
        bone = with_face(m, ph, bone, plate)
    bone = np.minimum(bone, cavity - plate)
    bone = np.maximum(bone, -cavity)
    inner = smooth_min(petrous(m), clinoids(m), 3.0)
    bone = np.minimum(bone, np.maximum(inner, cavity - 1.0))
    bone = np.maximum(bone, -air_cells(p, m))
    bone = np.minimum(bone, atlas(m))
    holes = np.minimum(foramen_magnum(p, ph), np.minimum(ear_canal(m), base_holes(m)))
    return np.maximum(bone, -holes)


def with_face(m: Points, ph: Phantom, braincase: Field, plate: float) -> Field:
    """The braincase joined with the face and hollowed by orbits and airways."""
    upper = smooth_min(orbital_rim(m, ph), nasal_bones(m), 4.0)
    upper = smooth_min(upper, sphenoid_wing(m), 8.0)
    bone = smooth_min(braincase, upper, 12.0)
    bone = smooth_min(bone, smooth_min(zygoma(m, ph), maxilla(m), 6.0), 4.0)
    socket = orbit(m, ph)
    air = airways(m)
    bone = smooth_max(bone, -np.minimum(socket, air), 2.0)
    bone = np.minimum(bone, np.maximum(conchae(m, plate), air))
    bone = np.minimum(bone, np.maximum(orbital_wall(m, socket, plate), -socket))
    return np.minimum(bone, mandible(m))
