"""Render label volumes by orthographic ray casting with NumPy and SciPy, without a graphics library.

The surface is a level set of the occupancy, convolved exactly with a Gaussian at any resolution, so that a
grid of 4 mm gives a smooth skull. Rays skip empty space, hits are refined by bisection, and ambient light
from 14 directions darkens cavities. Positions are RAS+ millimetres from the centre of the grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import edt
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter, minimum_filter
from scipy.special import erf

from calvaria.geometry.grid import BACKGROUND, IMPLANT, Grid

BONE_COLOUR = np.array([240, 229, 205]) / 255  # ivory
# Blue and orange of the Okabe-Ito palette, distinguishable with any colour vision.
TRUE_COLOUR = np.array([0, 114, 178]) / 255
PREDICTED_COLOUR = np.array([230, 130, 0]) / 255
BACKGROUND_COLOUR = np.ones(3)

LEVEL = 0.3  # below one half, so that bone one voxel thick survives the blur
BLUR_VOXELS = 0.8  # sd of the blur in grid voxels
SMOOTH_VOXELS = 1.6  # sd of the blur for normals, wider to hide voxel staircases
FINE_MM = 1.3  # smallest spacing at which the blurred field is sampled
FINE_VOXELS = 176  # maximum samples along an axis of the field
LIGHT_OFFSET_MM = 6.0  # distance outside the surface at which the ambient light is sampled
KEY_LIGHT = np.array([-0.50, 0.60, 0.62])  # towards the light: viewer's right, up, towards the viewer
EDGE = 0.2  # colour range among neighbours above which a pixel is supersampled


@dataclass(frozen=True)
class View:
    """A direction of view, towards the centre of the grid.

    Azimuth 0 is the view of the face, 90 that of the patient's right; elevation 90 is the view from above.
    """

    azimuth_deg: float
    elevation_deg: float

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) float64; rows are the directions right, up and towards the viewer, in RAS+."""
        azimuth, elevation = np.deg2rad([self.azimuth_deg, self.elevation_deg])
        front = np.array([np.sin(azimuth), np.cos(azimuth), 0.0])
        top = np.array([0.0, 0.0, 1.0])
        towards = np.cos(elevation) * front + np.sin(elevation) * top
        up = np.cos(elevation) * top - np.sin(elevation) * front
        return np.stack([np.cross(up, towards), up, towards])


VIEWS = {
    "front": View(0, 0),
    "right": View(90, 0),
    "back": View(180, 0),
    "left": View(270, 0),
    "top": View(180, 90),
    "oblique": View(38, 16),
}


