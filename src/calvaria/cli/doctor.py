"""Checks of the installation, the machine and the reproducibility of results."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import numpy as np

from calvaria.geometry.grid import Grid

PYTHONS = ((3, 11), (3, 14))  # first supported version, first unsupported one
JOB_BYTES = 3e9  # memory requests of most rules
DISK_BYTES = 5e9  # the whole run on the real skulls takes 1.5 GB
TEMPORARY_BYTES = 500e6  # per job: fields that ANTs writes, or a store's chunk that verify unpacks
PINS = Path(__file__).parents[3] / "envs" / "constraints.txt"
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    name: str
    verdict: str  # "ok", "warning" (slow, or results may not be reproducible) or "error" (runs will fail)
    details: str
    remedy: str = ""


def examine(directory: Path) -> Iterator[Check]:
    """Run all checks; ``directory`` is the folder of runs."""
    yield python()
    yield packages(PINS)
    yield commands()
    yield threads()
    yield memory()
    yield gpu()
    yield precision()
    yield disk(directory)
    yield rights(directory)
    yield temporary()
    yield home()
    yield ants_repeats()
    yield networks_repeat()


def python() -> Check:
    """Check the version of Python."""
    details = f"{sys.version.split()[0]} at {sys.executable}"
    first, last = PYTHONS
    if first <= sys.version_info[:2] < last:
        return Check("Python", "ok", details)
    expected = f"{first[0]}.{first[1]} to {last[0]}.{last[1] - 1}"
    return Check(
        "Python", "error", details, f"create an environment with Python {expected}: make PYTHON=python3.12"
    )


def packages(pins: Path) -> Check:
    """Check that all dependencies are installed and, in a checkout, have their pinned versions."""
    missing = [name for name in _required() if _version(name) is None]
    if missing:
        remedy = f"python -m pip install --constraint envs/constraints.txt {' '.join(missing)}"
        return Check("packages", "error", f"missing: {', '.join(missing)}", remedy)
    if not pins.is_file():
        return Check("packages", "ok", "all installed; versions not compared, since this is not a checkout")
    pinned = dict(line.split("==") for line in pins.read_text(encoding="utf-8").split())
    other = {name: installed for name in pinned if (installed := _version(name)) not in (None, pinned[name])}
    if other:
        listed = ", ".join(f"{name} {installed}, pinned {pinned[name]}" for name, installed in other.items())
        command = "python -m pip install --constraint envs/constraints.txt -e ."
        remedy = f"results repeat only with equal versions: {command}"
        return Check("packages", "warning", listed, remedy)
    return Check("packages", "ok", f"all installed, in the {len(pinned)} pinned versions")


def _required() -> list[str]:
    """Return the names of the required packages."""
    lines = [line for line in requires("calvaria") or [] if "extra ==" not in line]
    return [re.split(r"[ ;<>=!~\[]", line)[0] for line in lines]


def _version(name: str) -> str | None:
    try:
        return version(name).split("+")[0]  # drop torch's local version label, e.g. +cpu
    except PackageNotFoundError:
        return None


def commands() -> Check:
    """Check that `calvaria`, which the rules call by name, is this installation."""
    paths = {name: shutil.which(name) for name in ("snakemake", "calvaria")}
    beside = Path(sys.executable).parent
    wrong = [name for name, path in paths.items() if path is None or Path(path).parent != beside]
    if not wrong:
        return Check("commands", "ok", f"snakemake and calvaria in {beside}")
    details = ", ".join(f"{name} is {paths[name] or 'not on the path'}" for name in wrong)
    return Check("commands", "error", details, f'export PATH="{beside}:$PATH", or activate the environment')


def threads() -> Check:
    """Check the number of usable cores and the environment variables that set thread counts."""
    present, usable = os.cpu_count() or 1, _affinity()
    quota = _quota()
    most = max(1, int(min(usable, quota)))
    about = f"{most} of {present} cores usable" + (f", the container has {quota:g}" if quota < usable else "")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    given = {name: os.environ[name] for name in names if name in os.environ}
    about += "".join(f", {name}={value}" for name, value in given.items())
    remedy = f"snakemake --cores {most}; `all` would run {usable} jobs at once" if most < usable else ""
    too_many = [name for name, value in given.items() if value.isdigit() and int(value) > most]
    if too_many:
        remedy = (
            f"unset {' '.join(too_many)}: every job uses `threads` of the config, and jobs run concurrently"
        )
    return Check("threads", "warning" if remedy else "ok", about, remedy)


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota() -> float:
    """Return the CPU quota of the control group in cores; infinity without a limit."""
    words = _read(CGROUP / "cpu.max").split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() else float("inf")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def memory() -> Check:
    """Compare the free memory with the memory requests of jobs."""
    import psutil

    limit = _read(CGROUP / "memory.max").strip()
    free = psutil.virtual_memory().available
    if limit.isdigit():
        used = _read(CGROUP / "memory.current").strip()
        free = min(free, int(limit) - int(used or 0))
    jobs = int(free // JOB_BYTES)
    details = f"{free / 1e9:.1f} GB free, enough for {jobs} concurrent jobs"
    if free < JOB_BYTES:
        return Check(
            "memory", "error", details, f"a job takes up to {JOB_BYTES / 1e9:.0f} GB; end other programs"
        )
    if jobs < _affinity():
        remedy = f"snakemake --resources mem_mb={int(free // 1e6)} limits the memory of concurrent jobs"
        return Check("memory", "warning", details, remedy)
    return Check("memory", "ok", details)


def gpu() -> Check:
    """Check that torch detects the GPUs that the driver lists."""
    import torch

    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        details = ", ".join(f"{one.name} with {one.total_memory / 1e9:.0f} GB" for one in devices)
        return Check("GPU", "ok", f"{details}; CUDA {torch.version.cuda}")
    if shutil.which("nvidia-smi"):
        remedy = "install torch with CUDA (pytorch.org), and check that nvidia-smi works"
        return Check(
            "GPU", "warning", f"driver installed, but torch {torch.__version__} detects no GPU", remedy
        )
    return Check("GPU", "ok", "none; networks run on the CPU")


def precision() -> Check:
    """Time matrix products in bfloat16 against float32 on the training device."""
    import torch

    from calvaria.training.precision import measure

    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    speed = measure(device)
    details = f"bfloat16 is {speed.gain:.2f} times as fast as float32 on {device}"
    return Check("precision", "ok", f"{details}; precision: auto uses {speed.precision}")


def disk(directory: Path) -> Check:
    """Check the free disk space of the folder of runs."""
    free = shutil.disk_usage(_existing(directory)).free
    details = f"{free / 1e9:.1f} GB free at {directory.resolve()}"
    if free < DISK_BYTES:
        return Check(
            "disk", "warning", details, "free space; `calvaria estimate CONFIG` prints what a run needs"
        )
    return Check("disk", "ok", details)


def _existing(directory: Path) -> Path:
    """Return the directory or its nearest existing parent."""
    return next(path for path in (directory.resolve(), *directory.resolve().parents) if path.is_dir())


def rights(directory: Path) -> Check:
    """Check that files can be written and renamed in the folders of runs and of temporary files."""
    for folder in (_existing(directory), Path(tempfile.gettempdir())):
        if reason := _unwritable(folder):
            remedy = f"choose another folder with snakemake --directory, or chmod u+w {folder}"
            return Check("writing", "error", f"{folder}: {reason}", remedy)
    return Check("writing", "ok", f"{_existing(directory)} and {tempfile.gettempdir()}")


def temporary() -> Check:
    """Check the free disk space for temporary files."""
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    details = f"{free / 1e9:.1f} GB free at {folder}"
    if free < TEMPORARY_BYTES:
        remedy = f"export TMPDIR=/a/folder/with {TEMPORARY_BYTES / 1e9:g} GB of free space"
        return Check("temporary", "warning", details, remedy)
    return Check("temporary", "ok", details)


def home() -> Check:
    """Check that Snakemake and Matplotlib can write their caches, by default in the home directory."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    variables = {"XDG_CACHE_HOME": "~/.cache", "MPLCONFIGDIR": f"{config}/matplotlib"}
    folders = {
        name: Path(os.environ.get(name) or default).expanduser() for name, default in variables.items()
    }
    errors = {name: reason for name, folder in folders.items() if (reason := _unwritable(folder))}
    if not errors:
        return Check("home", "ok", " and ".join(map(str, folders.values())))
    details = ", ".join(f"{folders[name]}: {reason}" for name, reason in errors.items())
    remedy = "; ".join(f"export {name}=/a/writable/folder" for name in errors)
    # Snakemake does not start without its cache; Matplotlib only warns, in every command.
    return Check("home", "error" if "XDG_CACHE_HOME" in errors else "warning", details, remedy)


