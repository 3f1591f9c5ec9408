"""The skulls of an arm to whose surfaces its prior is fitted."""

from collections.abc import Mapping, Sequence

import numpy as np

from calvaria.config import Config
from calvaria.reconstruction.native_case import to_anchor
from calvaria.reconstruction.surfaces.interpolation import surface_distances
from calvaria.skull.vault_map import VaultPicture, anchor_height, picture_vault
from calvaria.storage.cohorts import vaults as native_vaults
from calvaria.storage.paths import Run
from calvaria.storage.rows import InjectRow

SURFACES = "surfaces"  # name of the known surfaces among an arm's weights


def anchor_of(config: Config) -> float:
    """Return the height of the vault's anchor in the box of the canonical grid, in mm."""
    return anchor_height(config.grid.voxels(), config.ingest.top_margin_mm)


def known_surfaces(run: Run, config: Config, arm: str, rows: Mapping[str, Sequence[InjectRow]]) -> np.ndarray:
    """Return the surfaces of ``train.prior`` skulls of an arm, by the weights of its families.

    Vaults of real skulls are those of their scans, at native resolution; those of synthetic skulls are seen
    on the canonical grid.

    Args:
        rows: the arm's cases of every family.

    Returns:
        (n, 2, p) float32, see ``surface_distances``.
    """
    weights = config.train.arms[arm].families
    vaults: list[VaultPicture] = []
    for family, cases in rows.items():
        share = weights[family] / sum(weights.values())
        is_real = config.fit[family].is_real
        skulls = list({row["parents"][0] if is_real else row["skull"]: row for row in cases}.values())
        count = min(len(skulls), max(1, round(share * config.train.prior)))
        chosen = [skulls[i] for i in np.linspace(0, len(skulls) - 1, count).round().astype(int)]
        if is_real:
            vaults += [
                VaultPicture(*one) for one in native_vaults(run, [row["parents"][0] for row in chosen])
            ]
        else:
            vaults += [_synthetic_vault(run, config, family, row) for row in chosen]
    return surface_distances(vaults)


def _synthetic_vault(run: Run, config: Config, family: str, row: InjectRow) -> VaultPicture:
    skull = (run.inject(family).volume(row) > 0).view(np.uint8)
    return picture_vault(skull, np.eye(4), to_anchor(config.grid.voxels().affine, anchor_of(config)))
