"""No command imports packages that it does not need, which would slow down every job.

Here stages and networks are imported as by their commands; tests/end_to_end/test_determinism.py checks the
imports of a run's jobs. benchmarks/imports.md has the times.
"""

import json
import subprocess
import sys

from tests.conftest import ROOT
from tests.imports import HEAVY, MODULES, Needs

WITHOUT_TORCH = ("ingest", "sheet", "people", "split", "limits", "inject", "screen", "audit")
NETWORKS = """
import calvaria.families.introvae.training, calvaria.families.vae.training
import calvaria.families.vqvae.training, calvaria.families.wgan.training
import calvaria.reconstruction.coarse.training, calvaria.reconstruction.predictor
import torch
from calvaria.plugins.compute import ComputeSettings
from calvaria.training.adam import Adam
from calvaria.training.device import prepare_device
device = prepare_device(ComputeSettings(device="cpu"))
weight = torch.nn.Parameter(torch.ones(1, device=device))
optimiser = Adam([weight])
weight.sum().backward()
optimiser.step()
"""


def loaded(code: str) -> set[str]:
    """Return the modules loaded in a separate process by the command line, a config and some code."""
    begin = (
        "import json, sys\nfrom pathlib import Path\nimport calvaria.cli\nfrom calvaria.config import load\n"
    )
    code = f"{begin}load(Path(sys.argv[1]))\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code, ROOT / "config.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_stages_without_networks_do_not_import_torch():
    """All imports at the start of the stages' functions are executed together."""
    code = f"""
import ast, importlib, inspect
for stage in {WITHOUT_TORCH}:
    module = importlib.import_module(f"calvaria.stages.{{stage}}")
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef):
            late = [one for one in node.body if isinstance(one, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(late, []), stage, "exec"), {{}})
"""
    found = loaded(code)
    assert {f"calvaria.stages.{stage}" for stage in WITHOUT_TORCH} <= found
    assert {"calvaria.metrics.fidelity", "calvaria.defects.injection", "calvaria.skull.screening"} <= found
    assert found & HEAVY == {"scipy.stats"}
    assert len(found) <= MODULES[Needs.ARRAYS] + 400  # scipy.stats, for audit


def test_networks_import_torch_and_their_modules_of_monai():
    found = loaded(NETWORKS)
    assert {"monai.networks.nets.autoencoderkl", "monai.networks.blocks.dynunet_block"} <= found
    assert found & HEAVY == {"torch"}
    assert len(found) <= MODULES[Needs.NETWORK]
