"""Find scans of the same person.

Example: calvaria people --run results/demo
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from calvaria.errors import InputError
from calvaria.pipeline import costs, reads
from calvaria.pipeline.stage import Stage

if TYPE_CHECKING:
    from calvaria.config import Config
    from calvaria.skull.vault_map import VaultPicture
    from calvaria.storage.paths import Run
    from calvaria.storage.rows import IngestRow

logger = logging.getLogger(__name__)

SHOWN = 20  # closest pairs in people.json


def people(run: Run, config: Config) -> None:
    """Write ``people.json``: the person of every accepted skull, and the closest pairs.

    Raises:
        InputError: if ``ingest.strict`` is set and a skull was left out, naming every one.
    """
    from calvaria.skull import DOUBTFUL, is_accepted
    from calvaria.skull.vault_map import VaultPicture
    from calvaria.storage.cohorts import vaults as native_vaults
    from calvaria.storage.store import write_json

    rows = run.ingest.rows()
    left_out = [f"{row['id']}: {row['verdict']}: {row['reason']}" for row in rows if not is_accepted(row)]
    if left_out and config.ingest.strict:
        listed = "\n  ".join(left_out)
        raise InputError(
            f"ingest.strict: {len(left_out)} of {len(rows)} skulls failed a check; repair or remove them, "
            "name doubtful ones in ingest.accept, or set ingest.strict to false to leave them out\n  "
            f"{listed}"
        )
    for line in left_out:
        logger.warning("people: LEFT OUT %s", line)
    if doubtful := [row["id"] for row in rows if row["verdict"] == DOUBTFUL and not is_accepted(row)]:
        logger.warning(
            "people: look at the contact sheet; doubtful skulls that are sound can be used with "
            "ingest.accept: %s",
            json.dumps(doubtful),
        )
    accepted = [row for row in rows if is_accepted(row)]
    vaults = [VaultPicture(*one) for one in native_vaults(run, [row["id"] for row in accepted])]
    pairs = compare(accepted, vaults)
    same = [pair for pair in pairs if pair["mm"] < config.people.same_mm]
    person = group([row["person"] for row in accepted], [(pair["a"], pair["b"]) for pair in same])
    for pair in same:
        mirrored = ", mirrored" if pair["mirrored"] else ""
        logger.info(
            "people: %s and %s are one person's (%.2f mm apart%s)",
            accepted[pair["a"]]["id"],
            accepted[pair["b"]]["id"],
            pair["mm"],
            mirrored,
        )
    different = [pair["mm"] for pair in pairs if pair["mm"] >= config.people.same_mm]
    write_json(
        run.people,
        {
            "same_mm": config.people.same_mm,
            "farthest_same_mm": max((pair["mm"] for pair in same), default=None),
            "closest_different_mm": min(different, default=None),
            "person": {row["id"]: name for row, name in zip(accepted, person, strict=True)},
            "pairs": [
                {
                    "first": accepted[pair["a"]]["id"],
                    "second": accepted[pair["b"]]["id"],
                    "mm": pair["mm"],
                    "mirrored": pair["mirrored"],
                }
                for pair in pairs[: max(SHOWN, len(same))]
            ],
        },
    )


def compare(rows: list[IngestRow], vaults: list[VaultPicture]) -> list[dict[str, Any]]:
    """Return all pairs of skulls of different people according to their source, the closest first.

    Several cases of one skull have the same vault, which is compared only once.
    """
    import numpy as np

    from calvaria.skull.matching import match, mirror, shape
    from calvaria.utils.progress import Progress

    first_of: dict[tuple[str, bytes], int] = {}
    for number, (row, vault) in enumerate(zip(rows, vaults, strict=True)):
        first_of.setdefault((row["person"], np.stack([vault.inner_mm, vault.outer_mm]).tobytes()), number)
    distinct = sorted(first_of.values())
    shapes = {number: shape(vaults[number]) for number in distinct}
    mirrored = {number: shape(mirror(vaults[number])) for number in distinct}
    progress = Progress("people", len(distinct), "skulls")
    pairs: list[dict[str, Any]] = []
    for b in distinct:
        for a in distinct[: distinct.index(b)]:
            if rows[a]["person"] != rows[b]["person"]:
                one = match(shapes[a], shapes[b], mirrored[b])
                pairs.append({"a": a, "b": b, "mm": one.distance_mm, "mirrored": one.mirrored})
        progress.advance()
    return sorted(pairs, key=lambda pair: (pair["mm"], pair["a"], pair["b"]))


def group(names: list[str], same: list[tuple[int, int]]) -> list[str]:
    """Return the person of every skull: the first name among all skulls linked by a name or by a pair."""
    root = list(range(len(names)))

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    first: dict[str, int] = {}
    by_name = [(first.setdefault(name, number), number) for number, name in enumerate(names)]
    for a, b in [*by_name, *same]:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    return [names[find(number)] for number in range(len(names))]


STAGE = Stage(
    name="people",
    help=__doc__,
    run=people,
    outputs=lambda run, *_: (run.people,),
    reads=lambda config, *_: {**reads.section(config, "people"), "strict": config.ingest.strict},
    cost=costs.people,
)