@dataclass(frozen=True)
class Field:
    """A scalar field sampled on a regular grid, zero outside."""

    values: np.ndarray  # (x, y, z) float32
    origin_mm: np.ndarray  # (3,) position of sample (0, 0, 0)
    spacing_mm: float
    slope: float = np.inf  # maximum change of the value per mm

    def index(self, points: np.ndarray) -> np.ndarray:
        """Return (n, 3) fractional indices of (n, 3) points in mm."""
        return (points - self.origin_mm) / self.spacing_mm

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return (n,) float32 trilinear values at (n, 3) points in mm."""
        return _interpolate(self.values, self.index(points).T)

    def gradient(self, points: np.ndarray) -> np.ndarray:
        """Return (n, 3) unscaled central differences over 1.5 samples in both directions."""
        steps = np.eye(3) * 1.5 * self.spacing_mm
        return np.stack([self.at(points + step) - self.at(points - step) for step in steps], axis=-1)


@dataclass(frozen=True)
class Scene:
    """A label volume prepared for rendering from several views."""

    surface: Field  # blurred occupancy of bone and implant
    smooth: Field  # the same with a wider blur, for normals
    implant: Field | None  # blurred occupancy of the implant alone
    implant_colour: np.ndarray  # (3,) in [0, 1]
    window_mm: float  # width and height of the picture

    @cached_property
    def leap(self) -> np.ndarray:
        """(x/2, y/2, z/2) float32, samples that a ray can skip, per block of 2 x 2 x 2 samples."""
        solid = _halve(self.surface.values, np.maximum) >= LEVEL
        free = edt.edt(np.asfortranarray(~solid), parallel=1)
        return 2 * np.maximum(free - np.float32(np.sqrt(3)), 0)

    def approach_mm(self, axes: np.ndarray, screen: np.ndarray) -> np.ndarray:
        """Return an upper bound of the surface's position along the view axis.

        Args:
            axes: axes of the view.
            screen: (n, 2) positions in mm, right and up.

        Returns:
            (n,) mm towards the viewer, minus infinity where no surface can be.
        """
        block = 2 * self.surface.spacing_mm
        blocks = (self.surface.origin_mm + block * (np.argwhere(self.leap == 0) + 0.25)) @ axes.T
        reach = int(np.abs(np.concatenate([blocks[:, :2], screen])).max(initial=0) / block) + 2
        nearest = np.full((2 * reach + 1, 2 * reach + 1), -np.inf)
        cells = np.rint(blocks[:, :2] / block).astype(np.intp) + reach
        np.maximum.at(nearest, tuple(cells.T), blocks[:, 2] + block)
        cells = np.rint(screen / block).astype(np.intp) + reach
        return np.asarray(maximum_filter(nearest, 3)[tuple(cells.T)])

    @cached_property
    def light(self) -> Field:
        """Ambient light: visible fraction of 14 directions, per block of 4 x 4 x 4 samples."""
        coarse = _halve(_halve(self.surface.values, np.add), np.add) / 64
        clear = np.pad(1 - np.clip(2 * coarse, 0, 1), 1, constant_values=1.0)
        steps = [step for step in product((-1, 0, 1), repeat=3) if np.count_nonzero(step) in (1, 3)]
        light = sum((_transmitted(clear, step) for step in steps), np.float32(0)) / np.float32(len(steps))
        spacing = self.surface.spacing_mm
        return Field(gaussian_filter(light, 0.7), self.surface.origin_mm + (1.5 - 4) * spacing, 4 * spacing)


def scene(labels: np.ndarray, grid: Grid, implant_colour: np.ndarray = TRUE_COLOUR) -> Scene:
    """Prepare an (x, y, z) label volume for rendering."""
    spacing = max(FINE_MM, 0.45 * grid.spacing_mm, max(grid.extent_mm) / FINE_VOXELS)
    sharp = max(BLUR_VOXELS * grid.spacing_mm, 0.6 * spacing)
    soft = max(SMOOTH_VOXELS * grid.spacing_mm, 2.0 * spacing)
    solid = labels != BACKGROUND
    implant = labels == IMPLANT
    return Scene(
        surface=blur(solid, grid, sharp, spacing),
        smooth=blur(solid, grid, soft, spacing),
        implant=blur(implant, grid, sharp, spacing) if implant.any() else None,
        implant_colour=implant_colour,
        window_mm=max(grid.extent_mm),
    )


def render(
    labels: np.ndarray, grid: Grid, view: View, size: int, implant_colour: np.ndarray = TRUE_COLOUR
) -> np.ndarray:
    """Render a label volume.

    Args:
        labels: (x, y, z) labels; 0 background, 1 bone, 2 implant.
        view: direction of view.
        size: width and height in pixels, for the longest edge of the grid, so that all pictures of a grid
            have the same scale.
        implant_colour: (3,) of label 2, in [0, 1].

    Returns:
        (size, size, 3) uint8 picture, rows from top to bottom, on white.
    """
    return draw(scene(labels, grid, implant_colour), view, size)


def draw(subject: Scene, view: View, size: int) -> np.ndarray:
    """Render a prepared scene; see ``render``."""
    pixel = subject.window_mm / size
    centres = (np.arange(size) - (size - 1) / 2) * pixel
    right, up = np.meshgrid(centres, -centres)
    screen = np.stack([right.ravel(), up.ravel()], axis=-1)
    colour = _cast(subject, view, screen)
    jagged = np.flatnonzero(_edges(colour.reshape(size, size, 3)))
    parts = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * pixel / 4
    fine = _cast(subject, view, (screen[jagged, None] + parts).reshape(-1, 2))
    colour[jagged] = fine.reshape(-1, len(parts), 3).mean(axis=1)
    return np.round(255 * colour.reshape(size, size, 3)).astype(np.uint8)


def blur(mask: np.ndarray, grid: Grid, sd: float, spacing: float) -> Field:
    """Sample the exact convolution of a mask with a Gaussian of ``sd`` mm every ``spacing`` mm."""
    # Only the bounding box of the mask contributes; an implant is small.
    box = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not len(box[0]):
        box = [np.arange(1)] * 3
    box = [np.arange(indices[0], indices[-1] + 1) for indices in box]
    values = mask[np.ix_(*box)].astype(np.float32)
    origin = []
    for axis, extent in enumerate(grid.extent_mm):
        count = 4 * int(np.ceil((extent + 6 * sd) / spacing / 4))
        samples = (np.arange(count) - (count - 1) / 2) * spacing
        offset = samples[:, None] - grid.centres(axis)[box[axis]]
        edge, scale = grid.spacing_mm / 2, np.sqrt(2) * sd
        weights = (erf((offset + edge) / scale) - erf((offset - edge) / scale)) / 2
        # Each contraction removes the first axis and appends the new one, which restores the order x, y, z.
        values = np.tensordot(values, np.float32(weights), axes=(0, 1))
        origin.append(samples[0])
    return Field(values, np.array(origin), spacing, 1 / (np.sqrt(2 * np.pi) * sd))


def _interpolate(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return (n,) float32 trilinear values of a volume at (3, n) fractional indices, zero outside."""
    return map_coordinates(values, index, order=1, output=np.float32, prefilter=False)


