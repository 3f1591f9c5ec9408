"""Benchmark of metrics: time, memory and values of calvaria, MONAI and a plain implementation.

    python benchmarks/metrics.py DATA benchmarks/metrics.md

DATA holds ``skullfix_native``. The case is native 000 with its own implant shifted by (2, 1, 0) voxels in
(z, y, x) as the prediction. The methods run one after the other, each in a separate process on one thread.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

SPACING = (0.633, 0.451, 0.451)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
CHALLENGE_S = 47.0  # the challenge's own script on this case, measured once
METHODS = ("ours", "MONAI", "plain")
NAMES = ("dsc", "bdsc_10mm", "bdsc_10vox", "hd95_mm", "surface_dice_1mm", "assd_mm", "rim_gap_mm")
Values = dict[str, float]
Masks = tuple[np.ndarray, np.ndarray, np.ndarray]


def ours(masks: Masks, spacing: tuple[float, float, float]) -> Values:
    from calvaria.metrics.scores import score

    return asdict(score(*masks, spacing))


def monai(masks: Masks, spacing: tuple[float, float, float]) -> Values:
    """Compute the four scores that MONAI implements; its HD95 is the larger of two percentiles."""
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    torch.set_num_threads(1)
    prediction, reference = (torch.from_numpy(mask)[None, None] for mask in masks[:2])
    found = {
        "dsc": compute_dice(prediction, reference),
        "hd95_mm": compute_hausdorff_distance(prediction, reference, percentile=95, spacing=spacing),
        "surface_dice_1mm": compute_surface_dice(prediction, reference, [1.0 + 1e-6], spacing=spacing),
        "assd_mm": compute_average_surface_distance(prediction, reference, symmetric=True, spacing=spacing),
    }
    return {name: float(value) for name, value in found.items()}


def plain(masks: Masks, spacing: tuple[float, float, float]) -> Values:
    """Compute all scores by their definitions, with SciPy's distance transforms of whole volumes."""
    from scipy import ndimage

    prediction, reference, defective = masks

    def distance(mask: np.ndarray, sampling: tuple[float, ...]) -> np.ndarray:
        return ndimage.distance_transform_edt(~mask, sampling=sampling)

    def dice(a: np.ndarray, b: np.ndarray) -> float:
        return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))

    def near_dice(sampling: tuple[float, ...]) -> float:
        near = (distance(defective, sampling) / 10) ** 2 <= 1 + 1e-6
        return dice(prediction & near, reference & near)

    a, b = (mask & ~ndimage.binary_erosion(mask) for mask in (prediction, reference))
    pooled = np.concatenate([distance(b, spacing)[a], distance(a, spacing)[b]])
    rim = b & ndimage.binary_dilation(defective)
    return {
        "dsc": dice(prediction, reference),
        "bdsc_10mm": near_dice(spacing),
        "bdsc_10vox": near_dice((1, 1, 1)),
        "hd95_mm": float(np.percentile(pooled, 95)),
        "surface_dice_1mm": float(np.mean(pooled <= 1 + 1e-6)),
        "assd_mm": float(np.mean(pooled)),
        "rim_gap_mm": float(np.percentile(distance(prediction, spacing)[rim], 95)),
    }


IMPLEMENTATIONS: dict[str, Callable[[Masks, tuple[float, float, float]], Values]] = {
    "ours": ours,
    "MONAI": monai,
    "plain": plain,
}


def measure(method: str, files: list[str], step: int) -> None:
    """Score the case once in one process and print seconds, peak memory and values as JSON."""
    tiny = np.zeros((12, 12, 12), bool)
    tiny[3:8, 3:8, 3:8] = True
    IMPLEMENTATIONS[method]((tiny, tiny, ~tiny), SPACING)  # imports
    prediction, reference, defective = (np.load(file) for file in files)
    z, y, x = (s * step for s in SPACING)
    start = time.perf_counter()
    values = IMPLEMENTATIONS[method]((prediction, reference, defective), (z, y, x))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": peak_gb(), "shape": reference.shape, "values": values}))


