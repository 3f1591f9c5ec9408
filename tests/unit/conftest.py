"""Fixtures shared by several unit tests; they import torch only on use."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """Exported models: with a prior, without one, and an untrained one."""
    from calvaria.reconstruction.coarse.network import new_network
    from calvaria.reconstruction.export.model import export
    from calvaria.training.weights import weights
    from tests.unit.models import ARM, learned, small_config, write_run

    folder = tmp_path_factory.mktemp("models")
    for name in ("coarse", "prior", "untrained"):
        prior = 2 if name == "prior" else 0
        config = small_config(prior)
        tensors = weights(new_network(config, 0), "network") if name == "untrained" else learned(prior)
        export(write_run(folder / f"run-{name}", config, tensors), config, ARM, folder / name)
    return {name: folder / name for name in ("coarse", "prior", "untrained")}


@pytest.fixture(scope="session")
def coarse_head(tmp_path_factory) -> Path:
    """A mask of the operated head with large voxels, for tests that need no resolution."""
    from tests.unit.builders import write_nifti
    from tests.unit.models import operated, remaining

    scan = remaining(operated(3.0))
    return write_nifti(tmp_path_factory.mktemp("head") / "skull.nii.gz", scan.labels, scan.affine)
