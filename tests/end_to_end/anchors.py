"""Skulls of the tiny run on one machine, for comparison with other machines.

``python -m tests.end_to_end.anchors results/tiny`` rewrites them from a finished run of the tiny config.
"""

import sys
from pathlib import Path

import numpy as np

from calvaria.config import load
from calvaria.storage.paths import Run

FILE = Path(__file__).parent / "anchors.npz"


def skulls(run: Run) -> dict[str, np.ndarray]:
    """Return the real skulls on the grid, and the first draw of every family: (n, x, y, z) bool."""
    families = {f"sample/{name}": run.sample(name) for name in load(run.config).fit}
    chosen = {"ingest": (run.ingest, run.ingest.rows())}
    chosen |= {name: (store, store.rows()[:1]) for name, store in families.items()}
    return {name: np.stack(list(store.volumes(rows))) > 0 for name, (store, rows) in chosen.items()}


def stored() -> dict[str, np.ndarray]:
    """Return the result of ``skulls`` on the machine that wrote the file."""
    with np.load(FILE, allow_pickle=False) as packed:
        shape = tuple(packed["shape"])
        return {
            name: np.unpackbits(bits, axis=1).reshape(len(bits), *shape).astype(bool)
            for name, bits in packed.items()
            if name != "shape"
        }


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the minimum Dice of pairs of (n, x, y, z) masks."""
    pairs = zip(one, other, strict=True)
    return min(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)) for a, b in pairs)


if __name__ == "__main__":
    found = skulls(Run(Path(sys.argv[1])))
    bits = {name: np.packbits(volumes.reshape(len(volumes), -1), axis=1) for name, volumes in found.items()}
    np.savez_compressed(FILE, shape=found["ingest"].shape[1:], **bits)
