"""Benchmark of ingest: time and memory of every step, accuracy of resampling, pose and repeat scans.

    python benchmarks/ingest.py DATA benchmarks/ingest.md

DATA holds ``skullfix_1mm``, ``skullfix_native``, ``heads`` and ``clinical_frontal_defect_ct.nii.gz``.
"""

import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from environment import header, peak_gb
from limits import limits_table
from scipy.ndimage import binary_dilation
from scipy.spatial.transform import Rotation

from calvaria.geometry.grid import Grid
from calvaria.geometry.resample import resample, restore
from calvaria.geometry.sampling import Samples
from calvaria.skull.matching import match, mirror, shape, vault_distance
from calvaria.skull.pose import Pose, find_pose
from calvaria.skull.quality import check_bone, check_closed, check_pose, check_vault, first_fault
from calvaria.skull.vault_map import VaultPicture, picture_vault
from calvaria.sources import Scan, catalogue, read
from calvaria.sources.ct import CtSource
from calvaria.sources.folder import FolderSource
from calvaria.sources.phantom import PhantomSource
from calvaria.sources.skullfix import SkullfixSource

GRIDS = {1.0: (184, 224, 208), 2.0: (96, 112, 104), 3.75: (48, 56, 48)}
FEW = 15  # skulls in measurements that are too slow for all skulls


def grid_of(spacing_mm: float) -> Grid:
    return Grid(GRIDS[spacing_mm], spacing_mm)


def placed(pose: Pose, grid: Grid) -> np.ndarray:
    return pose.to_box(np.array([0.0, 0.0, grid.extent_mm[2] / 2 - 10.0]))


def sources_of(kind: str, data: Path) -> dict:
    return {
        "phantom, 2 mm": {"x": PhantomSource(kind="phantom", count=3)},
        "label volume, 1 mm": {"x": FolderSource(kind="folder", path=data / "skullfix_1mm", limit=3)},
        "native triplet, 512 x 512 x 237": {
            "x": SkullfixSource(kind="skullfix", path=data / "skullfix_native", limit=2)
        },
        "clinical CT, 256 x 256 x 108": {"x": CtSource(kind="ct", path=data, pattern="clinical*")},
        "large CT, 512 x 512 x 600": {"x": CtSource(kind="ct", path=data, pattern="large*")},
    }[kind]


def write_large_ct(folder: Path) -> None:
    """Write a head CT of 512 x 512 x 600 voxels of 0.4 mm: phantom bone, soft tissue, air and a table."""
    import nibabel

    scan = read(
        {"x": PhantomSource(kind="phantom", count=1, spacing_mm=2.0)},
        catalogue({"x": PhantomSource(kind="phantom", count=1)})[0],
        1,
    )
    grid = Grid((512, 512, 600), 0.4)
    bone = resample(scan.labels, scan.affine, np.eye(4), grid)
    x, y, z = (grid.centres(axis).astype(np.float32) for axis in range(3))
    values = np.full(grid.shape, -1000, np.int16)
    for k in range(grid.shape[2]):
        values[:, :, k][(x[:, None] / 85) ** 2 + (y[None, :] / 100) ** 2 + ((z[k] - 20) / 130) ** 2 < 1] = 40
        values[:, :12, k] = 200
    values[bone > 0] = 1000
    image = nibabel.Nifti1Image(values, grid.affine)
    nibabel.save(image, folder / "large.nii.gz")


