"""Fixtures shared by several unit tests; they import torch only on use."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """Exported models: with a fine network, without one, and an untrained one."""
    from calvaria.reconstruction.coarse.network import new_network
    from calvaria.reconstruction.export.model import export
    from calvaria.training.weights import weights
    from tests.unit.models import ARM, learned, small_config, write_run

    folder = tmp_path_factory.mktemp("models")
    for name in ("coarse", "fine", "untrained"):
        config = small_config(refine=name == "fine")
        first, second = learned()
        if name == "untrained":
            first = weights(new_network(config, 0), "network")
        export(write_run(folder / f"run-{name}", config, first, second), config, ARM, folder / name)
    return {name: folder / name for name in ("coarse", "fine", "untrained")}


@pytest.fixture(scope="session")
def coarse_head(tmp_path_factory) -> Path:
    """A mask of the operated head with large voxels, for tests that need no resolution."""
    from tests.unit.builders import write_nifti
    from tests.unit.models import operated, remaining

    scan = remaining(operated(3.0))
    return write_nifti(tmp_path_factory.mktemp("head") / "skull.nii.gz", scan.labels, scan.affine)
