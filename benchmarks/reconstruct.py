"""``calvaria reconstruct`` on real files: seconds, memory, checks, and pictures from four sides.

    python benchmarks/reconstruct.py --before FOLDER --picture docs/pictures/reconstruct.png CT.nii.gz ...

Each file is processed by one process of the command, with the pretrained model. The picture shows the first
file's bone and the predicted implant. If ``../implant/NAME`` exists, as in SkullFix, the implant is scored.

With ``--before``, a checkout of an earlier commit, both versions also run in turns on one core
(``reconstruct_phases.py``): seconds and memory of every phase, and whether the files are identical.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from environment import header

from calvaria.metrics.score_files import score_files
from calvaria.reconstruction.reconstruct import read_bone

PHASES = Path(__file__).with_name("reconstruct_phases.py")


def phases(code: Path, file: Path) -> dict[str, Any]:
    """Run the code of a checkout once and return its phases and digests."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(PHASES), str(file), folder],
            env={**os.environ, "PYTHONPATH": str(code / "src"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{code}, {file}: exit code {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(before: Path, files: list[Path], turns: int) -> list[str]:
    """Run two versions in turns and return a table of their phases for every file."""
    after = Path(__file__).parents[1]
    commit = ["git", "-C", str(before), "rev-parse", "--short", "HEAD"]
    name = subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip()
    lines = []
    for file in files:
        runs: dict[Path, list[dict[str, Any]]] = {before: [], after: []}
        for _ in range(turns):
            for code, found in runs.items():
                found.append(phases(code, file))
                print(code, file.name, json.dumps(found[-1]), flush=True)
        digests = {json.dumps(one["sha256"], sort_keys=True) for found in runs.values() for one in found}
        same = "the same bytes" if len(digests) == 1 else "**different bytes**"
        lines += [
            "",
            f"## {file.name} on one core: commit {name} and this one",
            "",
            f"Medians of {turns} run(s) each, taking turns; implant, mesh and JSON have {same}. "
            f"Load of the machine at the end: {os.getloadavg()[0]:.1f} processes.",
            "",
            "| phase | CPU s before | after | wall s before | after | peak GB before | after |",
            "|---|---|---|---|---|---|---|",
        ]
        for phase in runs[after][0]["phases"]:
            cpu, wall, peak = (
                [statistics.median(one["phases"][phase][n] for one in runs[code]) for code in (before, after)]
                for n in range(3)
            )
            lines.append(_row(phase, cpu, wall, [mb / 1024 for mb in peak]))
        totals = {
            code: [
                (
                    *(sum(part[n] for part in one["phases"].values()) for n in (0, 1)),
                    max(part[2] for part in one["phases"].values()) / 1024,
                )
                for one in found
            ]
            for code, found in runs.items()
        }
        whole = [
            [statistics.median(one[n] for one in totals[code]) for code in (before, after)] for n in range(3)
        ]
        lines.append(_row("**all**", *whole))
        spread = " and ".join(
            f"{min(one[0] for one in totals[code]):.1f} to {max(one[0] for one in totals[code]):.1f}"
            for code in (before, after)
        )
        share = whole[0][1] / whole[0][0]
        lines += ["", f"CPU seconds of all runs: {spread}; after takes {share:.2f} of before."]
    return lines


def _row(name: str, cpu: list[float], wall: list[float], peak: list[float]) -> str:
    numbers = [f"{one:.2f}" for one in (*cpu, *wall, *peak)]
    return f"| {name} | {' | '.join(numbers)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--before", type=Path, help="checkout of an earlier commit, to be compared")
    parser.add_argument("--turns", type=int, default=3, help="runs of each version per file")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    lines = [
        header("Reconstruct: from a file to an implant, on a CPU", "python benchmarks/reconstruct.py FILES"),
        "",
        "| file | voxels | wall s | CPU s | peak GB | hole cm2 | implant ml | verdict | DSC | HD95 mm |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for number, file in enumerate(given.files):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "implant.nii.gz"
            model = ["--model", str(given.model)] if given.model else []
            command = ["calvaria", "reconstruct", str(file), *model, "--out", str(out)]
            command += [
                "--stl",
                str(out.with_name("implant.stl")),
                "--json",
                str(out.with_name("checks.json")),
            ]
            if number == 0 and given.picture:
                command += ["--picture", str(given.picture)]
            began = time.perf_counter()
            done = subprocess.run(
                ["/usr/bin/time", "-v", *command], capture_output=True, text=True, check=False
            )
            seconds = time.perf_counter() - began
            if done.returncode not in (0, 4):
                raise SystemExit(f"{file}: exit code {done.returncode}: {done.stderr[-2000:]}")
            (kilobytes,) = re.findall(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)
            found = json.loads(out.with_name("checks.json").read_text(encoding="utf-8"))
            failed = [name for name, one in found["checks"].items() if not one["passed"]]
            truth = file.parent.parent / "implant" / file.name
            scored = score_files(out, truth, file) if truth.is_file() else None
        verdict = f"fails {', '.join(failed)}" if failed else "passes all checks"
        shape = " x ".join(map(str, read_bone(file, 300).labels.shape))
        scores = f"{scored['dsc']:.3f} | {scored['hd95_mm']:.2f}" if scored else "– | –"
        cpu = sum(
            float(one) for one in re.findall(r"(?:User|System) time \(seconds\): ([\d.]+)", done.stderr)
        )
        lines.append(
            f"| {file.name} | {shape} | {seconds:.0f} | {cpu:.0f} | {int(kilobytes) / 1024**2:.2f} "
            f"| {found['hole_cm2']} "
            f"| {found['implant_ml']} | {verdict} | {scores} |"
        )
        print(lines[-1], flush=True)
        print(json.dumps(found, indent=1), flush=True)
    if given.before:
        lines += compare(given.before.resolve(), given.files, given.turns)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