def _unwritable(folder: Path) -> str | None:
    """Return why files cannot be written and renamed in a folder or its nearest existing parent, if so."""
    try:
        with tempfile.TemporaryDirectory(dir=_existing(folder), prefix=".calvaria-doctor-") as scratch:
            (Path(scratch) / "a").write_bytes(b"calvaria")
            (Path(scratch) / "a").rename(Path(scratch) / "b")
    except OSError as error:
        return error.strerror or str(error)
    return None


def ants_repeats() -> Check:
    """Register two small heads twice with the same seed and check that the results are bit-identical."""
    from calvaria.families.registration import syn

    grid = Grid((24, 28, 24), 8.0)
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    head, other = (
        (6 - np.abs(np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2) - 1) * 70)
        .clip(-8, 8)
        .astype(np.float32)
        for a, b, c in ((70, 88, 72), (76, 82, 68))
    )
    ants = syn.import_ants(seed=1)
    first, second = (syn.register(ants, head, other, grid, (10, 5), 0.7)[0].numpy() for _ in range(2))
    moved = float(np.abs(first).max())
    if moved < 1 or not np.isfinite(first).all():
        return Check(
            "ANTs",
            "error",
            f"registration moved a head by only {moved:.2g} mm",
            "reinstall the pinned antspyx",
        )
    if first.tobytes() != second.tobytes():
        off = float(np.abs(first - second).max())
        remedy = "unset ITK_* and ANTS_* variables; otherwise registrations are not reproducible"
        return Check("ANTs", "warning", f"two equal registrations differ by up to {off:.2g} mm", remedy)
    return Check("ANTs", "ok", "two equal registrations have equal bits")


def networks_repeat() -> Check:
    """Compare the gradients of two identical training steps on the training device."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)

    def gradients() -> bytes:
        torch.manual_seed(0)
        layers = (
            torch.nn.Conv3d(4, 8, 3, padding=1),
            torch.nn.GroupNorm(2, 8),
            torch.nn.Conv3d(8, 4, 3, stride=2),
        )
        network = torch.nn.Sequential(*layers).to(device)
        network(torch.randn(2, 4, 16, 16, 16).to(device)).square().mean().backward()
        return b"".join(
            one.grad.cpu().numpy().tobytes() for one in network.parameters() if one.grad is not None
        )

    if gradients() == gradients():
        return Check("networks", "ok", f"two equal training steps have equal bits on {device.type}")
    remedy = "set device: cpu in the config, and please report this output"
    return Check("networks", "warning", f"two equal training steps differ on {device.type}", remedy)


def text(check: Check) -> str:
    """Format a check as one line, with the remedy below it."""
    line = f"{check.verdict:<8} {check.name:<9} {check.details}"
    return f"{line}\n{'':<18} -> {check.remedy}" if check.remedy else line
