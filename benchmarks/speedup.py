"""Seconds of a training step before and after, of two checkouts in turns on one core.

    python benchmarks/speedup.py --before FOLDER

FOLDER is a checkout of an earlier commit. Both versions make a run of the demo's data and networks with their
own code. Then they take turns: ``calvaria fit --dry-run`` for every family with a network, which reports the
fastest of a few steps, and ``calvaria train`` for the reconstruction network, whose log has the mean of all
steps.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from environment import header

ROOT = Path(__file__).parents[1]
FAMILIES = ("vae", "vqvae", "wgan", "introvae", "ldm")
STEPS = 24  # of the reconstruction network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    checkouts = {"before": given.before.resolve(), "after": ROOT}
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: start(code, Path(folder) / name) for name, code in checkouts.items()}
        seconds: dict[str, dict[str, list[float]]] = {}
        for _ in range(given.turns):
            for name, code in checkouts.items():
                for network in ("reconstruction", *FAMILIES):
                    took = (
                        train_step(code, runs[name])
                        if network == "reconstruction"
                        else fit_step(code, runs[name], network)
                    )
                    seconds.setdefault(network, {}).setdefault(name, []).append(took)
                    print(network, name, took, flush=True)
    given.out.write_text(page(given.before, given.turns, seconds), encoding="utf-8")


def config() -> dict[str, Any]:
    """Return the demo's data and networks, with too few steps for anything but their times."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["fit"] = {name: section for name, section in raw["fit"].items() if name in ("real", *FAMILIES)}
    raw["fit"]["vqvae"]["optimiser"].update(steps=2, validate_every=2)  # of which ldm makes latents
    raw["train"]["optimiser"].update(steps=STEPS, validate_every=STEPS)
    raw["train"]["arms"] = {"none": raw["train"]["arms"]["none"]}
    return raw


def start(code: Path, place: Path) -> Path:
    """Make the run of a checkout up to its first training; return its directory."""
    place.mkdir()
    (place / "config.yaml").write_text(yaml.safe_dump(config(), sort_keys=False))
    run = Path("results") / "demo"
    targets = [run / "train" / "none" / "0" / "train.json", run / "fit" / "vqvae" / "fit.json"]
    options = ["--snakefile", code / "Snakefile", "--directory", place, "--configfile", place / "config.yaml"]
    call(code, "snakemake", *targets, *options, "--cores", "2", "--quiet", "all")
    return place / run


def call(code: Path, *words: str | Path) -> str:
    """Run a command with the code of a checkout on one thread; return its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(code / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(word) for word in words], env=env, capture_output=True, text=True, check=False, cwd=code
    )
    if done.returncode:
        sys.exit(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def fit_step(code: Path, run: Path, family: str) -> float:
    """Return the seconds of a family's training step."""
    output = call(code, "calvaria", "fit", "--run", run, "--family", family, "--dry-run")
    return float(re.findall(r"([\d.e-]+) s a step", output)[-1])


def train_step(code: Path, run: Path) -> float:
    """Return the mean seconds of a training step of the reconstruction network."""
    output = call(code, "calvaria", "train", "--run", run, "--arm", "none", "--seed", "0")
    return 1 / float(re.findall(rf"{STEPS}/{STEPS} steps, ([\d.e-]+)/s", output)[-1])


def page(before: Path, turns: int, seconds: dict[str, dict[str, list[float]]]) -> str:
    """Return the page: median seconds of a step and their ratio."""
    commit = subprocess.run(
        ["git", "-C", str(before), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    lines = [
        header(
            "Seconds of a training step, before and after",
            f"python benchmarks/speedup.py --before {before.name} --turns {turns}",
        ),
        "",
        f"Before: commit {commit}, in float32. Networks of the demo; median of {turns} turns on one core.",
        "",
        "| network | before, s | after, s | times as fast |",
        "|---|---|---|---|",
    ]
    for network, took in seconds.items():
        old, new = median(took["before"]), median(took["after"])
        lines.append(f"| {network} | {old:.3f} | {new:.3f} | {old / new:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
