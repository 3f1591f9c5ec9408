"""Roughness of the vault: amplitude of its surfaces by wavelength, compared with that of real skulls.

In six overlapping round windows of the map, the radius is resampled to an azimuthal equidistant projection
around the window's own axis, which hardly distorts distances, freed from its trend (a cubic polynomial) and
tapered by a Hann window; then its power spectrum is averaged over rings of equal wavelength and over the
windows (Welch 1967). The root of a band's power is the rms amplitude of all waves in that band.

Of ``2 b`` bands a real skull is often outside the 5-95 % range of others in one or the other. The joint band
is that range, widened about the medians until nine of ten real skulls are inside everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from calvaria.metrics.surface_map import REFERENCE_MM, SurfaceMap, Windows, filled, view, windows
from calvaria.skull.measures import vault_cap

EDGES_MM = np.geomspace(3, 60, 9)  # of the bands
LEAST_VOXELS = 2  # shorter waves are lost between the voxels
WINDOW_MM = 128.0  # about twice the longest wave
RING = 5  # windows around the one at the top
DEGREE = 3  # of the trend
SURFACES = ("outer", "inner")
RANGE = (5.0, 50.0, 95.0)  # percentiles of real skulls
INSIDE = 0.9  # share of real skulls within the joint band
TINY_MM = 1e-4  # least width of a range
FEWEST = 4  # real skulls of which a range is estimated


def bands(spacing_mm: float) -> np.ndarray:
    """Return (b, 2) shortest and longest wavelength in mm of the bands that a grid resolves; b may be 0."""
    edges = EDGES_MM[np.searchsorted(EDGES_MM, LEAST_VOXELS * spacing_mm - 1e-9) :]
    return np.stack([edges[:-1], edges[1:]], axis=1)


def roughness(surfaces: SurfaceMap, spacing_mm: float) -> np.ndarray:
    """Return (2, b) rms amplitude in mm of the outer and the inner surface in every band.

    Raises:
        ValueError: if no ray meets bone.
    """
    seen, parts = view(spacing_mm), _parts(spacing_mm)
    radii = (filled(seen, one, surfaces.closed) for one in (surfaces.outer_mm, surfaces.inner_mm))
    return np.stack([_amplitudes(parts.windows.of(one), parts, bands(spacing_mm)) for one in radii])


@dataclass(frozen=True)
class _Parts:
    """What the spectra of all skulls share."""

    windows: Windows
    taper: np.ndarray  # (pixels,) Hann window
    trend: np.ndarray  # (pixels, terms) polynomials, orthonormal under the taper
    order: np.ndarray  # (pixels,) of the frequencies by their size
    cycles: np.ndarray  # (pixels,) cycles per window of the sorted frequencies
    width_rad: float  # of a window


@cache
def _parts(spacing_mm: float) -> _Parts:
    seen = view(spacing_mm)
    lean = np.arccos(vault_cap()[1]) - WINDOW_MM / REFERENCE_MM / 2
    turns = 2 * np.pi * np.arange(RING) / RING + np.pi / 2  # the same for the mirrored skull
    chosen = windows(seen, WINDOW_MM, np.append(0.0, np.full(RING, lean)), np.append(0.0, turns))
    size = chosen.size
    first, second = (np.indices((size, size)).reshape(2, -1) + 0.5) / size * 2 - 1
    distance = np.minimum(np.hypot(first, second), 1)
    taper = (1 + np.cos(np.pi * distance)) / 2
    terms = [first**i * second**j for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    trend = np.linalg.qr(np.stack(terms, axis=1) * taper[:, None])[0]
    frequencies = np.fft.fftfreq(size, 1 / size)
    cycles = np.hypot(frequencies[:, None], frequencies[None]).reshape(-1)
    order = np.argsort(cycles, kind="stable")
    return _Parts(chosen, taper, trend, order, cycles[order], size * seen.pixel_rad)


def _amplitudes(radii: np.ndarray, parts: _Parts, ranges: np.ndarray) -> np.ndarray:
    """Return (b,) rms amplitude in mm, of radii (windows, size, size) in mm."""
    count, size = radii.shape[:2]
    flat, taper = radii.reshape(count, -1), parts.taper
    tapered = flat * taper
    tapered -= (tapered @ parts.trend) @ parts.trend.T
    spectrum = np.fft.fft2(tapered.reshape(radii.shape)).reshape(count, -1)
    power = np.abs(spectrum) ** 2 / (size**2 * np.sum(taper**2))
    total = np.cumsum(power[:, parts.order], axis=1)
    total = np.concatenate([np.zeros((count, 1)), total], axis=1)
    width_mm = parts.width_rad * (flat @ taper) / taper.sum()  # a wide window where the radius is large
    highest, lowest = (width_mm[:, None] / ranges[:, i] for i in (0, 1))  # cycles per window
    last, first = (np.searchsorted(parts.cycles, edge) for edge in (highest, lowest))
    row = np.arange(count)[:, None]
    mean = (total[row, last] - total[row, first]) / np.maximum(last - first, 1)
    # The area of a ring, not its number of frequencies, which jumps where rings are narrow.
    amplitudes: np.ndarray = np.sqrt((mean * np.pi * (highest**2 - lowest**2)).mean(axis=0))
    return amplitudes


@dataclass(frozen=True)
class Band:
    """The range of real skulls, (2, b) mm each."""

    low: np.ndarray  # 5th percentile
    median: np.ndarray
    high: np.ndarray  # 95th percentile
    factor: float  # by which the joint band is wider, to either side of the median

    @classmethod
    def of(cls, real: np.ndarray) -> "Band":
        """Return the band of real skulls, (m, 2, b) mm.

        The factor is that within which nine of ten real skulls are in the range of the others (jackknife,
        with the rank of conformal prediction: Vovk et al. 2005).
        """
        low, median, high = np.percentile(real, RANGE, axis=0)
        which = np.arange(len(real))
        others = np.stack([real[which != i] for i in which])
        each = _furthest(real, *np.percentile(others, RANGE, axis=1))
        rank = min(int(np.ceil(INSIDE * (len(real) + 1))), len(real))
        return cls(low, median, high, float(np.sort(each)[rank - 1]))

    def within(self, skulls: np.ndarray) -> np.ndarray:
        """Return (n, 2, b) bool: where skulls, (n, 2, b) mm, are within the 5-95 % range."""
        return np.asarray((skulls >= self.low) & (skulls <= self.high))

    def holds(self, skulls: np.ndarray) -> np.ndarray:
        """Return (n,) bool: which skulls are in the joint band at every wavelength, on both surfaces."""
        return np.asarray(_furthest(skulls, self.low, self.median, self.high) <= self.factor)


def _furthest(skulls: np.ndarray, low: np.ndarray, median: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return (n,) the greatest distance of skulls (n, 2, b) from the median, relative to the range there."""
    up = (skulls - median) / np.maximum(high - median, TINY_MM)
    down = (median - skulls) / np.maximum(median - low, TINY_MM)
    return np.asarray(np.maximum(up, down).max(axis=(1, 2)))


