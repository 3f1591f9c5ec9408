"""Scatter of the pose when a head is perturbed, and objects that are accepted as heads.

    python benchmarks/pose.py DATA benchmarks/pose.md [PROCESSES]

DATA holds ``skullfix_1mm``, ``heads`` and ``clinical_frontal_defect_ct.nii.gz``. The reference is each
head's unperturbed pose, so scatter is measured, not anatomical accuracy.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from environment import header
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from calvaria.geometry.orientation import Orientation, centred
from calvaria.skull.pose import Pose, find_pose
from calvaria.skull.quality import check_bone, check_pose, check_size, first_fault
from calvaria.skull.template import FILE, load_template
from calvaria.sources import Scan, catalogue, read
from calvaria.sources.ct import CtSource
from calvaria.sources.folder import FolderSource
from calvaria.storage.shipped import pretrained
from calvaria.storage.tensors import read_about

CTS = (
    "heads/cq500_head_ct_1",
    "heads/cq500_head_ct_2",
    "heads/head_and_neck_ct",
    "heads/visible_human_male_head_ct",
    "clinical_frontal_defect_ct",
)
DONORS = CTS[2:4]  # of jaw and neck
NECK_MM, NECK_LENGTH_MM = -25.0, 160.0  # height above the Frankfurt plane; length below that height
ORBITS_MM = (0.0, 65.0, 15.0)  # a point at the middle of the orbits
WRONG = {
    "front and back exchanged": np.diag([1.0, -1, 1]),
    "upside down": np.diag([1.0, 1, -1]),
    "LPS taken for RAS": np.diag([-1.0, -1, 1]),
    "x and y exchanged": np.eye(3)[[1, 0, 2]],
}


def load(data: Path, name: str) -> Scan:
    """Return a head in the canonical storage order and the centred frame."""
    if name in CTS or "ankle" in name:
        path = data / f"{name}.nii.gz"
        sources = {"x": CtSource(kind="ct", path=path.parent, pattern=path.name)}
    else:
        sources = {"x": FolderSource(kind="folder", path=data / "skullfix_1mm", pattern=f"{name}.nii.gz")}
    scan = read(sources, catalogue(sources)[0], 0)
    return canonical(scan)


def canonical(scan: Scan) -> Scan:
    orientation = Orientation.of(scan.affine)
    labels = (np.ascontiguousarray(orientation.to_canonical(scan.labels)) > 0).astype(np.uint8)
    affine = orientation.canonical_affine(scan.affine, scan.labels.shape)
    return Scan(labels, centred(affine, labels.shape))


@dataclass(frozen=True)
class Disturbed:
    kind: str
    scan: Scan
    motion: np.ndarray  # (4, 4) rigid motion of the head in the world


def head_positions(scan: Scan, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Return the (n, 3) indices of bone voxels and their positions in the Frankfurt frame."""
    index = np.argwhere(scan.labels)
    world = index @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    return index, (world - pose.anchor_mm) @ pose.rotation.T + load_template().anchor_mm


def to_scan(pose: Pose, scan: Scan) -> np.ndarray:
    """Return the (4, 4) matrix from the Frankfurt frame to voxel indices."""
    matrix = np.eye(4)
    matrix[:3, :3] = pose.rotation.T
    matrix[:3, 3] = pose.anchor_mm - pose.rotation.T @ load_template().anchor_mm
    return np.linalg.inv(scan.affine) @ matrix


def only(scan: Scan, index: np.ndarray) -> Scan:
    labels = np.zeros_like(scan.labels)
    labels[tuple(index.T)] = 1
    return replace(scan, labels=labels)


def cut(scan: Scan, first: int, last: int) -> Scan:
    """Return the slices from ``first`` to ``last`` (exclusive)."""
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    return Scan(scan.labels[:, :, first:last], affine)


def cropped_at_the_orbits(scan: Scan, pose: Pose) -> Scan:
    height = (to_scan(pose, scan) @ [*ORBITS_MM, 1.0])[2]
    return cut(scan, max(0, round(height)), scan.labels.shape[2])


def without_vertex(scan: Scan, depth_mm: float) -> Scan:
    top = int(np.flatnonzero(scan.labels.any(axis=(0, 1)))[-1])
    return cut(scan, 0, round(top + 1 - depth_mm / np.linalg.norm(scan.affine[:3, 2])))