def steps(kind: str, data: Path) -> None:
    """Time the steps for the skulls of one kind in one process and print them as JSON."""
    sources = sources_of(kind, data)
    entries = catalogue(sources)
    totals: dict[str, list[float]] = {}

    def timed(name: str, function, *arguments):
        start = time.perf_counter()
        result = function(*arguments)
        totals.setdefault(name, []).append(time.perf_counter() - start)
        return result

    find_pose(*_tiny())  # builds the template and imports what it needs
    for entry in entries:
        scan = timed("read", read, sources, entry, 0)
        timed("bone check", check_bone, scan.labels, scan.affine)
        pose = timed("pose", find_pose, scan.labels, scan.affine)
        vault = timed("vault", picture_vault, scan.labels, scan.affine, pose.to_box(np.zeros(3)))
        check_vault(vault)
        check_closed(vault)
        for spacing_mm in (1.0, 3.75):
            grid = grid_of(spacing_mm)
            to_box = placed(pose, grid)
            timed(f"resample to {spacing_mm:g} mm", resample, scan.labels, scan.affine, to_box, grid)
    medians = {name: float(np.median(found)) for name, found in totals.items()}
    print(json.dumps({"peak": peak_gb(), **medians}))


def _tiny() -> tuple[np.ndarray, np.ndarray]:
    sources = {"x": PhantomSource(kind="phantom", count=1, spacing_mm=5.0)}
    scan = read(sources, catalogue(sources)[0], 0)
    return scan.labels, scan.affine


def time_table(data: Path, scratch: Path) -> str:
    names = ["read", "bone check", "pose", "vault", "resample to 1 mm", "resample to 3.75 mm"]
    lines = [f"| skull | {' | '.join(names)} | peak memory |", "|---" * (len(names) + 2) + "|"]
    large = scratch / "large"
    large.mkdir(exist_ok=True)
    write_large_ct(large)
    for kind, folder in {
        "phantom, 2 mm": data,
        "label volume, 1 mm": data,
        "native triplet, 512 x 512 x 237": data,
        "clinical CT, 256 x 256 x 108": data,
        "large CT, 512 x 512 x 600": large,
    }.items():
        done = subprocess.run(
            [sys.executable, __file__, "--steps", kind, folder], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout)
        times = " | ".join(f"{found[name]:.2f} s" for name in names)
        lines.append(f"| {kind} | {times} | {found['peak']:.2f} GB |")
    return "\n".join(lines)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * np.count_nonzero((a > 0) & (b > 0)) / (np.count_nonzero(a) + np.count_nonzero(b)))


def nearest(scan: Scan, pose: np.ndarray, grid: Grid) -> np.ndarray:
    """Resample with one sample per voxel."""
    return Samples.of(scan.labels).count(np.linalg.inv(pose @ scan.affine), grid, 1)[0]


def half(scan: Scan, pose: np.ndarray, grid: Grid) -> np.ndarray:
    """Resample by partial volume with a fixed threshold of one half."""
    fineness = max(3, int(np.ceil(grid.spacing_mm / np.linalg.norm(scan.affine[:3, :3], axis=0).min())))
    counts = Samples.of(scan.labels).count(np.linalg.inv(pose @ scan.affine), grid, fineness)[0]
    return counts * 2 >= fineness**3


def ours(scan: Scan, pose: np.ndarray, grid: Grid) -> np.ndarray:
    return resample(scan.labels, scan.affine, pose, grid)


def put_back_nearest(mask: np.ndarray, grid: Grid, scan: Scan, pose: np.ndarray) -> np.ndarray:
    from scipy.ndimage import affine_transform

    matrix = np.linalg.inv(grid.affine) @ pose @ scan.affine
    return affine_transform(
        (mask > 0).astype(np.uint8), matrix[:3, :3], matrix[:3, 3], scan.labels.shape, order=0
    )