def _halve(values: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """Combine each block of 2 x 2 x 2 samples."""
    values = combine(values[0::2], values[1::2])
    values = combine(values[:, 0::2], values[:, 1::2])
    return combine(values[:, :, 0::2], values[:, :, 1::2])


def _transmitted(clear: np.ndarray, step: Sequence[int]) -> np.ndarray:
    """Return the light that reaches each sample from one axis or diagonal direction.

    Args:
        clear: (x, y, z) transmitted fraction of each sample; 1 on the border.
        step: direction of the light, -1, 0 or 1 per axis.
    """
    light = np.ones_like(clear)
    axis = next(i for i, sign in enumerate(step) if sign)
    layers, passing = np.moveaxis(light, axis, 0), np.moveaxis(clear, axis, 0)
    a, b = (sign for i, sign in enumerate(step) if i != axis)
    depth, height, width = layers.shape
    for i in range(depth - 2, -1, -1) if step[axis] > 0 else range(1, depth):
        arriving = layers[i + step[axis]] * passing[i + step[axis]]
        layers[i, 1:-1, 1:-1] = arriving[1 + a : height - 1 + a, 1 + b : width - 1 + b]
    return light


def _cast(subject: Scene, view: View, screen: np.ndarray) -> np.ndarray:
    """Return (n, 3) colours in [0, 1] of rays at (n, 2) positions in mm, right and up."""
    axes, surface = view.axes, subject.surface
    approach = subject.approach_mm(axes, screen)
    ray = np.flatnonzero(np.isfinite(approach))
    starts = screen[ray] @ axes[:2] + approach[ray, None] * axes[2]
    index, direction = surface.index(starts).T.astype(np.float32), -axes[2].astype(np.float32)
    # No surface lies beyond the far side of the window.
    length = (approach[ray] + subject.window_mm) / surface.spacing_mm
    slope = surface.slope * surface.spacing_mm
    reached = surface.spacing_mm * _march(surface.values, subject.leap, slope, index, direction, length)
    hit = np.isfinite(reached)
    colour = np.broadcast_to(BACKGROUND_COLOUR, (len(screen), 3)).copy()
    colour[ray[hit]] = _shade(subject, starts[hit] - reached[hit, None] * axes[2], axes)
    return colour


def _march(
    values: np.ndarray,
    leap: np.ndarray,
    slope: float,
    starts: np.ndarray,
    direction: np.ndarray,
    length: np.ndarray,
) -> np.ndarray:
    """Return the distances of rays to the level surface, in units of samples.

    Args:
        values: (x, y, z) field.
        leap: (x/2, y/2, z/2) free distance from each block of 2 x 2 x 2 samples.
        slope: maximum change of the field along a ray.
        starts: (3, n) fractional indices outside the surface.
        direction: (3,) unit vector.
        length: (n,) maximum distances.

    Returns:
        (n,) distances, infinite without a hit.
    """
    limit = np.array(leap.shape)[:, None] - 1
    distance = np.full(starts.shape[1], np.inf, np.float32)
    before = np.zeros_like(distance)
    ray = np.arange(len(distance))
    travelled = np.zeros_like(distance)
    while len(ray):
        points = starts[:, ray] + travelled * direction[:, None]
        # Outside the volume, the free distance is at least that of the nearest block.
        nearest = np.clip(np.floor((points + 0.5) / 2).astype(np.intp), 0, limit)
        step = leap[tuple(nearest)]
        near = np.flatnonzero(step == 0)
        missing = LEVEL - _interpolate(values, points[:, near])
        step[near] = missing / np.float32(slope)
        inside = near[missing <= 0]
        distance[ray[inside]] = travelled[inside]
        keep = travelled < length[ray]
        keep[inside] = False
        ray, travelled, step = ray[keep], travelled[keep], step[keep]
        before[ray] = travelled
        travelled = travelled + np.maximum(step, np.float32(1))
    hit = np.flatnonzero(np.isfinite(distance))
    low, high = before[hit], distance[hit]
    for _ in range(4):  # bisection to a sixteenth of a sample
        middle = (low + high) / 2
        solid = _interpolate(values, starts[:, hit] + middle * direction[:, None]) >= LEVEL
        low, high = np.where(solid, low, middle), np.where(solid, middle, high)
    distance[hit] = (low + high) / 2
    return distance


def _shade(subject: Scene, points: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return (n, 3) colours in [0, 1] of (n, 3) surface points: key light, ambient light, highlight."""
    normal = -subject.smooth.gradient(points)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    facing = normal @ axes.T
    key = KEY_LIGHT / np.linalg.norm(KEY_LIGHT)
    half = key + np.array([0, 0, 1])  # between the light and the viewer
    half /= np.linalg.norm(half)
    ambient = subject.light.at(points + LIGHT_OFFSET_MM * normal)
    # Half of the directions are behind the surface, so the maximum is about one half.
    open_sky = np.clip(ambient / 0.6, 0, 1) ** 1.3
    diffuse = np.clip(facing @ key, 0, 1)
    light = 0.06 + open_sky * (0.42 + 0.07 * facing[:, 1]) + diffuse * (0.14 + 0.44 * open_sky)
    gloss = 0.07 * np.clip(facing @ half, 0, 1) ** 20 * open_sky
    base = np.broadcast_to(BONE_COLOUR, points.shape)
    if subject.implant is not None:
        share = subject.implant.at(points) / np.maximum(subject.surface.at(points), 1e-6)
        mix = np.clip((share - 0.5) * 6 + 0.5, 0, 1)[:, None]
        base = mix * subject.implant_colour + (1 - mix) * BONE_COLOUR
    return np.clip(base * light[:, None] + gloss[:, None], 0, 1)


def _edges(colour: np.ndarray) -> np.ndarray:
    """Return (h, w) bool: pixels of an (h, w, 3) picture whose neighbours differ."""
    size = (3, 3, 1)
    return np.asarray((maximum_filter(colour, size) - minimum_filter(colour, size)).max(axis=-1) > EDGE)
