"""With what a run was made: code, package versions, hardware. None of it is part of the run's digest."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calvaria import __version__
from calvaria.config import Config

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
# The widest instructions that a CPU has decide which kernels run.
INSTRUCTIONS = ("avx512f", "avx2", "avx", "sse4_2", "asimd")


def provenance(config: Config) -> dict[str, Any]:
    """What ``manifest.json`` says of how a run was made: keys ``code``, ``versions`` and ``hardware``."""
    return {
        "code": code(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "hardware": hardware(config),
    }


def code() -> dict[str, str | bool | None]:
    """Version, digest of the package's source, and the commit if it lies in a git checkout."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "version": __version__,
        "source": digest.hexdigest(),
        "commit": commit,
        "uncommitted": None if changed is None else bool(changed),
    }


def hardware(config: Config) -> dict[str, str | int | None]:
    """What floating-point results hang on: the CPU, its instructions, the GPU and the threads of a job."""
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
    """What Linux says of the first CPU; ARM calls its flags Features."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    found = {key.strip(): value.strip() for key, value in pairs}
    return {**found, "flags": found.get("flags", found.get("Features", ""))}


def _gpu() -> str | None:
    """The name of the GPU that torch sees, and its CUDA version."""
    import torch

    if not torch.cuda.is_available():
        return None
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def _git(*arguments: str) -> str | None:
    """What git says in the checkout that this package lies in; None if it lies in none."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # an installed package may lie below somebody else's checkout
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
