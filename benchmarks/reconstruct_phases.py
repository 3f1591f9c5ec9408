"""One run of ``calvaria reconstruct`` on one core: seconds and memory of every phase, as JSON.

    python benchmarks/reconstruct_phases.py SCAN FOLDER

``benchmarks/reconstruct.py`` starts this script, also with the code of an earlier commit, so only functions
of both versions are timed. Times are exclusive: a phase does not include the phases that it calls. Linux
only.
"""

import builtins
import functools
import hashlib
import importlib
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REST = "everything else"
IMPORTS = "imports"
# Module below calvaria, function or method, phase.
TIMED = (
    ("reconstruction.reconstruct", "read_bone", "reading the file"),
    ("reconstruction.reconstruct", "usable_head", "pose and quality of the head"),
    ("reconstruction.native_case", "NativeCase.from_bone", "resampling to the canonical grid, five poses"),
    ("reconstruction.predictor", "Predictor.coarse_probabilities", "coarse networks"),
    ("reconstruction.native_case", "NativeCase.vault", "vault maps"),
    ("reconstruction.predictor", "interpolate", "Gaussian process"),
    ("reconstruction.predictor", "cut_implant", "cut on the scan's grid"),
    ("reconstruction.predictor", "Predictor._to_native", "coarse implant on the scan's grid"),
    ("reconstruction.consensus", "consensus_implant", "majority"),
    ("reconstruction.reconstruct", "_open_area", "holes that are left"),
    ("reconstruction.implant.space", "space_around", "distances around the defect"),
    ("reconstruction.implant.fitting", "fit_implant", "gap and direction of insertion"),
    ("reconstruction.implant.mesh", "surface", "mesh"),
    ("reconstruction.implant.checks", "check", "checks"),
    ("reconstruction.reconstruct", "_files", "contents of the files"),
    ("reconstruction.reconstruct", "write_together", "writing the files"),
)


class Phases:
    """Seconds and peak memory of phases, which may be nested."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = defaultdict(float)
        self.wall_s: dict[str, float] = defaultdict(float)
        self.peak_mb: dict[str, float] = defaultdict(float)
        self.stack = [REST]
        self.since = time.process_time(), time.perf_counter()

    def settle(self) -> None:
        """Add the time since the last change to the current phase."""
        cpu, wall = time.process_time(), time.perf_counter()
        phase = self.stack[-1]
        self.cpu_s[phase] += cpu - self.since[0]
        self.wall_s[phase] += wall - self.since[1]
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        self.peak_mb[phase] = max(self.peak_mb[phase], int(line.split()[1]) / 1024)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # reset the peak
        self.since = cpu, wall

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block as a phase."""
        self.settle()
        self.stack.append(name)
        try:
            yield
        finally:
            self.settle()
            self.stack.pop()

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return a function that is timed as a phase."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return run


def instrument(phases: Phases, module: Any, path: str, name: str) -> None:
    """Time a function of a module, or a method of one of its classes."""
    owner: Any = module
    *outer, own = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    found = owner.__dict__[own]
    if isinstance(found, classmethod):
        setattr(owner, own, classmethod(phases.timed(found.__func__, name)))
    else:
        setattr(owner, own, phases.timed(found, name))


def time_imports(phases: Phases) -> None:
    """Time imports as a phase, and the functions in TIMED as soon as their modules are imported."""
    original = builtins.__import__
    left = {(f"calvaria.{module}", path): name for module, path, name in TIMED}

    def run(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in sys.modules or phases.stack[-1] == IMPORTS:
            return original(name, *args, **kwargs)
        with phases.phase(IMPORTS):
            found = original(name, *args, **kwargs)
        for module, path in [one for one in left if one[0] in sys.modules]:
            instrument(phases, importlib.import_module(module), path, left.pop((module, path)))
        return found

    builtins.__import__ = run


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    phases = Phases()
    time_imports(phases)
    from calvaria.reconstruction.reconstruct import Options, reconstruct
    from calvaria.storage.shipped import pretrained

    scan, folder = Path(sys.argv[1]), Path(sys.argv[2])
    names = {"out": "implant.nii.gz", "mesh": "implant.stl", "checks": "checks.json"}
    files = {key: folder / name for key, name in names.items()}
    reconstruct(scan, pretrained(), Options(files["out"], files["mesh"], files["checks"]))
    phases.settle()
    order = [IMPORTS, *dict.fromkeys(name for _, _, name in TIMED), REST]
    print(
        json.dumps(
            {
                "phases": {
                    name: (phases.cpu_s[name], phases.wall_s[name], phases.peak_mb[name]) for name in order
                },
                "sha256": {
                    file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files.values()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