def peak_gb() -> float:
    """Return the peak memory of this process; ``resource`` may report that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024**2


def measured(method: str, files: list[Path], step: int) -> dict:
    command = [sys.executable, __file__, "--measure", method, str(step), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    print(method, step, done.stdout.strip(), file=sys.stderr, flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def save_case(data: Path, folder: Path, step: int) -> list[Path]:
    """Save the three masks of the case as (z, y, x) bool files, subsampled along each axis."""
    from calvaria.sources.volumes import read_mask

    native = data / "skullfix_native" / "training_set"
    reference, defective = (
        np.ascontiguousarray(read_mask(native / kind / "000.nrrd").values.T > 0)
        for kind in ("implant", "defective_skull")
    )
    prediction = np.zeros_like(reference)
    prediction[2:, 1:] = reference[:-2, :-1]
    files = [folder / f"{name}-{step}.npy" for name in ("prediction", "reference", "defective")]
    for file, mask in zip(files, (prediction, reference, defective), strict=True):
        np.save(file, np.ascontiguousarray(mask[::step, ::step, ::step]))
    return files


def speed_table(found: dict[int, dict[str, dict]]) -> str:
    lines = ["| size | method | scores | seconds | of ours | peak GB |", "|---|---|---:|---:|---:|---:|"]
    for methods in found.values():
        base = methods["ours"]["seconds"]
        for method, one in methods.items():
            size = " x ".join(map(str, one["shape"]))
            lines.append(
                f"| {size} | {method} | {len(one['values'])} | {one['seconds']:.2f} | "
                f"{one['seconds'] / base:.1f} | {one['peak']:.2f} |"
            )
    return "\n".join(lines)


def value_table(methods: dict[str, dict]) -> str:
    lines = [f"| score | {' | '.join(METHODS)} | ours - plain |", "|---|" + "---:|" * (len(METHODS) + 1)]
    for name in NAMES:
        values = [methods[method]["values"].get(name, math.nan) for method in METHODS]
        cells = ["–" if math.isnan(value) else f"{value:.6f}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} | {values[0] - values[-1]:.0e} |")
    return "\n".join(lines)


def main() -> None:
    from environment import header

    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        found: dict[int, dict[str, dict]] = {step: {} for step in (1, 2, 4)}
        for step, methods in found.items():
            files = save_case(data, Path(scratch), step)
            for method in METHODS:
                runs = [measured(method, files, step) for _ in range(3 if method == "ours" else 1)]
                methods[method] = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
    best = found[1]["ours"]
    out.write_text(
        f"{header('Metrics', 'python benchmarks/metrics.py DATA benchmarks/metrics.md')}\n\n"
        "Native case 000 of SkullFix, its own implant shifted by (2, 1, 0) voxels as the prediction, spacing "
        f"{SPACING} mm; and every second and fourth voxel of it. One thread, one process per method, one "
        "after the other; the seconds are without files and imports, the peaks with the three masks and the "
        "imports (MONAI's with torch). Ours is the median of three processes.\n\n"
        f"{speed_table(found)}\n\n"
        f"All seven scores of the native case take {best['seconds']:.2f} s, "
        f"1/{CHALLENGE_S / best['seconds']:.0f} of the {CHALLENGE_S:.0f} s of the challenge's own script "
        f"(goal: 1/20), and {best['peak']:.2f} GB at the peak (goal: 1.5).\n\n"
        f"## Values of the native case\n\n{value_table(found[1])}\n\n"
        "MONAI's HD95 is the larger of the two directions' percentiles; the challenge pools both directions. "
        "MONAI has no score that looks at the defective skull.\n"
    )


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(sys.argv[2], sys.argv[4:], int(sys.argv[3]))
    else:
        main()