def with_defect(scan: Scan, pose: Pose, area_cm2: float, rng: np.random.Generator) -> Scan:
    """Return the scan with a round hole at a random place in the vault."""
    index, positions = head_positions(scan, pose)
    centre = load_template().anchor_mm - [0.0, 0.0, 100.0]
    polar, azimuth = np.deg2rad(rng.uniform(5, 70)), rng.uniform(0, 2 * np.pi)
    axis = [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)]
    away = positions - centre
    radius = np.linalg.norm(away, axis=1)
    cosine = 1 - area_cm2 * 100 / (2 * np.pi * 85.0**2)  # of a cap on a sphere with a vault's radius
    return only(scan, index[~((away @ axis > cosine * radius) & (radius > 40))])


@cache
def donor(data: Path, name: str) -> tuple[Scan, Pose]:
    scan = load(data, name)
    return scan, find_pose(scan.labels, scan.affine)


def with_neck_of(scan: Scan, pose: Pose, other: Scan, other_pose: Pose) -> Scan:
    """Return the head down to the upper jaw, with the jaw and neck of another scan."""
    index, positions = head_positions(scan, pose)
    kept = only(scan, index[positions[:, 2] > NECK_MM])
    added = round(NECK_LENGTH_MM / np.linalg.norm(scan.affine[:3, 2]))
    wide = 40
    pad = ((wide, wide), (wide, wide), (added, 0))
    affine = scan.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [wide, wide, added]
    grown = Scan(np.pad(kept.labels, pad), affine)
    matrix = to_scan(other_pose, other) @ np.linalg.inv(to_scan(pose, grown))
    hanging = affine_transform(
        other.labels, matrix[:3, :3], matrix[:3, 3], output_shape=grown.labels.shape, order=0
    )
    index, positions = head_positions(replace(grown, labels=hanging), pose)
    below = index[positions[:, 2] <= NECK_MM]
    labels = grown.labels.copy()
    labels[tuple(below.T)] = 1
    return replace(grown, labels=labels)


def turned(scan: Scan, vector_deg: np.ndarray, shift_mm: np.ndarray) -> Disturbed:
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.deg2rad(vector_deg)).as_matrix()
    motion[:3, 3] = shift_mm
    return Disturbed("turned by up to 40 degrees", replace(scan, affine=motion @ scan.affine), motion)


def stored(scan: Scan, axes: tuple[int, int, int], flips: tuple[int, ...]) -> Scan:
    labels, affine = scan.labels, scan.affine.copy()
    for axis in flips:
        labels = np.flip(labels, axis)
        affine[:3, 3] += affine[:3, axis] * (labels.shape[axis] - 1)
        affine[:3, axis] *= -1
    return Scan(labels.transpose(axes), affine[:, [*axes, 3]])


def disturbances(data: Path, name: str, scan: Scan, pose: Pose) -> Iterator[Disturbed]:
    still = np.eye(4)
    rng = np.random.default_rng(sum(name.encode()))
    yield Disturbed("cropped at the orbits", cropped_at_the_orbits(scan, pose), still)
    for other in DONORS:
        if other != name and name not in DONORS:
            grown = with_neck_of(scan, pose, *donor(data, other))
            yield Disturbed("another scan's jaw and neck attached", grown, still)
    for low, high in ((0, 20), (20, 40)):
        yield Disturbed("vertex cut by 0 to 40 mm", without_vertex(scan, rng.uniform(low, high)), still)
    for low, high in ((20, 85), (85, 150)):
        damaged = with_defect(scan, pose, rng.uniform(low, high), rng)
        yield Disturbed("defect of 20 to 150 cm2", damaged, still)
    for axis in np.eye(3):
        yield turned(scan, axis * rng.uniform(-40, 40), rng.uniform(-100, 100, 3))
    spacing = np.linalg.norm(scan.affine[:3, 2])
    for thickness in (rng.uniform(1, 3), rng.uniform(3, 5)):
        step = max(1, round(thickness / spacing))
        affine = scan.affine.copy()
        affine[:3, 2] *= step
        yield Disturbed("slices of 1 to 5 mm", Scan(scan.labels[:, :, ::step], affine), still)
    for axes, flips in (((0, 1, 2), (0, 1)), ((1, 2, 0), (1, 2))):  # LPS, PIR
        yield Disturbed("stored as LPS or PIR", canonical(stored(scan, axes, flips)), still)


