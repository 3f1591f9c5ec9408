"""Fixtures that several unit tests share; they import torch, and other tests need not wait for it."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """Exported models: with a fine network and without; and one that was never trained."""
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
    """A mask of the operated head with larger voxels, for tests that look at something else."""
    from tests.unit.builders import write_nifti
    from tests.unit.models import operated, remaining

    scan = remaining(operated(3.0))
    return write_nifti(tmp_path_factory.mktemp("head") / "skull.nii.gz", scan.labels, scan.affine)
