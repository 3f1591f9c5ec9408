"""A model's coarse networks as one ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calvaria.errors import InputError
from calvaria.reconstruction.export.ensemble import implant_network
from calvaria.storage.outputs import check_file
from calvaria.storage.store import write_atomically

OPSET = 20
INPUT, OUTPUT = "bone", "implant"


def write_onnx(model: Path, out: Path) -> None:
    """Write a network that maps ``INPUT`` to ``OUTPUT``.

    ``INPUT`` is the remaining bone, (1, 1, x, y, z) float32; ``OUTPUT`` is the implant's probability, of the
    same shape. The file's metadata has the grid's shape and affine, and the threshold of the implant.

    Raises:
        InputError: if packages are missing, the folder is not a model, or the file cannot be written.
        StoreError: if a file of the model is damaged, or the disk is full.
    """
    if out.suffix.lower() != ".onnx":
        raise InputError(f"--out {out}: expected a name that ends in .onnx")
    check_file("--out", out)
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"--to onnx: {error}; install them: pip install onnx onnxscript") from None
    network = implant_network(model)
    bone = torch.zeros(1, 1, *network.grid.shape)
    with _quiet():
        program = torch.onnx.export(
            network,
            (bone,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            custom_translation_table={torch.ops.aten.linalg_solve.default: _solve},
            verbose=False,
        )
    assert program is not None
    exported = program.model_proto
    graph = exported.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]  # paths of this machine
    about = {
        "grid_shape": list(network.grid.shape),
        "grid_affine_ras_mm": network.grid.affine.tolist(),
        "threshold": network.threshold,
        "use": "research only; not a medical device",
    }
    onnx.helper.set_model_props(exported, {key: str(value) for key, value in about.items()})
    onnx.checker.check_model(exported, full_check=True)
    write_atomically(out, exported.SerializeToString(deterministic=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings about its own deprecated calls and missing torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)


def _solve(system: Any, right: Any, left: bool = True) -> Any:
    """Replace ``torch.linalg.solve``, which ONNX lacks, by Gauss-Jordan elimination for one right side.

    Pivots are not needed, as the system of `reconstruction.coarse.completion` is symmetric and positive
    definite.
    """
    op = _operators()
    count = system.shape[0]
    zero, one = op.Constant(value_ints=[0]), op.Constant(value_ints=[1])
    rows = op.Concat(system, op.Unsqueeze(right, one), axis=1)
    for number in range(count):
        here, behind = op.Constant(value_ints=[number]), op.Constant(value_ints=[number + 1])
        row = op.Slice(rows, here, behind, zero)
        row = op.Div(row, op.Slice(row, here, behind, one))
        unit = np.zeros((count, 1), np.float32)
        unit[number] = 1
        rows = op.Sub(rows, op.MatMul(op.Sub(op.Slice(rows, here, behind, one), _constant(unit)), row))
    last = op.Slice(rows, op.Constant(value_ints=[count]), op.Constant(value_ints=[count + 1]), one)
    return op.Squeeze(last, one)


def _constant(values: np.ndarray) -> Any:
    from onnxscript import ir

    return _operators().Constant(value=ir.tensor(values))


def _operators() -> Any:
    from onnxscript import opset20

    return opset20
