"""The mean skull to which every head is aligned, as signed distances in the Frankfurt frame.

The symmetry plane is x = 0; z = 0 is the Frankfurt plane through ear canals and lower orbital rims; y = 0
passes through the ear canals. ``benchmarks/template.py`` averages real skulls into the template, whose file
is stored beside the pretrained model, under the licence of those scans.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from calvaria.errors import StoreError
from calvaria.storage.shipped import pretrained
from calvaria.storage.tensors import read_tensors

FILE = "template.safetensors"
# Of the file; part of the code, so that jobs rerun if the template changes.
SHA256 = "ba9a952f975807a0a3a48a2ac89f665659bd8d526f97032d988e54615b9b561d"
STEP_MM = 0.25  # unit of the stored signed distance, int8
VAULT_MM = 70.0  # from the top down; the part of a head that defines its anchor
VAULT_POINTS = 400


@dataclass(frozen=True)
class Template:
    """A skull as signed distances with their gradients, for interpolation."""

    distance_mm: np.ndarray  # (x, y, z) float32, negative in bone
    gradient: tuple[np.ndarray, np.ndarray, np.ndarray]  # of the distance along x, y, z; (x, y, z) float32
    origin_mm: np.ndarray  # (3,) position of the first voxel
    spacing_mm: float
    anchor_mm: np.ndarray  # (3,) middle of an average vault in x and y, its top in z
    vault_mm: np.ndarray  # (2, VAULT_POINTS, 3) points spread over the vault's outer and inner surface

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return signed distances in mm, (n,), and gradients, (n, 3), interpolated at (n, 3) positions."""
        from scipy.ndimage import map_coordinates

        index = ((points - self.origin_mm) / self.spacing_mm).T
        distance, *slopes = (
            map_coordinates(field, index, output=np.float64, order=1, mode="nearest")
            for field in (self.distance_mm, *self.gradient)
        )
        return distance, np.stack(slopes, axis=-1)


@cache
def load_template() -> Template:
    """Return the shipped template.

    Raises:
        StoreError: if its file is missing, damaged, or not the expected one.
    """
    path = pretrained() / FILE
    template = read_template(path)
    if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != SHA256:
        raise StoreError(
            f"{path}: has SHA-256 {digest}, expected {SHA256}; restore it from the release of this code"
        )
    return template


def read_template(path: Path) -> Template:
    """Read a template from a file with the arrays of ``stored``.

    Raises:
        StoreError: if the file is missing or damaged.
    """
    arrays = read_tensors(path)
    return template_of(
        arrays["distance"].astype(np.float32) * np.float32(STEP_MM),
        arrays["origin_mm"],
        float(arrays["spacing_mm"][0]),
        arrays["anchor_mm"],
    )


def stored(template: Template) -> dict[str, np.ndarray]:
    """Return the arrays of a template's file: distances as int8, clipped to 127 steps."""
    return {
        "distance": np.clip(np.rint(template.distance_mm / STEP_MM), -127, 127).astype(np.int8),
        "origin_mm": template.origin_mm,
        "spacing_mm": np.array([template.spacing_mm]),
        "anchor_mm": template.anchor_mm,
    }


def template_of(
    distance_mm: np.ndarray, origin_mm: np.ndarray, spacing_mm: float, anchor: np.ndarray
) -> Template:
    """Return a template from its signed distance, (x, y, z) float32 mm, and its anchor, (3,) mm."""
    slopes = [part.astype(np.float32) for part in np.gradient(distance_mm, spacing_mm)]
    bone = np.argwhere(distance_mm < 0)
    points = bone * spacing_mm + origin_mm
    direction = points - (anchor - [0.0, 0.0, 100.0])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    outwards = sum(slope[tuple(bone.T)] * direction[:, axis] for axis, slope in enumerate(slopes))
    surface = (distance_mm[tuple(bone.T)] > -spacing_mm) & (points[:, 2] > anchor[2] - VAULT_MM)
    rng = np.random.default_rng(0)
    vault = [
        points[surface & facing][rng.permutation(np.count_nonzero(surface & facing))[:VAULT_POINTS]]
        for facing in (outwards > 0.5, outwards < -0.5)
    ]
    return Template(
        distance_mm, (slopes[0], slopes[1], slopes[2]), origin_mm, spacing_mm, anchor, np.stack(vault)
    )


def vault_anchor(points: np.ndarray) -> np.ndarray:
    """Return the (3,) anchor of (n, 3) points: middle in x and y, top in z, of the upper ``VAULT_MM``."""
    top = points[:, 2].max()
    vault = points[points[:, 2] > top - VAULT_MM]
    middle = (vault.min(axis=0) + vault.max(axis=0)) / 2
    return np.array([middle[0], middle[1], top])
