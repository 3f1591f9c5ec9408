"""Skulls warped towards each other, by pairwise registration or through a template.

pairwise  every unordered pair is registered once with ANTs and serves both directions through its inverse
template  every skull is registered once to an unbiased template; the way from one skull to another leads
          through it, in one interpolation, so n registrations serve n (n - 1) ordered pairs

Either way a field may be refined: a few rounds of demons on the two skulls' distances, about as dear as a
warp. Registrations are made in jobs of their own (`register`), so a killed job loses one at most.

Sources: Avants et al. 2008 (SyN); as augmentation for cranial defects: Ellis and Aizenberg 2020; through a
template: Joshi et al. 2004; Vercauteren et al. 2009 (demons).
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from calvaria.config import RegistrationFamily
from calvaria.errors import BudgetError
from calvaria.families import Draw, Drawn, Model, Task
from calvaria.families.registration import syn
from calvaria.families.registration.fields import coarser, warp
from calvaria.families.registration.gates import Measured, measure, verdict
from calvaria.families.registration.plan import TEMPLATE, registrations
from calvaria.families.registration.space import Pair, Space, Ways, batches
from calvaria.pipeline.fingerprint import code
from calvaria.storage.cohorts import Population
from calvaria.storage.store import read_rows, write_rows
from calvaria.storage.tensors import read_tensors, write_tensors
from calvaria.utils.progress import Progress


def build_template(population: Population, task: Task) -> None:
    """Writes the template of a family of mode template."""
    from calvaria.families.registration.template import build

    space = Space(population, task)
    chosen = task.generator("template").permutation(len(population))[: space.settings.template_skulls]
    ants = syn.import_ants(task.config.seed)
    coarse = coarser(space.grid, space.settings.template_spacing_mm)
    masks = population.masks[np.sort(chosen)]
    mask = build(ants, masks, space.grid, coarse, space.settings, task.family)
    write_tensors(task.run.template(task.family), {"mask": mask})


def register(population: Population, task: Task, batch: int) -> None:
    """Makes the registrations of a batch, both ways, and measures them.

    Each is kept in a file of its own as soon as it is done, named by all that it depends on, where a job that
    starts anew finds it.
    """
    space = Space(population, task)
    ants = syn.import_ants(task.config.seed)
    pairs = registrations(space.settings, len(population), task.generator("pairs"))
    numbers = range(batch, len(pairs), batches(task))
    progress = Progress(f"register {task.family} {batch}", len(numbers), "registrations")
    tensors: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    for number in numbers:
        kept = task.run.scratch(task.family) / f"{_key(space, pairs[number])}.safetensors"
        if not kept.is_file():
            write_tensors(kept, _register(ants, space, pairs[number]))
        fields = read_tensors(kept)
        for way, (moving, target) in (("there", pairs[number]), ("back", pairs[number][::-1])):
            row: dict[str, Any] = {"number": number, "way": way, "moving": moving, "target": target}
            if way in fields:
                field = torch.from_numpy(fields[way].astype(np.float32))
                warped = warp(space.skull(moving), field, space.field_grid)
                measured = measure(warped, space.mask(target), space.skull(moving), field, space.field_grid)
                tensors[f"{number}.{way}"] = fields[way]
                row |= asdict(measured)
            rows.append(row)
        if space.settings.mode == "template":  # what refining the composed fields will want
            tensors[f"{number}.depth"] = space.depth(pairs[number][0]).numpy().astype(np.float16)
        progress.advance()
    write_tensors(task.run.fields(task.family, batch), tensors)
    write_rows(task.run.registrations(task.family, batch), rows)


def _register(ants: Any, space: Space, pair: Pair) -> dict[str, np.ndarray]:
    """Fields (3, x, y, z) float16 in mm of both ways of a pair; none if ANTs cannot register it."""
    moving, target = pair
    settings, grid = space.settings, space.field_grid
    seen = {place: syn.image(space.skull(place), grid) for place in pair}
    try:
        there, back = syn.register(
            ants, seen[target], seen[moving], grid, settings.iterations, settings.gradient_step
        )
    except RuntimeError as error:
        print(f"register {space.task.family}: {pair}: ANTs failed: {error}", file=sys.stderr)
        return {}
    if not (there.isfinite().all() and back.isfinite().all()):
        print(f"register {space.task.family}: {pair}: ANTs gave a field that is not finite", file=sys.stderr)
        return {}
    depth = {place: space.depth(place) for place in pair}
    fields = {
        "back": space.refined(target, depth[moving], back),
        "there": space.refined(moving, depth[target], there),
    }
    return {way: field.numpy().astype(np.float16) for way, field in fields.items()}


def _key(space: Space, pair: Pair) -> str:
    """A digest of all that a registration depends on."""
    digest = hashlib.sha256()
    for place in pair:
        digest.update(np.ascontiguousarray(space.mask(place)).data)
    settings = space.settings.model_dump(exclude={"gates", "fraction", "batch_size", "pairs", "partners"})
    made_by = code(space.task.config, "register", space.task.family), version("antspyx"), version("torch")
    parts = settings, space.task.config.seed, space.grid, made_by
    digest.update(repr(parts).encode())
    return digest.hexdigest()[:24]


def fit(population: Population, task: Task) -> Model:
    """Reads what was registered and says which of it passes the gates.

    Returns:
        ``warps``: (n, 3) int32 of each field that passed: moving, target, number of its registration.

    Raises:
        BudgetError: if too little passed to warp any skull to another.
    """
    settings: RegistrationFamily = task.settings
    rows = []
    for batch in range(batches(task)):
        rows += read_rows(task.run.registrations(task.family, batch))
    rows.sort(key=lambda row: (row["number"], row["way"]))
    names = dict(enumerate(population.ids)) | {TEMPLATE: "template"}
    listed, passed = [], []
    for row in rows:
        figures = {key: row[key] for key in Measured.__dataclass_fields__ if key in row}
        fault = verdict(Measured(**figures), settings.gates) if figures else "registration failed"
        people = {"moving": names[row["moving"]], "target": names[row["target"]]}
        listed.append({**row, **people, "fault": fault})
        if fault is None:
            passed.append((row["moving"], row["target"], row["number"]))
    if settings.mode == "template":  # a skull takes part if both its ways passed
        ways = Counter(number for _, _, number in passed)
        passed = [row for row in passed if ways[row[2]] == 2]
    if len(passed) < (4 if settings.mode == "template" else 1):
        reasons = Counter(str(row["fault"]) for row in listed if row["fault"]).most_common()
        raise BudgetError(
            f"fit.{task.family}: too few of {len(listed)} warps passed the gates: "
            f"{', '.join(f'{fault} ({count})' for fault, count in reasons)}; look at fit.{task.family}.gates "
            f"and at the skulls"
        )
    warps = np.array(passed, np.int32)
    return Model({"warps": warps}, {"registrations": listed, "passed": len(warps)})


def sample(model: Model, population: Population, draws: Sequence[Draw], task: Task) -> list[Drawn]:
    """A draw picks an ordered pair and how far to go along its deformation."""
    space = Space(population, task)
    ways = Ways(model, task)
    picked = [_pick(ways, draw, task) for draw in draws]
    drawn: dict[int, Drawn] = {}
    # Skull by skull, so that each is prepared once.
    for number in sorted(range(len(draws)), key=lambda number: picked[number]):
        (moving, target), fraction = picked[number]
        field = ways.field(moving, target, space.field_grid)
        if ways.through_template:
            field = space.refined(moving, ways.depth(target), field)
        drawn[number] = warp_pair(space, moving, target, field, fraction)
        task.drawn()
    return [drawn[number] for number in range(len(draws))]


def _pick(ways: Ways, draw: Draw, task: Task) -> tuple[Pair, float]:
    """The ordered pair of a draw: rounds of shuffled pairs, so that all serve before one does twice."""
    rng = task.draw_generator(draw)
    count = len(ways.pairs)
    round_, place = divmod(draw.index, count)
    if draw.attempt == 0:
        which = int(task.generator("round", round_).permutation(count)[place])
    else:
        which = int(rng.integers(count))
    return ways.pairs[which], round(float(rng.uniform(*task.settings.fraction)), 4)


def warp_pair(space: Space, moving: int, target: int, field: torch.Tensor, fraction: float) -> Drawn:
    """The skull part of the way along a field, and what the gates say of it and of the whole way."""
    ids = space.population.ids
    skull = space.skull(moving)
    made = warp(skull, field, space.field_grid)
    measured = measure(made, space.mask(target), skull, field, space.field_grid)
    if fraction < 1:
        field = field * fraction
        made = warp(skull, field, space.field_grid)
        part = measure(made, None, skull, field, space.field_grid)
        measured = replace(part, similarity=measured.similarity)
    parameters = {"moving": ids[moving], "target": ids[target], "fraction": fraction, **asdict(measured)}
    return Drawn(made, (ids[moving], ids[target]), parameters, verdict(measured, space.settings.gates))


__all__ = ["Space", "Ways", "build_template", "fit", "register", "sample", "warp_pair"]
