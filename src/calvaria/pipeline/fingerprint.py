"""Fingerprints of the config and the code on which a stage's result depends, apart from its input files.

The rules pass a fingerprint to Snakemake as a parameter, so that changing one section of the config or one
module re-runs exactly the stages that use it. Imports nothing heavy.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from calvaria.config import Config
from calvaria.pipeline.stage import Stage

PACKAGE = Path(__file__).parents[1]
# Excluded: the config, as its values are part of a fingerprint, and the declarations of stages, which
# determine the jobs of a run but not their results.
NOT_CODE = (
    "calvaria",
    "calvaria.config",
    "calvaria.pipeline.costs",
    "calvaria.pipeline.roots",
    "calvaria.pipeline.reads",
    "calvaria.pipeline.stage",
    "calvaria.plugins.costs",
    "calvaria.stages",
)


def identity(config: Config, stage: Stage, name: str = "", number: int = 0) -> str:
    """Return a digest that changes when, and only when, this job's result may change.

    Args:
        name: the family, cohort or arm of the job, if it has one.
        number: the number of the shard, for stages that write shards.
    """
    roots = [stage.run.__module__, *stage.roots(config, name)]
    return digest(stage.reads(config, name, number), roots, stage.resources)


def digest(parts: Mapping[str, Any], roots: Iterable[str], resources: Iterable[str] = ()) -> str:
    """Return a digest of parts of the config and of all code that some modules may run.

    Args:
        parts: parts of the config, as JSON.
        roots: modules; the calvaria modules that they import are included.
        resources: folders of the package whose files are included.
    """
    whole = {"config": parts, "code": code(roots, resources)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def modules(config: Config, stage: Stage, name: str) -> list[str]:
    """Return the modules, built-in or custom, that a job of this stage may run for this family or arm."""
    return closure([stage.run.__module__, *stage.roots(config, name)])


def code(roots: Iterable[str], resources: Iterable[str] = ()) -> str:
    """Return a digest of the source code that some modules may run, and of the files of some folders."""
    sha256 = hashlib.sha256()
    for module in closure(roots):
        sha256.update(module.encode() + b"\0" + syntax(source_code(module)))
    for path in sorted(path for folder in resources for path in (PACKAGE / folder).iterdir()):
        sha256.update(path.name.encode() + b"\0" + path.read_bytes())
    return sha256.hexdigest()


def closure(roots: Iterable[str]) -> list[str]:
    """Return modules and all calvaria modules that they import, directly or indirectly, sorted."""
    return sorted(set().union(*(_closure(root) for root in roots)))


def outside(module: str) -> bool:
    """Return whether a module is outside calvaria, such as that of a custom recipe or source."""
    return module.split(".")[0] != "calvaria"


def source_code(module: str) -> bytes:
    """Return the source code of a module; empty if an external module is not installed (the job fails)."""
    if not outside(module):
        return _file(module).read_bytes()
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return b""
    if spec is None or not spec.has_location or not spec.origin:
        return b""
    return Path(spec.origin).read_bytes()


@cache
def syntax(source: bytes) -> bytes:
    """Return a digest of the syntax tree of Python source without comments, docstrings, layout and costs.

    If the source is not valid Python, return a digest of its bytes. Unlike with ``ast.dump``, the digest of
    a tree is the same in every version of Python that parses the source alike.
    """
    try:
        tree = json.dumps(_nested(ast.parse(source))).encode()
    except (SyntaxError, ValueError):
        tree = source
    return hashlib.sha256(tree).digest()


def _nested(node: Any) -> Any:
    """Return a syntax tree as nested lists without empty fields, docstrings and ``estimated_cost``."""
    if isinstance(node, list):
        return [_nested(item) for item in node if not (_is_docstring(item) or _is_estimate(item))]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: _nested(value) for name, value in ast.iter_fields(node) if value not in (None, [])}
    return [type(node).__name__, fields]


def _is_docstring(node: Any) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_estimate(node: Any) -> bool:
    """Return whether a node is the method that states a plugin's cost, which affects no result."""
    return isinstance(node, ast.FunctionDef) and node.name == "estimated_cost"


@cache
def _closure(root: str) -> frozenset[str]:
    """Return a module, the calvaria modules that it imports directly or indirectly, and their packages.

    Imports of modules outside calvaria are ignored.
    """
    names: set[str] = set()
    pending = [root]
    while pending:
        module = pending.pop()
        if module not in names and module not in NOT_CODE and not module.startswith("calvaria.config."):
            names.add(module)
            pending += _imports(module)
            if not outside(module):
                pending.append(module.rpartition(".")[0])
    return frozenset(names)


@cache
def _imports(module: str) -> list[str]:
    try:
        tree = ast.parse(source_code(module))
    except (SyntaxError, ValueError):  # a custom module that is not valid Python; its job fails
        return []
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("calvaria"):
            imported.add(node.module)
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names if alias.name.startswith("calvaria")}
    return sorted(name for name in imported if _is_module(name))


@cache
def _is_module(name: str) -> bool:
    directory = PACKAGE.joinpath(*name.split(".")[1:])
    return directory.with_suffix(".py").is_file() or (directory / "__init__.py").is_file()


@cache
def _file(name: str) -> Path:
    directory = PACKAGE.joinpath(*name.split(".")[1:])
    file = directory.with_suffix(".py")
    return file if file.is_file() else directory / "__init__.py"
