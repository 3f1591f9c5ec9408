"""The context of a family in a run, with the files that the family needs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from calvaria.config import Config
from calvaria.pipeline import reads, roots
from calvaria.pipeline.fingerprint import code, digest
from calvaria.plugins.family import (
    Base,
    Context,
    Draw,
    Drawn,
    Population,
    Registered,
    Registrations,
    Workspace,
)
from calvaria.storage.models import load_model
from calvaria.storage.paths import Run
from calvaria.storage.store import read_rows
from calvaria.storage.tensors import read_tensor, read_tensors


def new_context(run: Run, config: Config, family: str) -> Context:
    """Return the context of a family, without registrations, base or workspace."""
    compute = config
    if config.fit[family].trains_network:  # the others do not need torch
        from calvaria.training.precision import with_precision

        compute = with_precision(run, config)
    return Context(
        grid=config.grid.voxels(),
        name=family,
        seed=config.seed,
        compute=compute,
        batch_size=config.sample.batch_size,
    )


def registration_context(run: Run, config: Config, family: str) -> Context:
    """Return the context of registrations: the template, if any, and a directory for finished ones."""
    template = _template(run, family) if config.fit[family].builds_template else None
    return replace(
        new_context(run, config, family),
        registered=Registrations(template),
        workspace=Workspace(run.fit(family), code=code(roots.families(config, family))),
    )


def fit_context(run: Run, config: Config, family: str) -> tuple[Context, Workspace]:
    """Return the context of ``fit``, and its workspace."""
    context = context_of(run, config, family)
    # A checkpoint in one precision must not be resumed in the other.
    parts = reads.family(config, family) | {"precision": context.compute.precision}
    workspace = Workspace(run.fit(family), digest(parts, roots.families(config, family)))
    return replace(context, workspace=workspace), workspace


def context_of(run: Run, config: Config, family: str) -> Context:
    """Return the context of a family, with its registrations and the fitted family that it depends on."""
    base = None
    if name := config.fit[family].depends_on:
        base = Base(name, config.fit[name], load_model(run.fit(name)), _registered(run, config, name))
    registered = _registered(run, config, family)
    return replace(new_context(run, config, family), base=base, registered=registered)


def draw_skulls(
    run: Run,
    config: Config,
    family: str,
    population: Population,
    draws: Sequence[Draw],
    on_drawn: Callable[[], None] | None = None,
) -> list[Drawn]:
    """Draw skulls from a fitted family, in the order of ``draws``.

    Args:
        on_drawn: called after every skull, to show progress.
    """
    context = context_of(run, config, family)
    if on_drawn is not None:
        context = replace(context, on_drawn=on_drawn)
    return config.fit[family].sample(load_model(run.fit(family)), population, draws, context)


def _template(run: Run, family: str) -> np.ndarray:
    return read_tensors(run.template(family))["mask"]


def _registered(run: Run, config: Config, family: str) -> Registered | None:
    batches = config.batches(family, len(run.ingest)) if config.fit[family].registration_batches(2) else 0
    return _Stored(run, family, config.fit[family].builds_template, batches) if batches else None


class _Stored:
    """The registrations in a run's files, read on demand."""

    def __init__(self, run: Run, family: str, has_template: bool, batches: int) -> None:
        self._run, self._family, self._has_template, self._batches = run, family, has_template, batches

    @cached_property
    def template(self) -> np.ndarray | None:
        return _template(self._run, self._family) if self._has_template else None

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        paths = [self._run.registrations(self._family, batch) for batch in range(self._batches)]
        return [row for path in paths for row in read_rows(path)]

    @property
    def fields(self) -> Mapping[str, np.ndarray]:
        return _Fields(self._run, self._family, self._batches)


class _Fields(Mapping[str, np.ndarray]):
    """The arrays of all batches; ``NUMBER.NAME`` is read from the batch with this registration."""

    def __init__(self, run: Run, family: str, batches: int) -> None:
        self._paths = [run.fields(family, batch) for batch in range(batches)]

    def __getitem__(self, key: str) -> np.ndarray:
        number = int(key.partition(".")[0])
        return read_tensor(self._paths[number % len(self._paths)], key)

    def __iter__(self) -> Iterator[str]:
        return (name for path in self._paths for name in read_tensors(path))

    def __len__(self) -> int:
        return sum(1 for _ in self)
