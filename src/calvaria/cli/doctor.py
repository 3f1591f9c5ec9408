"""Whether this machine and this environment can do the work, and do it twice with the same result."""

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

PYTHONS = ((3, 11), (3, 14))  # from the first on, before the second
JOB_BYTES, REFINE_BYTES = 3e9, 6e9  # what most rules ask for, and what the hungriest does
DISK_BYTES = 5e9  # the whole run on the real skulls takes 1.5 GB
TEMPORARY_BYTES = 500e6  # fields that ANTs writes, a job each; a chunk of a store that verify unpacks
PINS = Path(__file__).parents[3] / "envs" / "constraints.txt"
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Check:
    """One line of the verdict."""

    name: str
    verdict: str  # "ok", "warning": results may be slow or differ from others', or "fault": runs will fail
    found: str
    remedy: str = ""


def examine(directory: Path) -> Iterator[Check]:
    """Checks one thing after the other; runs below ``directory`` would write there."""
    yield python()
    yield packages(PINS)
    yield commands()
    yield threads()
    yield memory()
    yield gpu()
    yield disk(directory)
    yield rights(directory)
    yield temporary()
    yield home()
    yield ants_repeats()
    yield networks_repeat()


def python() -> Check:
    """The interpreter's version."""
    found = f"{sys.version.split()[0]} at {sys.executable}"
    first, last = PYTHONS
    if first <= sys.version_info[:2] < last:
        return Check("Python", "ok", found)
    expected = f"{first[0]}.{first[1]} to {last[0]}.{last[1] - 1}"
    return Check(
        "Python", "fault", found, f"make an environment with Python {expected}: make PYTHON=python3.12"
    )


def packages(pins: Path) -> Check:
    """What is installed, against what calvaria needs and, in a checkout, against its pinned versions."""
    missing = [name for name in _required() if _version(name) is None]
    if missing:
        remedy = f"python -m pip install --constraint envs/constraints.txt {' '.join(missing)}"
        return Check("packages", "fault", f"missing: {', '.join(missing)}", remedy)
    if not pins.is_file():
        return Check("packages", "ok", "all there; installed without the pinned versions of a checkout")
    pinned = dict(line.split("==") for line in pins.read_text(encoding="utf-8").split())
    other = {name: found for name in pinned if (found := _version(name)) not in (None, pinned[name])}
    if other:
        listed = ", ".join(f"{name} {found}, pinned {pinned[name]}" for name, found in other.items())
        remedy = (
            "only equal versions repeat results: python -m pip install --constraint envs/constraints.txt -e ."
        )
        return Check("packages", "warning", listed, remedy)
    return Check("packages", "ok", f"all there, in the {len(pinned)} pinned versions")


def _required() -> list[str]:
    """The packages that calvaria cannot do without."""
    lines = [line for line in requires("calvaria") or [] if "extra ==" not in line]
    return [re.split(r"[ ;<>=!~\[]", line)[0] for line in lines]


def _version(name: str) -> str | None:
    try:
        return version(name).split("+")[0]  # torch says +cpu
    except PackageNotFoundError:
        return None


def commands() -> Check:
    """The rules call `calvaria` by its name; it has to be this one."""
    found = {name: shutil.which(name) for name in ("snakemake", "calvaria")}
    beside = Path(sys.executable).parent
    wrong = [name for name, path in found.items() if path is None or Path(path).parent != beside]
    if not wrong:
        return Check("commands", "ok", f"snakemake and calvaria in {beside}")
    found_at = ", ".join(f"{name} is {found[name] or 'not on the path'}" for name in wrong)
    return Check("commands", "fault", found_at, f'export PATH="{beside}:$PATH", or activate the environment')


