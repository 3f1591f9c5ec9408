"""How skulls look: roughness, thickness, base, pin-holes and patches, compared with real skulls.

Every figure has the same figure of real skulls beside it, which is what perfect samples would have.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from calvaria.geometry.grid import Grid
from calvaria.metrics.base import Base, PinHoles, base, pin_holes
from calvaria.metrics.patches import PATCH_MM, PATCHES, patch_features
from calvaria.metrics.roughness import FEWEST, RANGE, compare_roughness, roughness
from calvaria.metrics.surface_map import map_surfaces
from calvaria.metrics.thickness import Thickness, difference, thickness
from calvaria.metrics.two_sample import TwoSample, two_sample

DIGITS = 4


@dataclass(frozen=True)
class Appearance:
    """All that the comparison needs of a skull."""

    roughness_mm: np.ndarray  # (2, b) rms amplitude of outer and inner surface by wavelength
    thickness: Thickness
    base: Base
    pin_holes: PinHoles
    patches: np.ndarray  # (patches, f) features


@dataclass(frozen=True)
class Group:
    """Skulls, each with a key: those of one key, such as the skulls of one person, belong together."""

    skulls: Sequence[Appearance]
    keys: Sequence[Hashable]


def appearance(skull: np.ndarray, grid: Grid) -> Appearance:
    """Return the appearance of a complete skull, (x, y, z) non-zero where there is bone.

    Raises:
        ValueError: if the skull is empty, or has no vault.
        InputError: if there is no head-sized bone.
    """
    surfaces, spacing_mm = map_surfaces(skull, grid), grid.spacing_mm
    return Appearance(
        roughness(surfaces, spacing_mm),
        thickness(surfaces, spacing_mm),
        base(skull, grid),
        pin_holes(surfaces, spacing_mm),
        patch_features(surfaces, spacing_mm),
    )


def compare_appearance(samples: Group, real: Group, training: Group, grid: Grid) -> dict[str, Any]:
    """Return the parts ``roughness``, ``thickness``, ``base``, ``pin_holes`` and ``two_sample`` of an audit.

    Args:
        samples: of a family; at least one.
        real: held-out skulls, with which samples are compared; at least one.
        training: real skulls of other people, which are compared in the same way.

    Returns:
        JSON values, rounded. A part, or a limit, is None where there are too few skulls for it.
    """
    ours, theirs = (np.stack([one.roughness_mm for one in group.skulls]) for group in (samples, real))
    parts = {
        "roughness": compare_roughness(ours, theirs, grid.spacing_mm),
        "thickness": _thickness(samples, real, training),
        "base": _ranges(*([one.base for one in group.skulls] for group in (samples, real))),
        "pin_holes": _ranges(*([one.pin_holes for one in group.skulls] for group in (samples, real))),
        "two_sample": _two_sample(samples, real, training),
    }
    return {name: _rounded(part) for name, part in parts.items()}


def _thickness(samples: Group, real: Group, training: Group) -> dict[str, Any]:
    found, reference = (
        difference([one.thickness for one in group.skulls], [one.thickness for one in real.skulls])
        for group in (samples, training)
    )
    contrast = (np.array([one.thickness.contrast_mm for one in side.skulls]) for side in (samples, real))
    return {
        **asdict(found),
        **{f"real_{name}": value for name, value in asdict(reference).items()},
        "contrast_mm": _range(*contrast),
    }


def _ranges(samples: Sequence[Base | PinHoles], real: Sequence[Base | PinHoles]) -> dict[str, Any]:
    sides = [[asdict(one) for one in side] for side in (samples, real)]
    return {name: _range(*(np.array([one[name] for one in side]) for side in sides)) for name in sides[0][0]}


def _range(samples: np.ndarray, real: np.ndarray) -> dict[str, float | None]:
    """Return medians of samples and real skulls, the 5-95 % range of the latter, and samples within it."""
    low, high = np.percentile(real, [RANGE[0], RANGE[2]])
    within = np.mean((samples >= low) & (samples <= high))
    limits = {"low": float(low), "high": float(high), "within": float(within)}
    return {
        "samples": float(np.median(samples)),
        "real": float(np.median(real)),
        **(limits if len(real) > FEWEST else dict.fromkeys(limits)),
    }


def _two_sample(samples: Group, real: Group, training: Group) -> dict[str, Any] | None:
    def test(group: Group) -> TwoSample | None:
        ours, theirs = (np.stack([one.patches for one in side.skulls]) for side in (group, real))
        return two_sample(ours, theirs, group.keys, real.keys)

    found, reference = test(samples), test(training)
    if found is None:
        return None
    return {
        **asdict(found),
        "real_patch_auc": reference.patch_auc if reference else None,
        "real_skull_auc": reference.skull_auc if reference else None,
        "patch_mm": PATCH_MM,
        "patches": PATCHES,
    }


def _rounded(value: Any) -> Any:
    """Return JSON values with rounded numbers."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return np.round(value.astype(np.float64), DIGITS).tolist()
    return round(float(value), DIGITS) if isinstance(value, float | np.floating) else value


def appearances(skulls: Iterable[np.ndarray], grid: Grid) -> list[Appearance]:
    """Return the appearance of every skull (x, y, z), read one by one."""
    return [appearance(skull, grid) for skull in skulls]
