"""A statistical deformation model: mean and principal components of the template's deformations to skulls.

The fields that warp the template to each skull are converted to stationary velocity fields, any sum of
which gives an invertible mapping, unlike sums of displacements. A sample draws coefficients of the
principal components, which give a new shape, and warps a training skull to it through the template, with
one interpolation.

Sources: Arsigny et al. 2006, A log-Euclidean framework for statistics on diffeomorphisms; Bossa et al.
2007, Contributions to 3D diffeomorphic atlas estimation; Rueckert et al. 2003 (statistical deformation
models).
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch

from calvaria.families.registration import RegistrationFamily
from calvaria.families.registration.fields import centres, coarser, compose, look_up, unfold, warp
from calvaria.families.registration.gates import verdict
from calvaria.families.registration.measures import measure
from calvaria.families.registration.plan import TEMPLATE
from calvaria.families.registration.space import Space, Ways
from calvaria.families.ssm import SsmFamily
from calvaria.geometry.grid import Grid
from calvaria.plugins.family import Context, Draw, Drawn, Model, Population

SQUARINGS = 6
LOG_ROUNDS = 8


def fit(settings: SsmFamily, population: Population, context: Context) -> Model:
    """Compute the principal components of the velocity fields.

    Returns:
        ``mean``: (3, x, y, z) float32 in mm; ``modes``: (k, 3, x, y, z) float32, each one standard
        deviation. The record has the share of variance of each, and the error of the velocity fields.
    """
    space, ways = _registered(population, context)
    grid = coarser(space.field_grid, settings.velocity_spacing_mm)
    places = centres(grid)
    velocities, errors = [], []
    for _, field in ways.inwards():
        coarse = look_up(field, space.field_grid, places)
        velocity = logarithm(coarse, grid)
        velocities.append(velocity.numpy())
        error = (exponential(velocity, grid) - coarse).square().sum(0).mean().sqrt()
        errors.append(float(error))
    mean, modes, shares = components(np.stack(velocities), settings.variance)
    record = {
        "skulls": len(ways.skulls),
        "modes": len(modes),
        "explained": [round(float(share), 5) for share in shares],
        "inversion_error_mm": round(float(np.mean(errors)), 4),
    }
    return Model({"mean": mean, "modes": modes}, record)


def sample(
    settings: SsmFamily, model: Model, population: Population, draws: Sequence[Draw], context: Context
) -> list[Drawn]:
    """Warp one training skull per draw to a shape with drawn coefficients."""
    space, ways = _registered(population, context)
    grid = coarser(space.field_grid, settings.velocity_spacing_mm)
    mean, modes = torch.from_numpy(model.tensors["mean"]), torch.from_numpy(model.tensors["modes"])
    picked = [_pick(settings, draw, context, ways.skulls, len(modes)) for draw in draws]
    drawn: dict[int, Drawn] = {}
    # Sorted by skull, so that each is prepared once.
    for number in sorted(range(len(draws)), key=lambda number: picked[number][0]):
        moving, coefficients = picked[number]
        weights = torch.from_numpy(coefficients.astype(np.float32))
        velocity = mean + torch.einsum("k,kcxyz->cxyz", weights, modes)
        shape = look_up(exponential(velocity, grid), grid, centres(space.field_grid))
        field = compose(shape, ways.direct(moving, TEMPLATE), space.field_grid)
        field = unfold(field, space.field_grid.spacing_mm)
        skull = space.skull(moving)
        warped = warp(skull, field, space.field_grid)
        measured = measure(warped, None, skull, field, space.field_grid)
        figures = {key: value for key, value in asdict(measured).items() if key != "similarity"}
        parameters = {"moving": population.ids[moving], "coefficients": coefficients.tolist(), **figures}
        # The shape depends on all registered skulls.
        parents = tuple(population.ids[place] for place in ways.skulls)
        drawn[number] = Drawn(warped, parents, parameters, verdict(measured, settings.gates))
        context.on_drawn()
    return [drawn[number] for number in range(len(draws))]


def _registered(population: Population, context: Context) -> tuple[Space, Ways]:
    """Return the population on the registration family's grids, and the fields of that family.

    Raises:
        ValueError: if the context does not have that family.
    """
    base = context.base
    if base is None or not isinstance(base.family, RegistrationFamily):
        raise ValueError(
            f"fit.{context.name}: expected a fitted registration family as the context's base, "
            f"got {base and base.name!r}"
        )
    space = Space(base.family, population, context.grid, context.compute, base.registered)
    return space, Ways(base.family, base.model, base.registered)


def _pick(
    settings: SsmFamily, draw: Draw, context: Context, skulls: Sequence[int], modes: int
) -> tuple[int, np.ndarray]:
    """Return the training skull of a draw, from shuffled rounds, and its (modes,) coefficients."""
    rng = context.draw_generator(draw)
    round_, place = divmod(draw.index, len(skulls))
    which = int(context.generator("round", round_).permutation(len(skulls))[place])
    coefficients = rng.normal(size=modes)
    while (far := np.abs(coefficients) > settings.most_deviations).any():
        coefficients[far] = rng.normal(size=int(far.sum()))
    return skulls[which], np.round(settings.spread * coefficients, 5)


def components(fields: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, modes and explained shares of (n, ...) fields.

    Returns:
        (...) float32 mean; (k, ...) float32 modes, each one standard deviation long, with a positive value
        of largest magnitude; (k,) shares of the variance, descending.
    """
    count = len(fields)
    mean = fields.mean(axis=0, dtype=np.float64)
    flat = (fields - mean).reshape(count, -1)
    values, vectors = np.linalg.eigh(flat @ flat.T / (count - 1))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    shares = values / max(values.sum(), 1e-12)
    keep = min(int(np.searchsorted(np.cumsum(shares), variance - 1e-9)) + 1, count - 1)
    modes = vectors[:, :keep].T @ flat / np.sqrt(count - 1)
    signs = np.sign(modes[np.arange(keep), np.abs(modes).argmax(axis=1)])
    modes = (modes * signs[:, None]).reshape(keep, *fields.shape[1:])
    return mean.astype(np.float32), modes.astype(np.float32), shares[:keep]


def exponential(velocity: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the displacement field of a stationary velocity field, by scaling and squaring."""
    field = velocity / 2**SQUARINGS
    for _ in range(SQUARINGS):
        field = compose(field, field, grid)
    return field


def logarithm(field: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the stationary velocity field whose exponential is a field, by fixed-point iteration."""
    velocity = field
    for _ in range(LOG_ROUNDS):
        velocity = velocity + compose(exponential(-velocity, grid), field, grid)
    return velocity
