"""Packages import only packages of lower layers, so each is independent of higher layers."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "calvaria"
# From bottom to top.
LAYERS = (
    "errors",
    "seeds",
    "utils",
    "geometry",
    "plugins",
    "config",
    "storage",
    "sources",
    "skull",
    "pipeline",
    "defects",
    "training",
    "families",
    "metrics",
    "report",
    "reconstruction",
    "publishing",
    "stages",
    "cli",
)


def imports(path: Path) -> Iterator[str]:
    """Return the top-level packages of calvaria that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            package, _, below = module.partition(".")
            if package == "calvaria" and below:
                yield below.split(".")[0]


def test_the_layers_are_the_parts_of_the_package():
    found = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - {"__init__"} == set(LAYERS)


def test_imports_run_downwards_only():
    upwards = []
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if part == "__init__":
            continue
        below = {*LAYERS[: LAYERS.index(part) + 1], "__version__"}
        upwards += [
            f"{path.relative_to(PACKAGE)} imports {other}" for other in imports(path) if other not in below
        ]
    assert upwards == []