def compare_roughness(samples: np.ndarray, real: np.ndarray, spacing_mm: float) -> dict[str, Any] | None:
    """Compare samples, (n, 2, b) mm, with real skulls, (m, 2, b) mm.

    Returns:
        The part ``roughness`` of an audit; ``real`` values are those of each real skull compared with the
        others. None if there are too few real skulls, or the grid resolves no band.
    """
    if len(real) < FEWEST + 1 or not real.shape[2]:
        return None
    band = Band.of(real)
    others = [Band.of(np.delete(real, i, axis=0)) for i in range(len(real))]

    def left_out(judge: Callable[[Band, np.ndarray], np.ndarray]) -> np.ndarray:
        return np.concatenate([judge(one, real[i : i + 1]) for i, one in enumerate(others)])

    within, real_within = band.within(samples), left_out(Band.within)
    surfaces = {
        name: {
            "samples_mm": np.median(samples, axis=0)[i],
            "real_mm": band.median[i],
            "low_mm": band.low[i],
            "high_mm": band.high[i],
            "within": within.mean(axis=0)[i],
            "real_within": real_within.mean(axis=0)[i],
        }
        for i, name in enumerate(SURFACES)
    }
    return {
        "bands_mm": bands(spacing_mm),
        **surfaces,
        "share": band.holds(samples).mean(),
        "real_share": left_out(Band.holds).mean(),
        "everywhere": within.all(axis=(1, 2)).mean(),
        "real_everywhere": real_within.all(axis=(1, 2)).mean(),
    }
