"""Registrations of a family: pairwise, or of every skull to a template.

pairwise  every unordered pair is registered once with ANTs, which gives the forward and inverse fields
template  every skull is registered once to an unbiased template; fields between skulls are composed through
          it and need one interpolation, so n registrations serve n (n - 1) ordered pairs

In both modes a field may be refined by a few rounds of demons on the two skulls' distances, which take
about as long as a warp. Registrations run in separate jobs and are stored one by one, so an interrupted job
loses at most one.

Sources: Avants et al. 2008 (SyN); as augmentation for cranial defects: Ellis and Aizenberg 2020; through a
template: Joshi et al. 2004; Vercauteren et al. 2009 (demons).
"""

import hashlib
import logging
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from calvaria.families.registration import RegistrationFamily, syn
from calvaria.families.registration.fields import coarser, warp
from calvaria.families.registration.measures import measure
from calvaria.families.registration.plan import registrations
from calvaria.families.registration.space import Pair, Space
from calvaria.plugins.family import Context, Population
from calvaria.storage.tensors import read_tensors, write_tensors
from calvaria.utils.progress import Progress

logger = logging.getLogger(__name__)


def build_template(settings: RegistrationFamily, population: Population, context: Context) -> np.ndarray:
    """Return the (x, y, z) uint8 mask of the template, on the grid of the skulls."""
    from calvaria.families.registration.template import build

    torch.set_num_threads(context.compute.threads)
    chosen = context.generator("template").permutation(len(population))[: settings.template_skulls]
    ants = syn.import_ants(context.seed)
    coarse = coarser(context.grid, settings.template_spacing_mm)
    return build(ants, population.masks[np.sort(chosen)], context.grid, coarse, settings, context.name)


def register(
    settings: RegistrationFamily, population: Population, context: Context, batch: int, batches: int
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Compute the registrations of a batch in both directions, and measure them.

    With a workspace, each is stored in a separate file as soon as it is done, named by a digest of
    everything that it depends on; an interrupted job resumes from these files.

    Returns:
        fields (3, x, y, z) float16 in mm by ``NUMBER.there`` and ``NUMBER.back``, with a template also
        ``NUMBER.depth`` (x, y, z) float16; and a row for each direction of each registration.
    """
    space = Space(settings, population, context.grid, context.compute, context.registered)
    ants = syn.import_ants(context.seed)
    pairs = registrations(settings, len(population), context.generator("pairs"))
    numbers = range(batch, len(pairs), batches)
    progress = Progress(f"register {context.name} {batch}", len(numbers), "registrations")
    tensors: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    for number in numbers:
        fields = _kept(ants, space, pairs[number], context)
        for way, (moving, target) in (("there", pairs[number]), ("back", pairs[number][::-1])):
            row: dict[str, Any] = {"number": number, "way": way, "moving": moving, "target": target}
            if way in fields:
                field = torch.from_numpy(fields[way].astype(np.float32))
                warped = warp(space.skull(moving), field, space.field_grid)
                measured = measure(warped, space.mask(target), space.skull(moving), field, space.field_grid)
                tensors[f"{number}.{way}"] = fields[way]
                row |= asdict(measured)
            rows.append(row)
        if settings.mode == "template":  # the target when composed fields are refined
            tensors[f"{number}.depth"] = space.depth(pairs[number][0]).numpy().astype(np.float16)
        progress.advance()
    return tensors, rows


def _kept(ants: Any, space: Space, pair: Pair, context: Context) -> dict[str, np.ndarray]:
    """Return the fields of a pair, from the workspace if they are stored there."""
    if context.workspace is None:
        return _register(ants, space, pair, context.name)
    kept = (
        context.workspace.scratch / f"{_key(space, pair, context.seed, context.workspace.code)}.safetensors"
    )
    if not kept.is_file():
        write_tensors(kept, _register(ants, space, pair, context.name))
    return read_tensors(kept)


def _register(ants: Any, space: Space, pair: Pair, name: str) -> dict[str, np.ndarray]:
    """Return fields (3, x, y, z) float16 in mm of both directions of a pair; none if ANTs fails."""
    moving, target = pair
    settings, grid = space.settings, space.field_grid
    images = {place: syn.image(space.skull(place), grid) for place in pair}
    try:
        forward, inverse = syn.register(
            ants, images[target], images[moving], grid, settings.iterations, settings.gradient_step
        )
    except RuntimeError as error:
        logger.warning("register %s: %s: ANTs failed: %s", name, pair, error)
        return {}
    if not (forward.isfinite().all() and inverse.isfinite().all()):
        logger.warning("register %s: %s: ANTs gave a field that is not finite", name, pair)
        return {}
    depth = {place: space.depth(place) for place in pair}
    fields = {
        "back": space.refined(target, depth[moving], inverse),
        "there": space.refined(moving, depth[target], forward),
    }
    return {way: field.numpy().astype(np.float16) for way, field in fields.items()}


def _key(space: Space, pair: Pair, seed: int, code: str) -> str:
    """Return a digest of everything that a registration depends on."""
    digest = hashlib.sha256()
    for place in pair:
        digest.update(np.ascontiguousarray(space.mask(place)).data)
    settings = space.settings.model_dump(exclude={"gates", "fraction", "batch_size", "pairs", "partners"})
    parts = settings, seed, space.grid, (code, version("antspyx"), version("torch"))
    digest.update(repr(parts).encode())
    return digest.hexdigest()[:24]
