"""Pairwise registration: skulls are registered with ANTs (affine, then SyN) and warped towards each other.

ANTs repeats bit for bit only with one ITK thread and ``ANTS_RANDOM_SEED`` set before it starts, so
parallelism comes from jobs. Every unordered pair is registered once and serves both directions.

Source: Avants et al. 2008, Symmetric diffeomorphic image registration with cross-correlation; as
augmentation for cranial defects: Ellis and Aizenberg 2020.
"""

import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calvaria.families import Draw, Drawn, Model, Population, Task
from calvaria.families.representation import encode
from calvaria.progress import Progress

AFFINE_ITERATIONS = (100, 50, 0)  # skulls stand in one pose already


def fit(population: Population, task: Task) -> Model:
    """Registers ``pairs`` random unordered pairs, or all of them if there are fewer.

    Returns:
        ``pairs``: (n, 2) int32, moving and target of each ordered pair, as places in the population;
        ``fields``: (n, 3, x, y, z) float16 displacements in voxels: the warped skull at p is the moving
        skull at p + field(p). Both directions of a pair follow each other.
    """
    ants = _import_ants(task.config.seed)
    every = list(itertools.combinations(range(len(population)), 2))
    chosen = task.generator("pairs").permutation(len(every))[: task.settings.pairs]
    images = [_image(ants, field) for field in encode(population.masks)[:, 0]]
    progress = Progress(f"fit {task.family}", len(chosen), "pairs")
    pairs, fields = [], []
    for number in chosen:
        one, other = every[number]
        pairs += [(one, other), (other, one)]
        fields += _register(ants, images[other], images[one], task.settings.iterations)
        progress.advance()
    return Model(
        {"pairs": np.array(pairs, np.int32), "fields": np.stack(fields).astype(np.float16)},
        {"pairs": len(chosen)},
    )


def sample(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]:
    """A draw picks an ordered pair and how far to go along its deformation."""
    pairs, fields = model.tensors["pairs"], model.tensors["fields"]
    drawn = []
    for draw in draws:
        # Rounds of shuffled pairs, so that every pair serves before one serves twice.
        round_, place = divmod(draw.index, len(pairs))
        rng = task.draw_generator(draw)
        if draw.attempt == 0:
            which = int(task.generator("round", round_).permutation(len(pairs))[place])
        else:
            which = int(rng.integers(len(pairs)))
        fraction = round(float(rng.uniform(*task.settings.fraction)), 4)
        moving, target = (int(place) for place in pairs[which])
        skull = warp(population.masks[moving], fraction * fields[which].astype(np.float32))
        parents = (population.ids[moving], population.ids[target])
        drawn.append(
            Drawn(skull, parents, {"moving": parents[0], "target": parents[1], "fraction": fraction})
        )
    return drawn


def warp(mask: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Warps a skull, keeping its thin bone.

    Nearest-neighbour look-up tears thin bone and a fixed threshold on interpolated values eats it.
    Instead, the signed distance is interpolated, and its threshold is chosen so that the skull has the
    bone volume that the linearly interpolated mask says.

    Args:
        mask: (x, y, z) non-zero where there is bone.
        field: (3, x, y, z) displacements in voxels.
    """
    from scipy.ndimage import map_coordinates

    where = (
        np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in mask.shape), indexing="ij")) + field
    )
    volume = map_coordinates((mask > 0).astype(np.float32), where, order=1, mode="constant").sum()
    distance = map_coordinates(encode(mask[None])[0, 0], where, order=3, mode="nearest")
    keep = round(float(volume))
    if keep == 0:
        return np.zeros_like(mask)
    threshold = np.partition(distance.ravel(), -keep)[-keep]
    return (distance >= threshold).astype(np.uint8)


def _import_ants(seed: int) -> Any:
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    os.environ["ANTS_RANDOM_SEED"] = str(seed % 2**31 or 1)  # ANTs takes 0 for the clock
    import ants

    return ants


def _image(ants: Any, field: np.ndarray) -> Any:
    """A field as an image with unit spacing, so that displacements come out in voxels."""
    return ants.from_numpy(np.ascontiguousarray(field))


def _register(ants: Any, fixed: Any, moving: Any, iterations: tuple[int, ...]) -> list[np.ndarray]:
    """Displacements (3, x, y, z) of moving to fixed and of fixed to moving."""
    with tempfile.TemporaryDirectory() as scratch:
        found = ants.registration(
            fixed,
            moving,
            type_of_transform="SyN",
            aff_metric="meansquares",
            aff_iterations=AFFINE_ITERATIONS,
            aff_shrink_factors=(4, 2, 1),
            aff_smoothing_sigmas=(2, 1, 0),
            syn_metric="meansquares",
            reg_iterations=iterations,
            outprefix=str(Path(scratch) / "pair-"),
        )
        there = ants.apply_transforms(
            fixed, moving, found["fwdtransforms"], compose=str(Path(scratch) / "there-")
        )
        back = ants.apply_transforms(
            moving,
            fixed,
            found["invtransforms"],
            whichtoinvert=[True, False],
            compose=str(Path(scratch) / "back-"),
        )
        return [np.moveaxis(ants.image_read(path).numpy(), -1, 0) for path in (there, back)]
