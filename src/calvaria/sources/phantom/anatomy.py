"""Implicit anatomy of the human skull: each part is a function from points to a signed distance.

Frame: millimetres in the head's own axes (x to the patient's right, y to the front, z up). The plane
z = 0 is the Frankfurt plane through the ear canals and the lower orbital rims; y = 0 lies at the ear canals
and x = 0 is the midline. Lengths describe a skull of mean size; `build.py` scales, skews and rotates it.

Method: the braincase is an offset shell around an endocast (the brain's lobes), the face is a smooth
union of bars and ellipsoids, and the orbits, sinuses and airways are carved out of it. Distances are negative
inside. Paired parts are modelled once and evaluated at |x|; asymmetry comes from skewing the points.

The arithmetic is that of `sdf.py`, so that the mask is the same on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calvaria.sources.phantom.parameters import Phantom
from calvaria.sources.phantom.sdf import (
    FAR,
    Field,
    Points,
    bar,
    bump,
    capsule,
    ellipsoid,
    smooth_max,
    smooth_min,
    smooth_step,
    wave,
)

# --- braincase ------------------------------------------------------------------------------------


def endocast(p: Points, m: Points, ph: Phantom) -> Field:
    """Return the endocast: cerebrum, frontal and occipital poles, temporal lobes, cerebellum, brainstem."""
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
    vault = smooth_min(smooth_min(cerebrum, hemisphere, 12.0), smooth_min(frontal, occipital, 4.0), 28.0)
    temporal = ellipsoid(m, (36.0, 18.0, 25.0), (24.0, 31.0, 23.0))
    flank = ellipsoid(m, (28.0, -17.0, 20.0), (32.0, 38.0, 36.0))
    cerebellum = ellipsoid(m, (18.0, -33.0, 0.0), (30.0, 31.0, 24.0))
    stem = capsule(p, (0.0, -4.0, 22.0), (0.0, -16.0, -20.0), 13.0, 14.0)
    hind = smooth_min(flank, smooth_min(cerebellum, stem, 8.0), 10.0)
    out = smooth_min(vault, hind, 12.0)
    out = smooth_min(out, np.minimum(temporal, brow_fossa), 10.0)
    nuchal_plane = -0.62 * (p.y + 80.0) - 0.78 * (p.z - 6.0)
    return smooth_max(out, nuchal_plane, 16.0)


def vault_waves(p: Points, coefficients: Sequence[float]) -> Field:
    """Return a gentle irregularity: a cubic polynomial of the direction from the middle of the vault."""
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
    """Return the braincase thickness: thick frontal and occipital bone, thin squama, rough thin base."""
    vault = ph.thickness * (1.0 + 0.22 * vault_waves(p, ph.thickness_waves))
    vault = vault + 0.7 * bump(p, (0.0, -10.0, 115.0), (60.0, 70.0, 50.0))
    vault = vault + ph.frontal_thickening * bump(p, (0.0, 92.0, 55.0), (55.0, 45.0, 45.0))
    vault = vault + ph.occipital_thickening * bump(p, (0.0, -82.0, 12.0), (45.0, 40.0, 34.0))
    vault = vault * (1.0 - 0.46 * bump(m, (64.0, 18.0, 24.0), (34.0, 75.0, 50.0)))
    low = 1.0 - smooth_step(p.z - 0.2 * p.y, -18.0, 30.0)
    base = 0.3 * ph.thickness + 1.1 + 0.7 * relief(p)
    thickness = vault + (base - vault) * low * 0.9
    thickness = thickness * (1.0 - 0.55 * bump(m, (28.0, 52.0, 26.0), (34.0, 36.0, 20.0)))
    return np.maximum(thickness, thinnest)


def temporal_hollow(m: Points, ph: Phantom) -> Field:
    """Return the depth of the temporal fossa."""
    return ph.temporal_hollow * bump(m, (58.0, 48.0, 36.0), (24.0, 32.0, 34.0))


def relief(p: Points) -> Field:
    """Return irregular roughness in -1 to 1: waves bent by other waves, to avoid a visible lattice."""
    bend = wave(p.x * 0.023 + p.z * 0.017 + 0.4) + wave(p.y * 0.019 - p.x * 0.011)
    first = wave(p.x * 0.047 + p.y * 0.013 + 0.31 * bend)
    return first * wave(p.y * 0.053 - p.z * 0.029 + 0.27 * bend + 0.23 * first)


def impressions(p: Points, depth: float) -> Field:
    """Return shallow impressions of the brain's gyri on the inner table."""
    first = wave(p.x * 0.041 + p.z * 0.017)
    return depth * wave(p.y * 0.037 - p.z * 0.019 + 0.3 * first) * wave(p.z * 0.043 + 0.2 * first)