@dataclass(frozen=True)
class Row:
    head: str
    kind: str
    angle_deg: float
    shift_mm: float
    refused: str
    residual_mm: float
    coverage: float
    upright: bool


def refusal(scan: Scan, pose: Pose) -> str:
    """Return the reason for which a head is rejected; empty if it is accepted."""
    fault = first_fault(check_bone(scan.labels, scan.affine) + check_size(pose) + check_pose(pose))
    return "" if fault is None else fault.verdict


def compared(name: str, one: Disturbed, reference: Pose) -> Row:
    pose = find_pose(one.scan.labels, one.scan.affine)
    turn = one.motion[:3, :3]
    relative = pose.rotation @ turn @ reference.rotation.T
    angle = np.rad2deg(np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1)))
    shift = np.linalg.norm(turn @ reference.anchor_mm + one.motion[:3, 3] - pose.anchor_mm)
    return Row(
        name,
        one.kind,
        float(angle),
        float(shift),
        refusal(one.scan, pose),
        pose.residual_mm,
        pose.coverage,
        pose.upright,
    )


def measured(job: tuple[Path, str]) -> list[Row]:
    data, name = job
    scan = load(data, name)
    pose = find_pose(scan.labels, scan.affine)
    still = np.eye(4)
    rows = [compared(name, Disturbed("as it is", scan, still), pose)]
    rows += [compared(name, one, pose) for one in disturbances(data, name, scan, pose)]
    for kind, matrix in WRONG.items():
        motion = np.eye(4)
        motion[:3, :3] = matrix
        wrong = Disturbed(f"wrong: {kind}", replace(scan, affine=motion @ scan.affine), still)
        rows.append(compared(name, wrong, pose))
    return rows


def no_heads(data: Path) -> dict[str, Scan]:
    """Return objects other than heads, at 2 mm."""
    x, y, z = np.meshgrid(*[np.arange(-150, 150, 2.0)] * 3, indexing="ij", sparse=True)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -150.0
    ball = np.sqrt(x * x + y * y + z * z)
    spine = (np.hypot(x, y + 80) < 20) & ((z % 28) < 22)
    ribs = (abs(np.hypot(x / 1.4, y) - 90) < 5) & (((z - 0.3 * y) % 26) < 9) & (abs(z) < 120)
    sternum = (abs(x) < 15) & (abs(y - 88) < 6) & (abs(z) < 70)
    shapes = {
        "a ball of 80 mm radius": ball < 80,
        "a hollow ball of 80 mm radius, 7 mm thick": (ball < 80) & (ball > 73),
        "two balls": (np.sqrt((x - 60) ** 2 + y * y + z * z) < 50)
        | (np.sqrt((x + 60) ** 2 + y * y + z * z) < 50),
        "a table": ((abs(z) < 6) & (abs(x) < 120) & (abs(y) < 140))
        | ((abs(abs(x) - 110) < 8) & (abs(abs(y) - 130) < 8) & (z < 0) & (z > -140)),
        "a chest of primitives": spine | ribs | sternum,
    }
    found = {name: Scan(mask.astype(np.uint8), affine) for name, mask in shapes.items()}
    return found | {"ankles": load(data, "heads/visible_human_female_ankle_ct")}


def table(rows: list[Row]) -> str:
    lines = [
        "| disturbance | scans | accepted | angle, median | 95 % | most | shift, median | 95 % | most |",
        "|---" * 9 + "|",
    ]
    sound = [row for row in rows if not row.kind.startswith("wrong")]
    kinds = list(dict.fromkeys(row.kind for row in sound))
    for kind in [*kinds, "all but as it is"]:
        chosen = [row for row in sound if kind in (row.kind, "all but as it is") and row.kind != "as it is"]
        chosen = chosen or [row for row in sound if row.kind == kind]
        accepted = np.mean([not row.refused for row in chosen])
        angles, shifts = ([getattr(row, what) for row in chosen] for what in ("angle_deg", "shift_mm"))
        figures = " | ".join(
            f"{np.median(v):.2f} {unit} | {np.percentile(v, 95):.2f} {unit} | {max(v):.2f} {unit}"
            for v, unit in ((angles, "deg"), (shifts, "mm"))
        )
        lines.append(f"| {kind} | {len(chosen)} | {accepted:.1%} | {figures} |")
    return "\n".join(lines)