def round_trip_table(data: Path, scans: dict[str, tuple[Scan, Pose]]) -> str:
    """Format a table of bone volume after resampling, and Dice with the scan after restoring."""
    lines = ["| skulls | grid | method | bone volume kept | Dice after putting it back |", "|---" * 5 + "|"]
    sources = sources_of("native triplet, 512 x 512 x 237", data)
    native = [read(sources, entry, 0) for entry in catalogue(sources)]
    sets = {
        "2 native": [(scan, find_pose(scan.labels, scan.affine)) for scan in native],
        f"{FEW} at 1 mm": list(scans.values())[:FEW],
    }
    for name, spacings in (("2 native", (1.0, 2.0)), (f"{FEW} at 1 mm", (2.0, 3.75))):
        for spacing_mm in spacings:
            grid = grid_of(spacing_mm)
            for method, there, back in (
                ("nearest neighbour, there and back", nearest, None),
                ("half occupancy, smooth back", half, restore),
                ("volume kept, smooth back (calvaria)", ours, restore),
            ):
                kept, overlap = [], []
                for scan, pose in sets[name]:
                    to_box = placed(pose, grid)
                    inside = resample(scan.labels, scan.affine, to_box, grid).any()
                    assert inside
                    mask = there(scan, to_box, grid)
                    voxel = grid.spacing_mm**3 / abs(np.linalg.det(scan.affine[:3, :3]))
                    kept.append(np.count_nonzero(mask) * voxel / np.count_nonzero(scan.labels))
                    if back is None:
                        again = put_back_nearest(mask, grid, scan, to_box)
                    else:
                        again = back(mask, grid, scan.affine, to_box, scan.labels.shape)
                    overlap.append(dice(again, scan.labels))
                volume = f"{np.mean(kept):.3f} ({min(kept):.3f} to {max(kept):.3f})"
                back_again = f"{np.mean(overlap):.4f} (least {min(overlap):.4f})"
                lines.append(f"| {name} | {spacing_mm:g} mm | {method} | {volume} | {back_again} |")
    return "\n".join(lines)