# --- outside of the braincase ---------------------------------------------------------------------


def occiput(m: Points, ph: Phantom) -> Field:
    """Return the external occipital protuberance with the superior nuchal lines running off it."""
    s = ph.protuberance
    line = bar(m, [((0.0, -77.0, 12.0), 5.0 + s), ((22.0, -73.0, 12.0), 5.0), ((46.0, -50.0, 6.0), 4.0)])
    return line + 1.0


def mastoid(m: Points, ph: Phantom) -> Field:
    """Return the mastoid process, a blunt cone behind the ear canal."""
    s = ph.mastoid_size
    top = capsule(m, (53.0, -18.0, 2.0), (50.0, -14.0, -24.0 * s), 13.0 * s, 7.0 * s)
    return smooth_min(top, capsule(m, (54.0, -30.0, 2.0), (52.0, -18.0, -14.0), 9.0, 9.0), 6.0)


def air_cells(p: Points, m: Points) -> Field:
    """Return the mastoid and petrous air cells: small irregular holes that never reach the surface."""
    if p.gap((-60.0, -36.0, -24.0), (60.0, 16.0, 14.0)) > 0.0:
        return np.array(FAR)
    bend = relief(p)
    cells = wave(p.x * 0.11 + 0.5 * bend) * wave(p.y * 0.12 + 0.4 * bend) + 0.6 * wave(
        p.z * 0.13 + p.x * 0.05
    )
    region = np.minimum(
        ellipsoid(m, (51.0, -19.0, -4.0), (9.0, 12.0, 15.0)),
        capsule(m, (26.0, 4.0, -3.0), (50.0, -12.0, -2.0), 3.5, 6.0, (1.0, 1.0, 0.6)),
    )
    return np.maximum(6.0 * (0.1 - cells), region)


def skull_base(m: Points) -> Field:
    """Return sphenoid body, clivus, occipital condyles and pterygoid plates."""
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
    """Return the petrous pyramid, the ridge between the middle and the posterior fossa."""
    return capsule(m, (13.0, 13.0, 0.0), (54.0, -14.0, -2.0), 4.5, 7.0, (1.0, 1.0, 0.5))


def ear_canal(m: Points) -> Field:
    """Return the external ear canal, a blind hole in front of the mastoid."""
    return capsule(m, (42.0, 0.0, 1.0), (80.0, -3.0, 0.0), 3.2, 4.0)


def base_holes(m: Points) -> Field:
    """Return jugular and oval foramina, which pierce the base."""
    jugular = capsule(m, (24.0, -8.0, -2.0), (26.0, -4.0, -30.0), 3.5, 4.5)
    return np.minimum(jugular, capsule(m, (24.0, 21.0, 12.0), (25.0, 19.0, -16.0), 2.6, 3.2))


def atlas(m: Points) -> Field:
    """Return the first vertebra: a ring under the condyles, with its transverse processes."""
    u, v = m.x * (1.0 / 17.0), (m.y + 16.0) * (1.0 / 21.0)
    radial = (np.sqrt(u * u + v * v) - 1.0) * 18.0
    height = (m.z + 34.0) * 0.75
    ring = np.sqrt(radial * radial + height * height) - 3.2
    mass = capsule(m, (17.0, -6.0, -31.0), (37.0, -12.0, -35.0), 5.5, 3.5)
    return smooth_min(ring, mass, 3.0)


