"""Build the template to which heads are aligned: the mean of real skulls as a signed distance map.

    python benchmarks/template.py DATA data/pretrained/template.safetensors

DATA holds ``skullfix_1mm``. The people on whom the pretrained model is tested are left out. Heads are first
aligned to the mean phantom, which defines the Frankfurt frame, and averaged, then aligned to that mean and
averaged again.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import edt
import numpy as np

from calvaria.skull.pose import find_pose
from calvaria.skull.template import Template, stored, template_of, vault_anchor
from calvaria.sources import Scan, catalogue, read
from calvaria.sources.folder import FolderSource
from calvaria.sources.phantom.build import build_phantom
from calvaria.sources.phantom.parameters import sample_phantom
from calvaria.storage.tensors import write_tensors

SPACING_MM = 3.0
LOW_MM, HIGH_MM = (-108.0, -135.0, -66.0), (108.0, 135.0, 150.0)
FEWEST = 6  # minimum number of scans that cover a position; with fewer, the phantom's distance is kept
ROUNDS = 2
CASES = Path(__file__).parents[1] / "data" / "pretrained" / "cases.json"


def signed_distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return (x, y, z) distances in mm to the surface halfway between voxels, negative inside."""
    anisotropy = tuple(float(mm) for mm in spacing)
    outside, inside = edt.edt(~mask, anisotropy=anisotropy), edt.edt(mask, anisotropy=anisotropy)
    half = spacing.min() / 2
    return np.where(mask, half - inside, outside - half).astype(np.float32)


def positions() -> np.ndarray:
    axes = [np.arange(low, high + 1e-6, SPACING_MM) for low, high in zip(LOW_MM, HIGH_MM, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def of_the_phantom(where: np.ndarray) -> np.ndarray:
    class Middle:
        """A generator whose draws are all the middle of their range, for the mean phantom."""

        def random(self) -> float:
            return 0.5

    mean = replace(sample_phantom(Middle()), cut_height=-200.0)
    mask, affine = build_phantom(mean, 2.5)
    return looked_up(Scan(mask, affine), where)[0]


def looked_up(scan: Scan, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return signed distances of a scan's bone at world positions, and whether each was scanned."""
    from scipy.ndimage import map_coordinates

    border = 24
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    distance = signed_distance(np.pad(scan.labels > 0, border), spacing)
    inverse = np.linalg.inv(scan.affine)
    index = where @ inverse[:3, :3].T + inverse[:3, 3]
    found = map_coordinates(distance, (index + border).reshape(-1, 3).T, order=1, mode="nearest")
    seen = index[..., 2] >= 2  # air is assumed above and beside the scan, not below
    return found.reshape(where.shape[:3]), seen


def averaged(scans: list[Scan], template: Template, where: np.ndarray) -> Template:
    """Return the symmetric mean of heads in the frame of a template, and the mean of their anchors."""
    total, count = np.zeros(where.shape[:3]), np.zeros(where.shape[:3])
    anchors = []
    for scan in scans:
        found = find_pose(scan.labels, scan.affine, template)
        relative = (where - template.anchor_mm) * found.size
        distance, seen = looked_up(scan, relative @ found.rotation + found.anchor_mm)
        total += np.where(seen, distance / found.size.mean(), 0)
        count += seen
        bone = np.argwhere(scan.labels > 0) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
        anchors.append(vault_anchor((bone - found.anchor_mm) @ found.rotation.T / found.size))
    mean = np.where(count >= FEWEST, total / np.maximum(count, 1), template.distance_mm)
    anchor = (template.anchor_mm + np.mean(anchors, axis=0)) * [0, 1, 1]
    return made_of((mean + mean[::-1]) / 2, np.round(anchor, 2))


def made_of(distance: np.ndarray, anchor: np.ndarray) -> Template:
    return template_of(distance.astype(np.float32), np.array(LOW_MM), SPACING_MM, anchor)


def main(data: Path, target: Path) -> None:
    tested = {case["scan"].split("/")[-1] for case in json.loads(CASES.read_text())["cases"]}
    sources = {"skullfix": FolderSource(kind="folder", path=data / "skullfix_1mm")}
    entries = [entry for entry in catalogue(sources) if entry.own_id not in tested]
    scans = [read(sources, entry, 0) for entry in entries]
    where = positions()
    distance = of_the_phantom(where)
    template = made_of(distance, vault_anchor(where[distance < 0]))
    for _ in range(ROUNDS):
        template = averaged(scans, template, where)
    about = json.dumps({"scans": [entry.own_id for entry in entries], "rounds": ROUNDS})
    write_tensors(target, stored(template), about)
    print(f"{target}: {len(scans)} scans, anchor {template.anchor_mm.tolist()} mm")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