def angle_deg(rotation: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def moved(scan: Scan, rotation: np.ndarray, shift: np.ndarray) -> Scan:
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, shift
    return replace(scan, affine=motion @ scan.affine)


def pose_table(scans: dict[str, tuple[Scan, Pose]]) -> str:
    turned = [angle_deg(pose.rotation) for _, pose in scans.values()]
    grid = grid_of(3.75)
    standing = {"as scanned, vaults centred": [], "aligned": []}
    for scan, pose in list(scans.values())[:FEW]:
        flat = replace(pose, rotation=np.eye(3))
        standing["as scanned, vaults centred"].append(ours(scan, placed(flat, grid), grid))
        standing["aligned"].append(ours(scan, placed(pose, grid), grid))
    overlap = {
        name: np.mean([dice(a, b) for a, b in combinations(masks, 2)]) for name, masks in standing.items()
    }
    return "\n".join(
        [
            "| what | figure |",
            "|---|---|",
            f"| heads as scanned, turned against the Frankfurt plane | median {np.median(turned):.1f}, "
            f"most {max(turned):.1f} degrees |",
            *(
                f"| mean Dice of pairs of different people at 3.75 mm, {name} | {value:.3f} |"
                for name, value in overlap.items()
            ),
        ]
    )


def resampled(scan: Scan, spacing: tuple[float, float, float]) -> Scan:
    """Simulate another scan, slightly rotated and with another voxel size, by nearest neighbour."""
    from scipy.ndimage import affine_transform

    rotation = Rotation.from_euler("xyz", [6, -3, 5], degrees=True).as_matrix()
    points = np.argwhere(scan.labels > 0)[::50] @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(spacing)
    shape_ = np.ceil(270 / np.array(spacing)).astype(int)
    affine[:3, 3] = (points.min(axis=0) + points.max(axis=0)) / 2 - affine[:3, :3] @ (shape_ / 2)
    matrix = np.linalg.inv(scan.affine) @ affine
    return Scan(
        affine_transform(
            (scan.labels > 0).astype(np.uint8), matrix[:3, :3], matrix[:3, 3], tuple(shape_), order=0
        ),
        affine,
    )


def lower_cut(scan: Scan) -> Scan:
    labels = scan.labels.copy()
    labels[:, :, : labels.shape[2] // 4] = 0
    return replace(scan, labels=labels)


AGAIN = {
    "mirrored": lambda scan: replace(scan, labels=scan.labels[::-1]),
    "turned and shifted": lambda scan: moved(
        scan, Rotation.from_euler("xyz", [12, 5, -9], degrees=True).as_matrix(), np.array([40.0, -90, 15])
    ),
    "0.8 mm, turned": lambda scan: resampled(scan, (0.8, 0.8, 0.8)),
    "2 mm, turned": lambda scan: resampled(scan, (2.0, 2.0, 2.0)),
    "slices of 3 mm, turned": lambda scan: resampled(scan, (0.6, 0.6, 3.0)),
    "slices of 5 mm, turned": lambda scan: resampled(scan, (0.5, 0.5, 5.0)),
    "1 mm more bone on every side": lambda scan: replace(
        scan, labels=binary_dilation(np.pad(scan.labels > 0, 1))[1:-1, 1:-1, 1:-1].astype(np.uint8)
    ),
    "a quarter less field of view": lower_cut,
}


def picture(scan: Scan, pose: Pose | None = None) -> VaultPicture:
    pose = pose or find_pose(scan.labels, scan.affine)
    return picture_vault(scan.labels, scan.affine, pose.to_box(np.zeros(3)))


def people_table(scans: dict[str, tuple[Scan, Pose]]) -> str:
    vaults = {name: picture(scan, pose) for name, (scan, pose) in scans.items()}
    plain = {name: shape(vault) for name, vault in vaults.items()}
    mirrored = {name: shape(mirror(vault)) for name, vault in vaults.items()}
    start = time.perf_counter()
    pairs = sorted(
        (match(plain[a], plain[b], mirrored[b]).distance_mm, a, b) for a, b in combinations(scans, 2)
    )
    took = time.perf_counter() - start
    distances = [mm for mm, _, _ in pairs]
    closest = ", ".join(f"{a} and {b} {mm:.2f}" for mm, a, b in pairs[:5])
    lines = [
        "| what | distance in mm |",
        "|---|---|",
        f"| closest pairs of the {len(scans)} real skulls | {closest} |",
        *(
            f"| percentile {p} of all {len(pairs)} pairs | {np.percentile(distances, p):.2f} |"
            for p in (1, 10, 50)
        ),
    ]
    for name, again in AGAIN.items():
        found = []
        for own, (scan, _) in list(scans.items())[:FEW]:
            other = picture(again(scan))
            other = mirror(other) if name == "mirrored" else other
            found.append(vault_distance(plain[own], shape(other)))
        lines.append(
            f"| the same head again: {name}, {FEW} heads | mean {np.mean(found):.2f}, most {max(found):.2f} |"
        )
    lines.append(f"| time for a pair | {1000 * took / len(pairs):.1f} ms |")
    return "\n".join(lines)


def main(data: Path, target: Path) -> None:
    sources = {"skullfix": FolderSource(kind="folder", path=data / "skullfix_1mm")}
    scans = {}
    for entry in catalogue(sources):
        scan = read(sources, entry, 0)
        pose = find_pose(scan.labels, scan.affine)
        assert first_fault(check_pose(pose)) is None
        scans[entry.own_id] = scan, pose
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        times = time_table(data, Path(scratch))
    parts = [
        header("Ingest", "python benchmarks/ingest.py DATA benchmarks/ingest.md"),
        "## Time and memory",
        "Median seconds a skull on one thread, and the peak memory of the whole process.",
        times,
        "## Limits",
        "What is measured of sound heads, and how many are beyond a limit: all of them are false alarms.",
        limits_table(data),
        "## What resampling keeps",
        round_trip_table(data, scans),
        "## Pose",
        pose_table(scans),
        "## People",
        people_table(scans),
    ]
    target.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--steps":
        steps(sys.argv[2], Path(sys.argv[3]))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
