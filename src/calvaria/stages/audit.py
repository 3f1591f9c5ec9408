"""Compare a family's skulls with held-out real skulls.

Example: calvaria audit --run results/demo --family vae
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from calvaria.errors import InputError
from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import FAMILY, Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import ScreenRow


def audit(run: Run, config: Config, family: str) -> None:
    """Write ``audit/FAMILY.json``.

    The family's screened skulls are compared with those of the validation and test people, and, to detect
    copies, with the training skulls and their mirror images. An autoencoder reconstructs the test skulls.

    Raises:
        InputError: if a skull is empty or has no vault.
    """
    import numpy as np

    from calvaria.config import HELD_OUT
    from calvaria.metrics.appearance import Group, appearance, appearances, compare_appearance
    from calvaria.metrics.fidelity import fidelity, memorisation
    from calvaria.metrics.shape import all_features, features, scale_of
    from calvaria.metrics.two_sample import evenly
    from calvaria.skull.screening import clean
    from calvaria.storage.cohorts import people, skulls
    from calvaria.storage.store import write_json
    from calvaria.utils.progress import Progress

    grid = config.grid.voxels()
    ids, training = skulls(run, "training")
    cohorts = [skulls(run, cohort) for cohort in HELD_OUT]
    held_out = np.concatenate([volumes for _, volumes in cohorts])
    store, person = run.screen(family), people(run)
    rows = store.rows()
    learned = all_features(np.concatenate([training, training[:, ::-1]]), grid)
    scale = scale_of(learned)
    progress = Progress(f"audit {family}", len(rows), "skulls")
    coordinates, looks = [], []
    for row, volume in zip(rows, store.volumes(rows), strict=True):
        try:
            coordinates.append(features(volume, grid))
            looks.append(appearance(volume, grid))
        except (ValueError, InputError) as error:
            raise InputError(
                f"{store.path}: volume {row['index']}: {error}; see whether the screen of family {family} "
                "should reject it"
            ) from error
        progress.advance()
    samples, real = scale(np.stack(coordinates)), scale(all_features(held_out, grid))
    # The screen cleans samples; for a fair comparison of loose pieces, real skulls are cleaned, too.
    cleaned = (clean(volume)[0] for volume in held_out)
    known = Group(appearances(cleaned, grid), [person[id] for names, _ in cohorts for id in names])
    chosen = evenly(len(ids), len(held_out))
    cleaned = (clean(training[i])[0] for i in chosen)
    others = Group(appearances(cleaned, grid), [person[ids[i]] for i in chosen])
    made = Group(looks, [_key(row, person) for row in rows])
    neighbours = min(config.audit.neighbours, len(real) - 1, len(samples) - 1)
    rejected = Counter(one["reason"].split(" of ")[0] for row in rows for one in row["rejections"])
    result: dict[str, Any] = {
        "family": family,
        "samples": len(samples),
        "held_out": len(real),
        "neighbours": neighbours,
        "fidelity": _rounded(asdict(fidelity(samples, real, neighbours))),
        "memorisation": asdict(memorisation(samples, scale(learned), real)),
        **compare_appearance(made, known, others, grid),
        "copies_dropped": rejected["copy"],
        "rejected": sum(rejected.values()),
        "reconstruction": _reconstruction(run, config, family),
    }
    write_json(run.audit(family), result)


def _key(row: ScreenRow, person: Mapping[str, str]) -> str:
    """Return what a sample belongs to: the person whose skull it is, if there is one, else only itself."""
    parents = row["parents"]
    return person[parents[0]] if len(parents) == 1 and parents[0] in person else row["sha256"]


def _reconstruction(run: Run, config: Config, family: str) -> dict[str, Any] | None:
    """Return mean scores and the number of empty reconstructions, or None without ``reconstruct``."""
    import numpy as np

    from calvaria.families.run_context import context_of
    from calvaria.metrics.rebuilding import compare
    from calvaria.storage.cohorts import occupancies, skulls
    from calvaria.storage.models import load_model

    settings = config.fit[family]
    if not settings.reconstructs:
        return None
    ids, test = skulls(run, "test")
    context, occupied = context_of(run, config, family), occupancies(run, ids)
    predicted = settings.reconstruct(load_model(run.fit(family)), test, context, occupied)
    rows = [
        asdict(compare(one, true, config.grid.voxels())) for one, true in zip(predicted, test, strict=True)
    ]
    kept = [row for row in rows if math.isfinite(row["surface_mm"])]
    names = rows[0]
    means = {name: float(np.mean([row[name] for row in kept])) if kept else None for name in names}
    return {"skulls": len(rows), "empty": len(rows) - len(kept), **_rounded(means)}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value if value is None else round(value, 4) for name, value in values.items()}


STAGE = Stage(
    name="audit",
    help=__doc__,
    run=audit,
    outputs=lambda run, family, _: (run.audit(family),),
    reads=lambda config, family, _: reads.family(config, family) | reads.section(config, "audit"),
    key=FAMILY,
    roots=roots.families,
    cost=costs.audit,
)
