"""Compare a family's skulls with held-out real skulls.

Example: calvaria audit --run results/demo --family vae
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from calvaria.pipeline import costs, reads, roots
from calvaria.pipeline.stage import FAMILY, Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.storage.paths import Run


def audit(run: Run, config: Config, family: str) -> None:
    """Write ``audit/FAMILY.json``.

    The family's screened skulls are compared with those of the validation and test people, and, to detect
    copies, with the training skulls and their mirror images. An autoencoder reconstructs the test skulls.
    """
    import numpy as np

    from calvaria.config import HELD_OUT
    from calvaria.metrics.fidelity import fidelity, memorisation
    from calvaria.metrics.shape import all_features, scale_of
    from calvaria.storage.cohorts import skulls
    from calvaria.storage.store import write_json
    from calvaria.utils.progress import Progress

    grid = config.grid.voxels()
    training = skulls(run, "training")[1]
    held_out = np.concatenate([skulls(run, cohort)[1] for cohort in HELD_OUT])
    store = run.screen(family)
    rows = store.rows()
    learned = all_features(np.concatenate([training, training[:, ::-1]]), grid)
    scale = scale_of(learned)
    progress = Progress(f"audit {family}", len(rows), "skulls")
    samples = scale(all_features(store.volumes(rows), grid, progress.advance))
    real = scale(all_features(held_out, grid))
    neighbours = min(config.audit.neighbours, len(real) - 1, len(samples) - 1)
    rejected = Counter(one["reason"].split(" of ")[0] for row in rows for one in row["rejections"])
    result: dict[str, Any] = {
        "family": family,
        "samples": len(samples),
        "held_out": len(real),
        "neighbours": neighbours,
        "fidelity": _rounded(asdict(fidelity(samples, real, neighbours))),
        "memorisation": asdict(memorisation(samples, scale(learned), real)),
        "copies_dropped": rejected["copy"],
        "rejected": sum(rejected.values()),
        "reconstruction": _reconstruction(run, config, family),
    }
    write_json(run.audit(family), result)


def _reconstruction(run: Run, config: Config, family: str) -> dict[str, Any] | None:
    """Return mean scores and the number of empty reconstructions, or None without ``reconstruct``."""
    import numpy as np

    from calvaria.families.run_context import context_of
    from calvaria.metrics.rebuilding import compare
    from calvaria.storage.cohorts import skulls
    from calvaria.storage.models import load_model

    settings = config.fit[family]
    if not settings.reconstructs:
        return None
    test = skulls(run, "test")[1]
    predicted = settings.reconstruct(load_model(run.fit(family)), test, context_of(run, config, family))
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