def clinoids(m: Points) -> Field:
    """Return dorsum sellae, anterior clinoids with the sphenoid ridge, and crista galli."""
    dorsum = capsule(m, (0.0, 14.0, 12.0), (7.0, 14.0, 23.0), 3.5, 2.2)
    ridge = bar(
        m, [((9.0, 32.0, 18.0), 2.2), ((26.0, 39.0, 20.0), 2.2), ((48.0, 47.0, 26.0), 2.6)], (1.0, 1.0, 0.3)
    )
    crista = capsule(m, (0.0, 62.0, 24.0), (0.0, 72.0, 36.0), 2.5, 1.8)
    return np.minimum(np.minimum(dorsum, ridge), crista)


# --- face -----------------------------------------------------------------------------------------


def orbital_rim(m: Points, ph: Phantom) -> Field:
    """Return the frame of bone around the orbit: brow, lateral pillar, lower rim and nasal pillar."""
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
    """Return nasal bones over the pyramid of the maxilla's frontal processes around the aperture."""
    roof = bar(
        m, [((0.0, 83.0, 34.0), 5.5), ((0.0, 90.0, 20.0), 4.5), ((0.0, 96.0, 9.0), 4.0)], (0.7, 1.0, 1.0)
    )
    pyramid = capsule(m, (0.0, 77.0, 28.0), (0.0, 74.0, -14.0), 7.5, 19.0)
    return smooth_min(roof, pyramid, 8.0)


def zygoma(m: Points, ph: Phantom) -> Field:
    """Return cheek bone and zygomatic arch, a free bar lateral to the temporal fossa."""
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
    """Return the upper jaw: body around the sinuses, alveolar arch and hard palate."""
    body = ellipsoid(m, (18.0, 57.0, -12.0), (20.0, 21.0, 22.0))
    arch = bar(
        m,
        [
            ((0.0, 84.0, -36.0), 5.0),
            ((12.0, 80.0, -36.0), 5.0),
            ((22.0, 68.0, -36.0), 5.0),
            ((26.0, 46.0, -34.0), 5.5),
        ],
        (1.0, 1.0, 0.5),
    )
    spine = capsule(m, (0.0, 82.0, -28.0), (0.0, 90.0, -26.0), 4.0, 1.6)
    palate = ellipsoid(m, (0.0, 60.0, -30.0), (26.0, 26.0, 3.5))
    return smooth_min(smooth_min(body, np.minimum(arch, spine), 6.0), palate, 4.0)


def sphenoid_wing(m: Points) -> Field:
    """Return the greater wing of the sphenoid, the wall between the orbit and the temporal fossa."""
    return ellipsoid(m, (37.0, 50.0, 24.0), (7.0, 20.0, 18.0))


def mandible(m: Points) -> Field:
    """Return the lower jaw: condyle, coronoid process, ramus, body; most scans show only its upper end."""
    neck = bar(
        m, [((49.0, 8.0, -6.0), 4.0), ((48.0, 8.0, -22.0), 4.5), ((46.0, 16.0, -50.0), 6.0)], (1.7, 0.75, 1.0)
    )
    coronoid = bar(
        m,
        [((47.0, 34.0, -12.0), 2.0), ((46.0, 30.0, -30.0), 5.5), ((45.0, 22.0, -52.0), 6.0)],
        (1.7, 0.6, 1.0),
    )
    body = bar(
        m,
        [
            ((44.0, 22.0, -60.0), 6.0),
            ((28.0, 60.0, -66.0), 6.0),
            ((10.0, 80.0, -68.0), 6.0),
            ((0.0, 82.0, -68.0), 6.5),
        ],
        (1.2, 1.0, 0.5),
    )
    head = capsule(m, (44.0, 8.0, -5.0), (54.0, 8.0, -5.0), 3.5, 3.5)
    return smooth_min(np.minimum(head, smooth_min(neck, coronoid, 6.0)), body, 4.0)


def orbit(m: Points, ph: Phantom) -> Field:
    """Return the eye socket: a cone that narrows from the rim to the optic canal."""
    s = ph.orbit_size
    squash = (0.95, 1.0, 1.04)
    cone = capsule(m, (12.0, 38.0, 22.0), (31.5, 73.0, 17.0), 3.5, 17.0 * s, squash)
    mouth = capsule(m, (31.5, 73.0, 17.0), (37.0, 100.0, 15.0), 17.0 * s, 19.0 * s, squash)
    return np.minimum(cone, mouth)