def others(rows: list[Row], learned: set[str]) -> str:
    """Format the 95th percentiles of heads that are in the template, and of those that are not."""
    lines = ["| heads | scans | angle, 95 % | shift, 95 % |", "|---|---|---|---|"]
    sound = [row for row in rows if not row.kind.startswith("wrong") and row.kind != "as it is"]
    groups = {
        "averaged into the template": [row for row in sound if row.head in learned],
        "SkullFix, other people": [row for row in sound if row.head not in learned and row.head not in CTS],
        "CTs of other scanners": [row for row in sound if row.head in CTS],
    }
    for name, chosen in groups.items():
        angle, shift = (np.percentile([getattr(r, w) for r in chosen], 95) for w in ("angle_deg", "shift_mm"))
        lines.append(f"| {name} | {len(chosen)} | {angle:.2f} deg | {shift:.2f} mm |")
    return "\n".join(lines)


def axes_table(rows: list[Row]) -> str:
    lines = ["| header | noticed |", "|---|---|"]
    heads = [row for row in rows if row.kind == "as it is" and row.head not in CTS]
    lines.append(f"| right (false alarms) | {sum(not row.upright for row in heads)} of {len(heads)} |")
    for kind in WRONG:
        chosen = [row for row in rows if row.kind == f"wrong: {kind}" and row.head not in CTS]
        lines.append(f"| {kind} | {sum(not row.upright for row in chosen)} of {len(chosen)} |")
    return "\n".join(lines)


def no_heads_table(data: Path) -> str:
    lines = ["| thing | refused as | residual | vault covered |", "|---|---|---|---|"]
    for name, scan in no_heads(data).items():
        pose = find_pose(scan.labels, scan.affine)
        why = refusal(scan, pose) or "**not refused**"
        lines.append(f"| {name} | {why} | {pose.residual_mm:.1f} mm | {pose.coverage:.0%} |")
    return "\n".join(lines)


def refused_table(rows: list[Row]) -> str:
    refused = [row for row in rows if row.refused and not row.kind.startswith("wrong")]
    if not refused:
        return "None."
    return "\n".join(
        f"- {row.head}, {row.kind}: {row.refused} (residual {row.residual_mm:.2f} mm, vault covered "
        f"{row.coverage:.0%})"
        for row in refused
    )


def ranges(rows: list[Row]) -> str:
    """Format the ranges from which the limits of `quality` are chosen."""
    lines = ["| rows | residual, median | 99 % | most | covered, median | 1 % | least |", "|---" * 7 + "|"]
    for name, chosen in {
        "heads as they are": [row for row in rows if row.kind == "as it is"],
        "heads disturbed": [row for row in rows if not row.kind.startswith("wrong")],
    }.items():
        mm, covered = ([getattr(row, what) for row in chosen] for what in ("residual_mm", "coverage"))
        lines.append(
            f"| {name} | {np.median(mm):.2f} mm | {np.percentile(mm, 99):.2f} mm | {max(mm):.2f} mm "
            f"| {np.median(covered):.0%} | {np.percentile(covered, 1):.0%} | {min(covered):.0%} |"
        )
    return "\n".join(lines)


def main(data: Path, target: Path, processes: int) -> None:
    names = [path.name.removesuffix(".nii.gz") for path in sorted((data / "skullfix_1mm").glob("*.nii.gz"))]
    learned = set(json.loads(read_about(pretrained() / FILE))["scans"])
    with Pool(processes) as pool:
        jobs = [(data, name) for name in [*CTS, *names]]
        rows = [row for some in pool.imap(measured, jobs) for row in some]
    parts = [
        header("Pose", "python benchmarks/pose.py DATA benchmarks/pose.md"),
        "The reference of every head is its own undisturbed pose. A shift is that of the vault's anchor, at "
        "its top; accepted is what neither the check of the bone nor that of the pose refuses.",
        "## Scatter",
        table(rows),
        others(rows, learned),
        "## Refused though heads",
        refused_table(rows),
        "## Wrong headers",
        axes_table(rows),
        "## No heads",
        no_heads_table(data),
        "## Ranges",
        ranges(rows),
    ]
    target.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
