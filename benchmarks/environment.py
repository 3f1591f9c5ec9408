"""The header of a benchmark page: command, commit, machine and versions."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

VERSIONED = ("calvaria", "numpy", "scipy", "nibabel", "zarr", "torch", "monai", "antspyx")


def header(title: str, command: str) -> str:
    """Return title, command, commit, machine and versions as Markdown."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
    ).stdout.strip()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    models = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    processor = ", ".join(sorted(models)) or platform.processor() or platform.machine()
    cores = sum(line.startswith("processor") for line in lines)
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONED)
    return (
        f"# {title}\n\n`{command}`\n\nCommit {commit}; {cores} cores of {processor}; "
        f"{platform.system()}, Python {platform.python_version()}; {versions}."
    )


def peak_gb() -> float:
    """Return the peak memory of this process in GB; Linux only.

    ``getrusage`` would include the parent's memory at the start of this process.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024**2