def orbital_wall(m: Points, socket: Field, thickness: float) -> Field:
    """Return thin bone around the eye socket behind its rim."""
    behind_rim = m.y + 0.5 * np.maximum(m.x - 20.0, 0.0) - 80.0
    return np.maximum(socket - thickness, behind_rim)


def airways(m: Points) -> Field:
    """Return the nasal cavity with its pear-shaped aperture, maxillary, sphenoid and frontal sinuses."""
    cavity = capsule(m, (4.5, 60.0, -18.0), (3.0, 59.0, 17.0), 9.5, 8.0, (1.0, 0.38, 1.0))
    aperture = bar(m, [((4.0, 74.0, -16.0), 8.5), ((4.0, 110.0, -18.0), 9.0)])
    bridge = capsule(m, (1.0, 74.0, -1.0), (1.0, 110.0, -10.0), 7.0, 11.0)
    antrum = ellipsoid(m, (25.0, 56.0, -11.0), (14.0, 18.0, 18.5))
    sphenoid = ellipsoid(m, (7.5, 29.0, 9.0), (6.5, 15.0, 8.5))
    frontal = ellipsoid(m, (11.0, 82.5, 40.0), (12.0, 5.0, 9.0))
    nose = np.minimum(cavity, np.minimum(aperture, bridge))
    return np.minimum(nose, np.minimum(frontal, np.minimum(antrum, sphenoid)))


def conchae(m: Points, thickness: float) -> Field:
    """Return nasal septum, conchae and ethmoid cells: thin plates inside the nasal cavity."""
    half = 0.5 * thickness
    bend = relief(m)
    septum = np.maximum(m.x - half, np.abs(m.z + 2.0) - 30.0)
    scroll = m.z + 0.06 * (m.x - 8.0) * (m.x - 8.0)
    plates = np.minimum(np.abs(scroll + 12.0), np.abs(scroll - 1.0)) - half
    plates = np.maximum(plates, np.abs(m.x - 7.5) - 4.0)
    side = np.maximum(np.abs(m.x - 14.5 + 0.15 * np.maximum(m.z, 0.0)) - half, m.z - 20.0)
    cells = np.minimum(np.abs(m.x - 6.5), np.abs(wave(m.y * 0.05 + m.x * 0.02)) * 6.0) - half
    cells = np.maximum(cells, 8.0 - m.z)
    plates = np.minimum(np.minimum(septum, side), np.minimum(plates, cells))
    # Partial volume: scanners lose the thinnest bone.
    lost = 5.0 * (wave(m.y * 0.083 + 0.7 * bend) * wave(m.z * 0.091 + 0.5 * bend) - 0.15)
    return np.maximum(np.maximum(plates, lost), np.abs(m.y - 55.0) - 20.0)


# --- the whole ------------------------------------------------------------------------------------


def foramen_magnum(p: Points, ph: Phantom) -> Field:
    """Return the canal of the spinal cord, slightly tilted to the front."""
    s = ph.foramen_size
    return capsule(p, (0.0, -15.0, -8.0), (0.0, -18.0, -60.0), 15.0 * s, 15.0 * s, (1.0, 0.86, 1.0))


def skull(p: Points, ph: Phantom, spacing: float) -> Field:
    """Return the signed distance to bone; plates stay thicker than a voxel, so sampling leaves no holes."""
    plate = max(1.7, 1.2 * spacing)  # a fifth more, as scaling and skewing thin them
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
    """Return the braincase joined with the face and hollowed by orbits and airways."""
    upper = smooth_min(orbital_rim(m, ph), nasal_bones(m), 4.0)
    upper = smooth_min(upper, sphenoid_wing(m), 8.0)
    bone = smooth_min(braincase, upper, 9.0)
    bone = smooth_min(bone, smooth_min(zygoma(m, ph), maxilla(m), 6.0), 4.0)
    socket = orbit(m, ph)
    air = airways(m)
    bone = smooth_max(bone, -np.minimum(socket, air), 2.0)
    bone = np.minimum(bone, np.maximum(conchae(m, plate), air))
    bone = np.minimum(bone, np.maximum(orbital_wall(m, socket, plate), -socket))
    return np.minimum(bone, mandible(m))
