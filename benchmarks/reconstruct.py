"""``calvaria reconstruct`` on real files: seconds, memory, checks, and pictures from four sides.

    python benchmarks/reconstruct.py --picture docs/pictures/reconstruct.png CT.nii.gz DEFECTIVE.nrrd ...

Each file is one process of the command, with the pretrained model. The picture shows the first file's bone
and the predicted implant. If ``../implant/NAME`` exists, as in SkullFix, the implant is scored.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from environment import header

from calvaria.metrics.score_files import score_files
from calvaria.reconstruction.reconstruct import read_bone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    lines = [
        header("Reconstruct: from a file to an implant, on a CPU", "python benchmarks/reconstruct.py FILES"),
        "",
        "| file | voxels | s | peak GB | hole cm2 | implant ml | verdict | DSC | HD95 mm |",
        "|---|---|---|---|---|---|---|---|---|",
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
        lines.append(
            f"| {file.name} | {shape} | {seconds:.0f} | {int(kilobytes) / 1024**2:.1f} | {found['hole_cm2']} "
            f"| {found['implant_ml']} | {verdict} | {scores} |"
        )
        print(lines[-1], flush=True)
        print(json.dumps(found, indent=1), flush=True)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
