"""Fit of a registration family: acceptance of its registrations, and warps along their fields."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch

from calvaria.errors import BudgetError
from calvaria.families.registration import RegistrationFamily
from calvaria.families.registration.fields import warp
from calvaria.families.registration.gates import Measured, verdict
from calvaria.families.registration.measures import measure
from calvaria.families.registration.plan import TEMPLATE
from calvaria.families.registration.space import Pair, Space, Ways
from calvaria.plugins.family import Context, Draw, Drawn, Model, Population


def fit(settings: RegistrationFamily, population: Population, context: Context) -> Model:
    """Apply the gates to the registrations.

    Returns:
        ``warps``: (n, 3) int32 rows of the accepted fields: moving, target, number of the registration.

    Raises:
        ValueError: if the context has no registrations.
        BudgetError: if too few fields passed to warp any skull to another.
    """
    if context.registered is None:
        raise ValueError(f"fit.{context.name}: expected registrations, got none")
    rows = sorted(context.registered.rows, key=lambda row: (row["number"], row["way"]))
    names = dict(enumerate(population.ids)) | {TEMPLATE: "template"}
    listed, passed = [], []
    for row in rows:
        figures = {key: row[key] for key in Measured.__dataclass_fields__ if key in row}
        fault = verdict(Measured(**figures), settings.gates) if figures else "registration failed"
        people = {"moving": names[row["moving"]], "target": names[row["target"]]}
        listed.append({**row, **people, "fault": fault})
        if fault is None:
            passed.append((row["moving"], row["target"], row["number"]))
    if settings.mode == "template":  # a skull is used if both its directions passed
        ways = Counter(number for _, _, number in passed)
        passed = [row for row in passed if ways[row[2]] == 2]
    if len(passed) < (4 if settings.mode == "template" else 1):
        reasons = Counter(str(row["fault"]) for row in listed if row["fault"]).most_common()
        raise BudgetError(
            f"fit.{context.name}: too few of {len(listed)} warps passed the gates: "
            f"{', '.join(f'{fault} ({count})' for fault, count in reasons)}; look at "
            f"fit.{context.name}.gates and at the skulls"
        )
    warps = np.array(passed, np.int32)
    return Model({"warps": warps}, {"registrations": listed, "passed": len(warps)})


def sample(
    settings: RegistrationFamily,
    model: Model,
    population: Population,
    draws: Sequence[Draw],
    context: Context,
) -> list[Drawn]:
    """Warp the skull of one ordered pair per draw along a share of its deformation."""
    space = Space(settings, population, context.grid, context.compute, context.registered)
    ways = Ways(settings, model, context.registered)
    picked = [_pick(settings, ways, draw, context) for draw in draws]
    drawn: dict[int, Drawn] = {}
    # Sorted by skull, so that each is prepared once.
    for number in sorted(range(len(draws)), key=lambda number: picked[number]):
        (moving, target), fraction = picked[number]
        field = ways.field(moving, target, space.field_grid)
        if ways.through_template:
            field = space.refined(moving, ways.depth(target), field)
        drawn[number] = warp_pair(space, moving, target, field, fraction)
        context.on_drawn()
    return [drawn[number] for number in range(len(draws))]


def _pick(settings: RegistrationFamily, ways: Ways, draw: Draw, context: Context) -> tuple[Pair, float]:
    """Return the ordered pair and the share of a draw.

    Pairs come in shuffled rounds, so that each is used once before any is repeated; retries draw any pair.
    """
    rng = context.draw_generator(draw)
    count = len(ways.pairs)
    round_, place = divmod(draw.index, count)
    if draw.attempt == 0:
        which = int(context.generator("round", round_).permutation(count)[place])
    else:
        which = int(rng.integers(count))
    return ways.pairs[which], round(float(rng.uniform(*settings.fraction)), 4)


def warp_pair(space: Space, moving: int, target: int, field: torch.Tensor, fraction: float) -> Drawn:
    """Return a skull warped along a share of a field, with the verdict of the gates.

    Its similarity is that of the complete warp to the target, all other figures are those of the share.
    """
    ids = space.population.ids
    skull = space.skull(moving)
    warped = warp(skull, field, space.field_grid)
    measured = measure(warped, space.mask(target), skull, field, space.field_grid)
    if fraction < 1:
        field = field * fraction
        warped = warp(skull, field, space.field_grid)
        part = measure(warped, None, skull, field, space.field_grid)
        measured = replace(part, similarity=measured.similarity)
    parameters = {"moving": ids[moving], "target": ids[target], "fraction": fraction, **asdict(measured)}
    return Drawn(warped, (ids[moving], ids[target]), parameters, verdict(measured, space.settings.gates))
