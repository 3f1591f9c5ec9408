"""Synthetic defects for one skull file, on its own grid."""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from calvaria import seeds
from calvaria.config import Inject, load
from calvaria.defects.checks import check_case
from calvaria.defects.defect import Defect, to_json
from calvaria.defects.injection import inject_defect
from calvaria.defects.native_grid import OwnGrid, cut
from calvaria.errors import BudgetError, InputError
from calvaria.geometry.canonical import Canonical
from calvaria.geometry.grid import IMPLANT, Grid
from calvaria.plugins.registry import kinds
from calvaria.skull.examine import examine
from calvaria.sources import Scan
from calvaria.sources.volumes import Volume, looks_like_ct, read_volume, skull_of
from calvaria.storage.nifti_file import tilt_note, write_nifti
from calvaria.storage.outputs import check_new, new_folder
from calvaria.storage.store import digest
from calvaria.utils.progress import Progress

logger = logging.getLogger(__name__)

# Grid on which defects are drawn: it contains any adult vault, aligned to the Frankfurt plane.
GRID = Grid((224, 272, 256), 1.0)
TOP_MARGIN_MM = 10.0
TOO_LARGE = "check the header's spacing"


def inject_skull(path: Path, recipe: str, count: int, seed: int, out: Path, config: Path | None) -> None:
    """Write ``count`` cases of one skull into a new folder.

    The folder contains label volumes ``000.nii.gz ...`` with the skull's shape and affine, and
    ``defects.jsonl`` with one object per case; ``to_box`` maps the file's RAS+ millimetres to the frame of
    the parameters. The same skull, recipe and seed give the same cases for every storage order of the
    file's voxels, and case n does not depend on ``count``. If an error occurs, no folder is left behind;
    unusual properties of the skull are reported as warnings on standard error.

    Args:
        recipe: a kind of recipe, with its defaults; or the name of one in ``config``.

    Raises:
        InputError: if the file is not a complete skull, the recipe is unknown, or ``out`` is in use or cannot
            be written.
        BudgetError: if no draw was usable.
    """
    inject = chosen_recipe(recipe, config)
    check_new(out)
    volume = _read(path)
    skull = Canonical.of((volume.values > 0).astype(np.uint8), volume.affine)
    examined = examine(Scan(skull.values, skull.affine), GRID, TOP_MARGIN_MM, TOO_LARGE)
    if examined.fault is not None:
        raise InputError(f"{path}: {examined.fault}")
    for doubt in examined.doubts:
        logger.warning("calvaria: %s: warning: %s", path, doubt)
    assert examined.to_box is not None
    native = OwnGrid.of(skull.values.shape, skull.affine, examined.to_box)
    to_box = skull.from_file(examined.to_box).tolist()
    name = digest(skull.values)
    with new_folder(out) as folder:
        progress = Progress(f"inject {path.name}", count, "cases")
        rows = []
        for number in range(count):
            labels, defect, attempt = _case(
                skull.values, native, examined.labels, inject, (seed, name, number)
            )
            file = folder / f"{number:03d}.nii.gz"
            write_nifti(file, skull.in_file(labels), volume.affine)
            rows.append(
                {
                    "file": file.name,
                    "recipe": recipe,
                    "parameters": to_json(defect),
                    "to_box": to_box,
                    "seed": seed,
                    "attempt": attempt,
                    "implant_ml": round(float(np.count_nonzero(labels == IMPLANT) * native.voxel_ml), 3),
                    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                }
            )
            progress.advance()
        lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        (folder / "defects.jsonl").write_text(lines, encoding="utf-8")
    note = tilt_note(out / rows[0]["file"], volume.affine, volume.values.shape) if rows else None
    if note is not None:
        logger.warning("calvaria: %s", note)


def chosen_recipe(name: str, config: Path | None) -> Inject:
    """Return a section with only this recipe: one of a config, or the kind of that name with its defaults.

    Raises:
        InputError: if there is no such recipe; the message lists the available ones.
    """
    if config is not None:
        section = load(config).inject
        if name not in section.recipes:
            raise InputError(f"--recipe {name}: {config} has {', '.join(section.recipes)}")
        return section.model_copy(update={"recipes": {name: section.recipes[name]}})
    ready = {}
    for kind, recipe in sorted(kinds("recipes").items()):
        try:
            ready[kind] = recipe.model_validate({"kind": kind})
        except ValidationError:  # the kind has a required key, such as the function of a custom recipe
            continue
    if name not in ready:
        raise InputError(
            f"--recipe {name}: no kind of recipe that has defaults; there are {', '.join(ready)}; "
            f"any other recipe can be written into a config and given with --config"
        )
    return Inject.model_validate({"recipes": {name: ready[name]}})


def _read(path: Path) -> Volume:
    """Read a skull: a label volume, whose implant counts as skull, or a mask of any positive value."""
    is_dicom = path.suffix.lower() in (".dcm", ".ima") or _is_folder(path)
    volume = None if is_dicom else read_volume(path)
    if volume is None or looks_like_ct(volume.values):
        raise InputError(
            f"{path}: looks like a CT; inject takes masks: segment the CT first, by a "
            "threshold in 3D Slicer or ITK-SNAP, and export the bone as a labelmap"
        )
    return skull_of(path, volume)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as an overlong name, which reading reports
        return False


def _case(
    skull: np.ndarray, native: OwnGrid, conformed: np.ndarray, inject: Inject, key: tuple[int, str, int]
) -> tuple[np.ndarray, Defect, int]:
    """Return labels, defect and attempt of a case that is usable on both the conformed and native grid."""
    seed, name, number = key
    first, fault = 0, None
    while first < inject.attempts:

        def rng(attempt: int, first: int = first) -> np.random.Generator:
            return seeds.generator(seed, "inject", name, number, first + attempt)

        left = inject.model_copy(update={"attempts": inject.attempts - first})
        case = inject_defect(conformed, GRID, left, rng)
        labels = cut(skull, native, case.defect, conformed, GRID)
        fault = check_case(labels, native.stand_in, inject.implant_ml, case.defect.pieces)
        if fault is None:
            return labels, case.defect, first + case.attempt
        first += case.attempt + 1
    raise BudgetError(
        f"none of {inject.attempts} draws made a usable defect on the native grid; last reason: {fault}; "
        "change the recipe's sizes, or raise inject.attempts"
    )
