"""Smooth spatial noise, of integers and polynomials only, for identical results on every machine."""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def _scramble(value: np.ndarray) -> np.ndarray:
    """Hash each uint64 to a pseudo-random uint64 by SplitMix64 (Steele, Lea and Flood 2014)."""
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return np.asarray(value ^ (value >> np.uint64(31)))


def value_noise(seed: int, cell_mm: float, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return twice differentiable noise: random lattice values joined by quintic steps (Perlin 2002).

    Args:
        seed: of the noise, 0 <= seed < 2**63.
        cell_mm: edge length of the lattice.
        x, y, z: (n,) float64 world positions in mm.

    Returns:
        (n,) float64 in [-1, 1].
    """
    if x.size == 0:
        return np.zeros_like(x)
    firsts, cells, fractions, counts = [], [], [], []
    for position in (x, y, z):
        scaled = position / cell_mm
        floor = np.floor(scaled)
        first = int(floor.min())
        firsts.append(first)
        cells.append(floor.astype(np.int64) - first)
        counts.append(int(floor.max()) - first + 2)
        t = scaled - floor
        fractions.append(t * t * t * (t * (t * 6.0 - 15.0) + 10.0))
    key = np.full((1, 1, 1), seed, np.uint64)
    for axis in range(3):
        nodes = (np.arange(counts[axis], dtype=np.int64) + firsts[axis]).astype(np.uint64)
        key = _scramble(key ^ np.expand_dims(nodes, [other for other in range(3) if other != axis]))
    lattice = ((key >> np.uint64(11)).astype(np.float64) * (2.0 / (1 << 53)) - 1.0).ravel()
    corner = (cells[0] * counts[1] + cells[1]) * counts[2] + cells[2]
    fx, fy, fz = fractions
    planes = []
    for dx in (0, counts[1] * counts[2]):
        rows = []
        for dy in (0, counts[2]):
            low, high = lattice[corner + (dx + dy)], lattice[corner + (dx + dy + 1)]
            rows.append(low + fz * (high - low))
        planes.append(rows[0] + fy * (rows[1] - rows[0]))
    return np.asarray(planes[0] + fx * (planes[1] - planes[0]))
