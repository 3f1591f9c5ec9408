"""Screening of synthetic skulls for plausibility, compared with the training skulls."""

from dataclasses import asdict, dataclass

import numpy as np

from calvaria.config import Screen
from calvaria.geometry.components import largest_component
from calvaria.geometry.grid import Grid
from calvaria.skull.measures import Measures, measure

Limits = dict[str, tuple[float, float]]  # lowest and highest value of every measure


@dataclass(frozen=True)
class Verdict:
    """Result of the screen for one skull."""

    reason: str | None  # why the skull is rejected; None if accepted
    skull: np.ndarray  # (x, y, z) uint8, its largest component
    measures: Measures


def limits(training: list[Measures], settings: Screen) -> Limits:
    """Return the ranges of the training skulls' measures, widened by the config's tolerances."""
    values = {name: [asdict(one)[name] for one in training] for name in Measures.__dataclass_fields__}
    ranges = {}
    for name in ("width_mm", "length_mm", "height_mm"):
        margin = settings.extent_tolerance_mm
        ranges[name] = (min(values[name]) - margin, max(values[name]) + margin)
    for name, share in (
        ("volume_ml", settings.volume_tolerance),
        ("thickness_mm", settings.thickness_tolerance),
    ):
        ranges[name] = (min(values[name]) * (1 - share), max(values[name]) * (1 + share))
    ranges["hole_area_mm2"] = (0.0, max(values["hole_area_mm2"]) + settings.vault_hole_area_mm2)
    return ranges


def clean(skull: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the largest 26-connected component of a skull, and its share of the bone (0 without bone)."""
    bone = np.count_nonzero(skull)
    if bone == 0:
        return skull, 0.0
    largest = largest_component(skull)
    return largest.astype(np.uint8), float(np.count_nonzero(largest) / bone)


@dataclass(frozen=True)
class Nearest:
    """The training skull that a sample overlaps most."""

    id: str
    dice: float


class Originals:
    """The training skulls and their mirror images, packed eight voxels to a byte for quick comparison."""

    def __init__(self, ids: tuple[str, ...], masks: np.ndarray) -> None:
        """Pack masks (n, x, y, z), non-zero where there is bone."""
        both = np.concatenate([masks, masks[:, ::-1]]) > 0
        self._ids = ids
        self._packed = np.packbits(both.reshape(len(both), -1), axis=1)
        self._bone = np.bitwise_count(self._packed).sum(1, dtype=np.int64)

    def nearest(self, skull: np.ndarray) -> Nearest:
        """Return the training skull with the greatest Dice, the first of equals, for (x, y, z) uint8."""
        packed = np.packbits(skull.reshape(-1) > 0)
        shared = np.bitwise_count(self._packed & packed).sum(1, dtype=np.int64)
        dice = 2 * shared / np.maximum(self._bone + np.count_nonzero(skull), 1)
        best = int(np.argmax(dice))
        return Nearest(self._ids[best % len(self._ids)], round(float(dice[best]), 4))


def screen_skull(skull: np.ndarray, grid: Grid, accepted: Limits, settings: Screen) -> Verdict:
    """Clean and measure a skull, (x, y, z) uint8, and compare it with the accepted ranges."""
    cleaned, share = clean(skull)
    measures = measure(cleaned, grid)
    return Verdict(_fault(share, measures, accepted, settings), cleaned, measures)


def _fault(share: float, measures: Measures, accepted: Limits, settings: Screen) -> str | None:
    if share == 0:
        return "empty"
    if share < settings.largest_component:
        return "fragmented"
    for name, (low, high) in accepted.items():
        value = getattr(measures, name)
        if not low <= value <= high:
            if name == "hole_area_mm2":
                return "vault open"
            return f"{name.rsplit('_', 1)[0]} too {'low' if value < low else 'high'}"
    return None
