"""Provenance of a run: code, package versions, hardware. None of it is part of the run's digest."""

import hashlib
import json
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calvaria import __version__
from calvaria.config import Config
from calvaria.pipeline.fingerprint import outside, source_code

PACKAGES = (
    "antspyx",
    "connected-components-3d",
    "diffusers",
    "edt",
    "monai",
    "numcodecs",
    "numpy",
    "safetensors",
    "scikit-image",
    "scipy",
    "torch",
    "zarr",
)
# The widest vector instructions of the CPU determine which kernels run.
INSTRUCTIONS = ("avx512f", "avx2", "avx", "sse4_2", "asimd")


def provenance(config: Config) -> dict[str, Any]:
    """Return the provenance in ``manifest.json``: keys ``code``, ``versions`` and ``hardware``."""
    return {
        "code": code(config),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "hardware": hardware(config),
    }


def code(config: Config) -> dict[str, Any]:
    """Return the version, the commit if the code is in a git checkout, and the SHA-256 of every module.

    Modules are those of calvaria and of external plugins; ``source`` is one digest of them all.
    """
    package = Path(__file__).parents[1]
    modules = {_module(package, path): path.read_bytes() for path in sorted(package.rglob("*.py"))}
    plugins = {type(source).__module__ for source in config.ingest.sources.values()}
    plugins |= {type(family).__module__ for family in config.fit.values()}
    plugins.update(module for recipe in config.inject.recipes.values() for module in recipe.modules)
    modules |= {module: source_code(module) for module in sorted(plugins) if outside(module)}
    digests = {name: hashlib.sha256(source).hexdigest() for name, source in modules.items()}
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "version": __version__,
        "commit": commit,
        "uncommitted": None if changed is None else bool(changed),
        "source": hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
        "modules": digests,
    }


def _module(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def hardware(config: Config) -> dict[str, str | int | None]:
    """Return the hardware that affects floating-point results: CPU, instructions, GPU, threads per job.

    Only this machine is described; on a cluster other jobs may have run elsewhere.
    """
    cpu = _cpu()
    gpu = _gpu() if config.device != "cpu" else None
    return {
        "machine": platform.machine(),
        "cpu": cpu.get("model name") or platform.processor() or None,
        "instructions": next((one for one in INSTRUCTIONS if one in cpu.get("flags", "").split()), None),
        "cores": os.cpu_count(),
        "threads": config.threads,
        "gpu": gpu,
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()) or None,
    }


def _cpu() -> dict[str, str]:
    """Return the first CPU's entry in /proc/cpuinfo; on ARM its flags are named Features."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in pairs}
    return {**fields, "flags": fields.get("flags", fields.get("Features", ""))}


def _gpu() -> str | None:
    """Return the name of the GPU that torch detects, and the versions of its driver and of CUDA."""
    import torch

    if not torch.cuda.is_available():
        return None
    try:
        version = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        version = ""
    driver = re.search(r"\d+\.\d[\d.]*", version)
    name = driver.group() if driver else "unknown"
    return f"{torch.cuda.get_device_name()}, driver {name}, CUDA {torch.version.cuda}"


def _git(*arguments: str) -> str | None:
    """Return the output of git in the checkout of this package; None outside of a checkout."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():  # an installed package may lie inside another project's checkout
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
