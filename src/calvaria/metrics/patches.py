"""Features of square patches of the vault, by which a classifier tells samples from real skulls.

A patch is 32 mm wide: several of the lumps and pits that one sees (5 to 15 mm) fit into it, and about fifty
patches cover a vault without overlapping. Of the outer radius, the inner radius and the thickness, each freed
from its trend (a quadratic polynomial), differences of Gaussians give maps of four scales.

=========  ===================================================================================================
scales     per map and scale: logarithm of the rms in mm (roughness), skewness and kurtosis (lumps and pits)
bone       mean thickness in mm, share of pixels without bone, correlation of outer and inner surface
place      direction of the patch; left and right are the same
=========  ===================================================================================================
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from calvaria.metrics.surface_map import REFERENCE_MM, SurfaceMap, Windows, filled, view, windows
from calvaria.skull.measures import vault_cap

PATCH_MM = 32.0
PATCHES = 50
DEGREE = 2  # of the trend
WIDTHS = (1.0, 2.0, 4.0)  # pixels, between the four scales
TINY_MM = 1e-3


def patch_features(surfaces: SurfaceMap, spacing_mm: float) -> np.ndarray:
    """Return (PATCHES, f) finite features of a skull's patches.

    Raises:
        ValueError: if no ray meets bone.
    """
    seen, parts = view(spacing_mm), _parts(spacing_mm)
    closed = surfaces.closed
    outer, inner, thick = (
        parts.windows.of(filled(seen, one, closed))
        for one in (surfaces.outer_mm, surfaces.inner_mm, surfaces.thickness_mm)
    )
    is_open = (~closed)[seen.nearest][tuple(np.round(parts.windows.places).astype(np.intp))]
    maps = np.stack([outer, inner, thick], axis=1)
    flat = maps.reshape(*maps.shape[:2], -1)
    flat = flat - (flat @ parts.trend) @ parts.trend.T
    rest = flat.reshape(maps.shape)
    scales = []
    for width in WIDTHS:
        smooth = gaussian_filter(rest, (0, 0, width, width), mode="nearest")
        scales.append(rest - smooth)
        rest = smooth
    moments = [_moments(one) for one in (*scales, rest)]
    shared = (flat[:, 0] * flat[:, 1]).mean(axis=-1)
    norm = np.sqrt((flat[:, 0] ** 2).mean(axis=-1) * (flat[:, 1] ** 2).mean(axis=-1))
    bone = [thick.mean(axis=(1, 2)), is_open.mean(axis=(1, 2)), shared / np.maximum(norm, TINY_MM**2)]
    place = np.abs(parts.windows.axes * [1, 0, 0]) + parts.windows.axes * [0, 1, 1]
    return np.concatenate([*moments, np.stack(bone, axis=1), place], axis=1)


def _moments(maps: np.ndarray) -> np.ndarray:
    """Return (patches, 3 maps) logarithm of rms, skewness and kurtosis of (patches, maps, size, size)."""
    flat = maps.reshape(*maps.shape[:2], -1)
    flat = flat - flat.mean(axis=2, keepdims=True)
    squares = flat * flat
    rms = np.sqrt(squares.mean(axis=2))
    unit = np.maximum(rms, TINY_MM)
    third, fourth = (np.einsum("pmi,pmi->pm", squares, one) / flat.shape[2] for one in (flat, squares))
    return np.concatenate([np.log(rms + TINY_MM), third / unit**3, fourth / unit**4], axis=1)


@dataclass(frozen=True)
class _Parts:
    windows: Windows
    trend: np.ndarray  # (pixels, terms) orthonormal polynomials


@cache
def _parts(spacing_mm: float) -> _Parts:
    """Return the patches: directions spread evenly, so far from the border that patches stay inside it."""
    lowest = np.cos(np.arccos(vault_cap()[1]) - PATCH_MM / REFERENCE_MM / np.sqrt(2))
    leans = np.arccos(lowest + (1 - lowest) * (np.arange(PATCHES) + 0.5) / PATCHES)
    turns = np.pi * (3 - np.sqrt(5)) * np.arange(PATCHES)
    chosen = windows(view(spacing_mm), PATCH_MM, leans, turns)
    first, second = (np.indices((chosen.size,) * 2).reshape(2, -1) + 0.5) / chosen.size * 2 - 1
    terms = [first**i * second**j for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    return _Parts(chosen, np.linalg.qr(np.stack(terms, axis=1))[0])
