"""What a stage's result depends on beside its input files: parts of the config, and the code.

The rules hand this to Snakemake as a parameter, so that changing one section of the config, or one
module, re-runs exactly the stages that use it. Nothing heavy is imported here.
"""

import ast
import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from calvaria.config import Config

# The config is left out: what it says reaches a stage's identity through its values.
USED_LATER = ("fraction", "gates")

PER_SKULL = ("per_skull", "per_held_out_skull")
NETWORK = ("patch", "channels", "mirror", "predicts", "completion", "deep_supervision")

OF_FAMILIES = ("template", "register", "fit", "sample", "screen", "audit")  # each job is of one family
READ_SCANS = ("ingest", "refine", "evaluate")  # from the sources themselves

PACKAGE = Path(__file__).parents[1]
NOT_CODE = ("calvaria", "calvaria.config")


def identity(config: Config, stage: str, name: str = "", shard: int = 0) -> str:
    """A digest that changes when, and only when, this job's result may change.

    Args:
        name: the family, cohort or arm of the job, if it has one.
        shard: the number of the shard, for stages that write shards.
    """
    parts = {"config": sections(config, stage, name, shard), "code": code(config, stage, name)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def sections(config: Config, stage: str, name: str, shard: int) -> dict[str, Any]:
    """The parts of the config that a job's result depends on."""
    c = config.model_dump(mode="json")
    base = {key: c[key] for key in ("seed", "grid")}
    compute = base | {key: c[key] for key in ("device", "threads", "precision", "processes")}
    share = {
        "shard_size": config.sample.shard_size,
        # A store may grow; then only its last shard, if it was not full, changes.
        "in_shard": min(config.sample.shard_size, config.sample.count - shard * config.sample.shard_size),
    }
    draws = share | {"batch_size": config.sample.batch_size}
    defects = {key: value for key, value in c["inject"].items() if key not in PER_SKULL}
    if stage in OF_FAMILIES:
        families = [name, below] if (below := config.below(name)) else [name]
        compute["fit"] = {each: c["fit"][each] for each in families}
    match stage:
        case "ingest":
            return base | {
                "ingest": {
                    key: c["ingest"][key] for key in ("sources", "top_margin_mm", "shard_size", "accept")
                }
            }
        case "sheet":
            return {"grid": c["grid"]}
        case "people":
            return {"people": c["people"], "strict": c["ingest"]["strict"]}
        case "split":
            return {"seed": c["seed"], "split": c["split"]}
        case "template" | "register":
            # How registrations are used is not how they are made.
            compute["fit"][name] = {k: v for k, v in c["fit"][name].items() if k not in USED_LATER}
            # The number of skulls that are trained on decides which registration is in which batch.
            return compute | {"split": {key: c["split"][key] for key in ("validation", "test")}}
        case "fit":
            return compute
        case "limits":
            return {"grid": c["grid"], "screen": c["screen"]}
        case "sample":
            return compute | draws
        case "screen":
            return compute | draws | {"screen": c["screen"]}
        case "audit":
            return compute | {"audit": c["audit"]}
        case "inject":
            if name in config.fit:
                return base | {"inject": defects | {"per_skull": config.inject.per_skull}} | share
            return base | {"inject": defects | {"per_held_out_skull": config.inject.per_held_out_skull}}
        case "train":
            train = {key: value for key, value in c["train"].items() if key != "seeds"}
            fresh = {"inject": defects} if config.train.fresh_defects else {}
            # What a level of augmentation means is said in the code of the config.
            meant = config.train.arms[name].augmentation
            augmented = {"geometric": meant.model_dump(mode="json") if meant else None}
            return (
                compute
                | fresh
                | {
                    "train": train | {"arms": c["train"]["arms"][name] | augmented},
                    "evaluate": c["evaluate"],
                    "per_skull": c["inject"]["per_skull"],
                }
            )
        case "refine":
            return compute | {
                "refine": c["refine"],
                "inject": defects,
                "sources": c["ingest"]["sources"],
            }
        case "evaluate":
            network = {key: c["train"][key] for key in NETWORK}
            return compute | {
                "network": network,
                "seeds": config.train.seeds,
                "evaluate": c["evaluate"],
                "refine": c["refine"],
                "sources": c["ingest"]["sources"],
            }
        case "report":
            return c
    raise ValueError(f"no such stage: {stage}")


def modules(config: Config, stage: str, name: str) -> list[str]:
    """The modules that a job of this stage, for this family or arm, may run: calvaria's, and of plugins."""
    roots = [f"calvaria.stages.{stage}"]
    if stage in OF_FAMILIES:
        families = [name, below] if (below := config.below(name)) else [name]
        roots += [type(config.fit[family]).__module__ for family in families]
    if stage in READ_SCANS:
        roots += [type(source).__module__ for source in config.ingest.sources.values()]
    if stage in ("inject", "refine") or (stage == "train" and config.train.fresh_defects):
        roots += [module for recipe in config.inject.recipes.values() for module in recipe.modules]
    return sorted(set().union(*(_closure(root) for root in roots)))


def code(config: Config, stage: str, name: str) -> str:
    """A digest of all source code that a job of this stage, for this family or arm, may run."""
    digest = hashlib.sha256()
    for module in modules(config, stage, name):
        digest.update(module.encode() + b"\0" + syntax(source_code(module)))
    if stage == "report":  # the page is made from more than modules
        page = PACKAGE / "report"
        for path in sorted(path for part in ("templates", "vendor") for path in (page / part).iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def outside(module: str) -> bool:
    """Whether a module is not part of calvaria, such as that of a custom recipe or of a package's source."""
    return module.split(".")[0] != "calvaria"


def source_code(module: str) -> bytes:
    """The source code of a module; empty if an outside one is not installed, which the job then reports."""
    if not outside(module):
        return _source(module).read_bytes()
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return b""
    if spec is None or not spec.has_location or not spec.origin:
        return b""
    return Path(spec.origin).read_bytes()


@cache
def syntax(source: bytes) -> bytes:
    """A digest of the syntax tree of Python source, without comments, docstrings and layout.

    Of what is not Python, a digest of the bytes. Unlike ``ast.dump``, a tree has the same digest in every
    version of Python that parses the source alike.
    """
    try:
        tree = json.dumps(_nested(ast.parse(source))).encode()
    except (SyntaxError, ValueError):
        tree = source
    return hashlib.sha256(tree).digest()


def _nested(node: Any) -> Any:
    """A syntax tree as nested lists; no field that is empty, no string that is a statement."""
    if isinstance(node, list):
        return [_nested(item) for item in node if not _is_docstring(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: _nested(value) for name, value in ast.iter_fields(node) if value not in (None, [])}
    return [type(node).__name__, fields]


def _is_docstring(node: Any) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


@cache
def _closure(root: str) -> frozenset[str]:
    """The calvaria modules that a module imports, directly or through others, their packages, and itself.

    Of a module outside calvaria, other modules outside that it imports do not count.
    """
    found: set[str] = set()
    pending = [root]
    while pending:
        module = pending.pop()
        if module not in found and module not in NOT_CODE and not module.startswith("calvaria.config."):
            found.add(module)
            pending += _imports(module)
            if not outside(module):
                pending.append(module.rpartition(".")[0])
    return frozenset(found)


def _imports(module: str) -> list[str]:
    imported = set()
    for node in ast.walk(ast.parse(source_code(module))):
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
def _source(name: str) -> Path:
    directory = PACKAGE.joinpath(*name.split(".")[1:])
    file = directory.with_suffix(".py")
    return file if file.is_file() else directory / "__init__.py"