def threads() -> Check:
    """Cores that may be used, and settings of libraries that would get into their way."""
    present, usable = os.cpu_count() or 1, _affinity()
    quota = _quota()
    most = max(1, int(min(usable, quota)))
    about = f"{most} of {present} cores usable" + (f", the container has {quota:g}" if quota < usable else "")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    given = {name: os.environ[name] for name in names if name in os.environ}
    about += "".join(f", {name}={value}" for name, value in given.items())
    remedy = f"snakemake --cores {most}; `all` would start {usable} jobs at once" if most < usable else ""
    too_many = [name for name, value in given.items() if value.isdigit() and int(value) > most]
    if too_many:
        remedy = f"unset {' '.join(too_many)}: every job uses the config's `threads`, jobs run side by side"
    return Check("threads", "warning" if remedy else "ok", about, remedy)


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota() -> float:
    """Cores that the control group allows; infinite if it says nothing."""
    words = _read(CGROUP / "cpu.max").split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() else float("inf")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def memory() -> Check:
    """Free memory, against what jobs ask for."""
    import psutil

    limit = _read(CGROUP / "memory.max").strip()
    free = psutil.virtual_memory().available
    if limit.isdigit():
        used = _read(CGROUP / "memory.current").strip()
        free = min(free, int(limit) - int(used or 0))
    jobs = int(free // JOB_BYTES)
    found = f"{free / 1e9:.1f} GB free, enough for {jobs} jobs at once"
    if free < JOB_BYTES:
        return Check(
            "memory", "fault", found, f"a job takes up to {JOB_BYTES / 1e9:.0f} GB; end other programs"
        )
    if free < REFINE_BYTES:
        remedy = (
            f"refine asks for {REFINE_BYTES / 1e9:.0f} GB: snakemake --cores 1, or leave that section out"
        )
        return Check("memory", "warning", found, remedy)
    if jobs < _affinity():
        remedy = f"snakemake --resources mem_mb={int(free // 1e6)} keeps jobs from taking more than there is"
        return Check("memory", "warning", found, remedy)
    return Check("memory", "ok", found)


def gpu() -> Check:
    """What torch sees, and what the driver does."""
    import torch

    if torch.cuda.is_available():
        seen = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        found = ", ".join(f"{one.name} with {one.total_memory / 1e9:.0f} GB" for one in seen)
        return Check("GPU", "ok", f"{found}; CUDA {torch.version.cuda}")
    if shutil.which("nvidia-smi"):
        remedy = "install a torch that has CUDA (pytorch.org), and see whether nvidia-smi itself works"
        return Check("GPU", "warning", f"a driver, but torch {torch.__version__} sees none", remedy)
    return Check("GPU", "ok", "none; networks run on the processor")


def disk(directory: Path) -> Check:
    """Free space where runs are written."""
    free = shutil.disk_usage(_existing(directory)).free
    found = f"{free / 1e9:.1f} GB free at {directory.resolve()}"
    if free < DISK_BYTES:
        return Check("disk", "warning", found, "`calvaria estimate CONFIG` says what a run takes; make room")
    return Check("disk", "ok", found)


def _existing(directory: Path) -> Path:
    """The directory, or the nearest one above it that is there."""
    return next(path for path in (directory.resolve(), *directory.resolve().parents) if path.is_dir())


def rights(directory: Path) -> Check:
    """Whether files can be written and renamed where runs and temporary files are."""
    for place in (_existing(directory), Path(tempfile.gettempdir())):
        if why := _unwritable(place):
            remedy = f"choose another place with snakemake --directory, or chmod u+w {place}"
            return Check("writing", "fault", f"{place}: {why}", remedy)
    return Check("writing", "ok", f"{_existing(directory)} and {tempfile.gettempdir()}")


def temporary() -> Check:
    """Free space for temporary files."""
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free at {folder}"
    if free < TEMPORARY_BYTES:
        remedy = f"export TMPDIR=/a/folder/with {TEMPORARY_BYTES / 1e9:g} GB of free space"
        return Check("temporary", "warning", found, remedy)
    return Check("temporary", "ok", found)


def home() -> Check:
    """Whether Snakemake and Matplotlib can keep what they cache, by default below the home directory."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    variables = {"XDG_CACHE_HOME": "~/.cache", "MPLCONFIGDIR": f"{config}/matplotlib"}
    places = {name: Path(os.environ.get(name) or default).expanduser() for name, default in variables.items()}
    faults = {name: why for name, place in places.items() if (why := _unwritable(place))}
    if not faults:
        return Check("home", "ok", " and ".join(map(str, places.values())))
    found = ", ".join(f"{places[name]}: {why}" for name, why in faults.items())
    remedy = "; ".join(f"export {name}=/a/folder/that/can/be/written" for name in faults)
    # Without its cache Snakemake does not start; Matplotlib only says so in every command.
    return Check("home", "fault" if "XDG_CACHE_HOME" in faults else "warning", found, remedy)


def _unwritable(place: Path) -> str | None:
    """Why no file can be written and renamed in a folder, or in one that would have to be made for it."""
    try:
        with tempfile.TemporaryDirectory(dir=_existing(place), prefix=".calvaria-doctor-") as scratch:
            (Path(scratch) / "a").write_bytes(b"calvaria")
            (Path(scratch) / "a").rename(Path(scratch) / "b")
    except OSError as error:
        return error.strerror or str(error)
    return None


def ants_repeats() -> Check:
    """Registers two small heads twice with the same seed; the bits have to be equal."""
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
            "ANTs", "fault", f"moved a head by {moved:.2g} mm only", "reinstall antspyx, as it is pinned"
        )
    if first.tobytes() != second.tobytes():
        off = float(np.abs(first - second).max())
        remedy = "unset ITK_* and ANTS_* variables; without repeating, registrations cannot be made again"
        return Check("ANTs", "warning", f"two equal registrations differ by up to {off:.2g} mm", remedy)
    return Check("ANTs", "ok", "two equal registrations have equal bits")


def networks_repeat() -> Check:
    """Two equal training steps have to give equal gradients, on the device that would be used."""
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
    remedy = "device: cpu in the config; and please report it with the output of this command"
    return Check("networks", "warning", f"two equal training steps differ on {device.type}", remedy)


def text(check: Check) -> str:
    """One line, and the remedy below it."""
    line = f"{check.verdict:<8} {check.name:<9} {check.found}"
    return f"{line}\n{'':<18} -> {check.remedy}" if check.remedy else line
