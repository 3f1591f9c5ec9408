"""MUG500+: 500 healthy skulls, and 29 real craniotomies with implants designed by experts.

    A0001/A0001.nrrd                                   healthy; a binary mask
    B0001/{B0001.nrrd, B0001.stl, B0001_implant.stl}   craniotomy: mask, its surface, and the implant's

They may lie in the folders that the archives unpack to, such as A0496-A0500/A0496/A0496.nrrd. Other files
(A0001.stl, A0001_clear.stl, previews) are ignored. The published implants exist as meshes only; here they
are voxelised on the skull's grid. Li et al. 2021, Data in Brief 39:107524; figshare 9616319; the licence is
on that page.
"""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from calvaria.errors import InputError
from calvaria.plugins.costs import SourceCost
from calvaria.plugins.scan import summarise
from calvaria.plugins.source import Entry, FileSource, Scan
from calvaria.sources.triplet import MEANINGS
from calvaria.sources.volumes import Volume, read_mask

_UNITS = {"metres": 1000.0, "centimetres": 10.0}  # of meshes, in mm
_SPAN = 0.5  # minimum extent of the skull's mesh relative to its mask, which may have specks beyond
_COARSE_MM = 1.0  # voxels in which the implant's fit is evaluated
_BETTER = 0.08  # score by which another frame must fit better to be preferred; see `hole`
_GOOD = 0.3  # minimum score of such a frame
_ON_BONE = 0.6  # maximum share of the implant's silhouette on bone; a flange of 5 mm gives 0.4
_TOUCH_MM = 3.0  # maximum distance of an implant from bone; it may have been designed with a gap
_OUTSIDE = 0.01  # maximum share of an implant's vertices outside the volume
_BURIED = 0.5  # maximum share of an implant inside bone
_FIT = 0.8  # minimum share of the skull's mesh on its mask's surface in the right frame
_NEAR = 1.5  # maximum distance of a vertex in voxel diagonals: half a voxel by convention, plus smoothing
_SAMPLE = 20_000  # vertices tested


class Mug500Source(FileSource):
    """MUG500+: healthy skulls A0001/ and craniotomies B0001/ whose implants are STL meshes."""

    kind: Literal["mug500"]
    """Selects MUG500+."""

    brings_defects: ClassVar[bool] = True

    def estimated_cost(self) -> SourceCost:
        return SourceCost(scan_s=6.5)

    def entries(self, name: str) -> list[Entry]:
        """Return the skulls in the order of their ids; one with missing or duplicate files has a fault.

        Raises:
            InputError: if there is no such folder, or no A0001, B0001 and so on in it.
        """
        folders: dict[str, list[Path]] = {}
        for path in (*self.path.glob("*"), *self.path.glob("[!._]*/*")):
            if re.fullmatch(r"[AB]\d{4}", path.name) and path.is_dir():
                folders.setdefault(path.name, []).append(path)
        if not folders:
            raise InputError(
                f"ingest.sources.{name}.path: {self.path} holds no folder A0001, B0001 and so on, directly "
                "or one level down; unpack or link MUG500+ there, or change the path"
            )
        return [_entry(name, id, folders[id]) for id in sorted(folders)[: self.limit]]

    def read(self, entry: Entry, seed: int) -> Scan:
        """Read one skull and voxelise its implant, if any, on the skull's grid; the seed has no effect.

        Raises:
            InputError: if a file cannot be read or is empty, the skull's mesh fits its mask in no known
                frame, or the implant is not closed, out of the volume, away from the skull, or not in
                its hole.
        """
        from calvaria.sources.mesh import read_solid, read_stl, voxelise

        mask, *meshes = entry.files
        skull = read_mask(mask)
        if not skull.values.any():
            raise InputError(f"{mask}: is empty, expected a skull; leave it out, or replace it")
        if not meshes:
            summary = summarise("mask", skull.values, skull.affine, skull.origin)
            return Scan(skull.values, skull.affine, summary)
        surface, implant = meshes
        name, frame = _frame(surface, read_stl(surface)[0], skull.values, skull.affine)
        vertices, faces = read_solid(implant)
        at = _apply(frame, vertices)
        shape = skull.values.shape
        outside = float(((at < -0.5) | (at > np.array(shape) - 0.5)).any(axis=1).mean())
        if outside > _OUTSIDE:
            raise InputError(
                f"{implant}: {outside:.0%} of its vertices are outside the volume of {mask}, expected at "
                f"most {_OUTSIDE:.0%}; check that both are of the same skull and in the same coordinates"
            )
        filled = voxelise(at, faces, (shape[0], shape[1], shape[2]))
        labels = _joined(skull.values, filled, np.linalg.norm(skull.affine[:3, :3], axis=0), implant)
        _check_hole(implant, skull, vertices, faces, name)
        notes = (f"{surface.name} lies on its mask as {name}, and so does {implant.name}",)
        summary = summarise("label volume", labels, skull.affine, replace(MEANINGS, notes=notes))
        return Scan(labels, skull.affine, summary)


def _entry(name: str, id: str, folders: list[Path]) -> Entry:
    # An archive unpacked into a folder of its own name gives A0001/A0001/A0001.nrrd.
    folders = [folder for folder in folders if (folder / f"{id}.nrrd").is_file()] or folders[:1]
    names = [f"{id}.nrrd"] if id.startswith("A") else [f"{id}.nrrd", f"{id}.stl", f"{id}_implant.stl"]
    files = [folders[0] / file_name for file_name in names]
    missing = [str(path) for path in files if not path.is_file()]
    fault = None
    if len(folders) > 1:
        fault = f"{' and '.join(map(str, folders))}: are the same skull; remove all but one"
    elif missing:
        fault = f"no such file: {', '.join(missing)}; restore it from MUG500+'s archive"
    return Entry(f"{name}/{id}", f"{name}/{id}", tuple(path for path in files if path.is_file()), fault)


def _check_hole(path: Path, skull: Volume, vertices: np.ndarray, faces: np.ndarray, name: str) -> None:
    """Reject an implant that lies on bone, or fits much better in other coordinates than its skull's mesh.

    Args:
        skull: a mask.
        vertices: (n, 3) in the file's coordinates.
        name: of the frame in which the skull's own mesh lies on its mask.
    """
    from calvaria.sources.hole import RimFit, rim_fit
    from calvaria.sources.mesh import voxelise

    spacing = np.linalg.norm(skull.affine[:3, :3], axis=0)
    steps = np.maximum(1, np.floor(_COARSE_MM / spacing)).astype(int)
    bone = skull.values[:: steps[0], :: steps[1], :: steps[2]] > 0

    def fit(frame: np.ndarray) -> RimFit | None:
        at = _apply(frame, vertices)
        if ((at < -0.5) | (at > np.array(skull.values.shape) - 0.5)).any(axis=1).mean() > _OUTSIDE:
            return None
        filled = voxelise(at / steps, faces, (bone.shape[0], bone.shape[1], bone.shape[2]))
        return rim_fit(bone, filled, spacing * steps) if filled.any() else None

    frames = _frames(skull.affine)
    chosen = fit(frames[name])
    if chosen is None:  # too small for coarse voxels
        return
    for other, frame in (_mirrored(frames[name], skull.values.shape) | frames).items():
        better = fit(frame)
        if better is not None and better.score > max(chosen.score + _BETTER, _GOOD):
            raise InputError(
                f"{path}: does not fill the hole of its skull: in the coordinates of the skull's own mesh "
                f"({name}) "
                f"it agrees with the bone at its rim to {chosen.score:.0%}, and to {better.score:.0%} if "
                f"taken as {other}; export it in the coordinates of the skull"
            )
    if chosen.on_bone > _ON_BONE:
        raise InputError(
            f"{path}: does not fill the hole of its skull: {chosen.on_bone:.0%} of its outline is on bone, "
            f"expected at most {_ON_BONE:.0%}; check that it is the implant of this skull, and not mirrored"
        )


def _mirrored(frame: np.ndarray, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return by name frames with reversed axes of file or volume: (4, 4) from coordinates to voxels."""
    frames = {}
    for signs in list(product((1.0, -1.0), repeat=3))[1:]:
        axes = " and ".join(axis for axis, sign in zip("xyz", signs, strict=True) if sign < 0)
        frames[f"mirrored in {axes}"] = frame @ np.diag([*signs, 1.0])
    for axis, n in enumerate(shape):
        flip = np.eye(4)
        flip[axis, axis], flip[axis, 3] = -1, n - 1
        frames[f"mirrored along the volume's axis {'ijk'[axis]}"] = flip @ frame
    return frames


def _apply(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (n, 3) transformed by a (4, 4) affine."""
    return points @ frame[:3, :3].T + frame[:3, 3]


def _joined(skull: np.ndarray, implant: np.ndarray, spacing: np.ndarray, path: Path) -> np.ndarray:
    """Return the labels of a skull and its implant, (i, j, k); bone stays bone where they overlap."""
    import edt

    total = int(np.count_nonzero(implant))
    free = implant & (skull == 0)
    left = int(np.count_nonzero(free))
    if left < (1 - _BURIED) * total or not total:
        raise InputError(
            f"{path}: fills {total} voxels of its skull's grid, {left} of them outside bone, expected more "
            "than half; check that it is the implant of this skull, in the same coordinates and unit"
        )
    used = [np.flatnonzero(implant.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    reach = np.ceil(_TOUCH_MM / spacing).astype(int) + 1
    box = tuple(slice(max(0, at[0] - far), at[-1] + far + 1) for at, far in zip(used, reach, strict=True))
    near = edt.edt(np.ascontiguousarray(~implant[box]), anisotropy=tuple(map(float, spacing)))
    gap = float(near[skull[box] > 0].min(initial=np.inf))
    if gap > _TOUCH_MM:
        raise InputError(
            f"{path}: is more than {_TOUCH_MM:g} mm from the bone of its skull, expected contact; "
            "check that it is the implant of this skull, in the same coordinates"
        )
    labels = (skull > 0).astype(np.uint8)
    labels[free] = 2
    return labels


def _frames(affine: np.ndarray) -> dict[str, np.ndarray]:
    """Return by name the frames that an STL file may use: (4, 4) from its coordinates to voxel indices."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    unturned = np.diag([*spacing, 1.0])
    unturned[:3, 3] = (flip @ affine)[:3, 3]
    return {
        "LPS mm": np.linalg.inv(affine) @ flip,
        "RAS mm": np.linalg.inv(affine),
        "voxel index times spacing": np.diag([*(1 / spacing), 1.0]),
        "voxel index times spacing with x and y reversed": np.diag([*(1 / spacing), 1.0]) @ flip,
        "LPS mm without directions": np.linalg.inv(unturned),
        "voxel index": np.eye(4),
    }


def _frame(path: Path, vertices: np.ndarray, skull: np.ndarray, affine: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the frame in which a mesh lies on its mask's surface: its name, and (4, 4) to voxel indices."""
    sample = vertices[:: max(1, len(vertices) // _SAMPLE)]
    fits = _fits(sample, skull, affine)
    best = max(fits, key=lambda name: fits[name])
    if fits[best] >= _FIT:
        return best, _frames(affine)[best]
    for unit, factor in _UNITS.items():
        if max(_fits(sample * factor, skull, affine).values()) >= _FIT:
            raise InputError(
                f"{path}: is in {unit}, it lies on its skull's mask if it is {factor:g} times as large, "
                "expected millimetres; export it, and the implant, in millimetres"
            )
    tried = ", ".join(f"{name} {fit:.0%}" for name, fit in fits.items())
    raise InputError(
        f"{path}: does not fit the surface of its skull's mask in any frame tried: {tried} of its vertices, "
        "expected "
        f"{_FIT:.0%}, and at least {_SPAN:.0%} of the mask's extent; check that both are of the same skull"
    )


def _fits(points: np.ndarray, skull: np.ndarray, affine: np.ndarray) -> dict[str, float]:
    """Return by frame the share of points (n, 3) on the mask's surface; 0 if they do not span the mask."""
    used = [np.flatnonzero(skull.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    extent = np.array([found[-1] - found[0] for found in used])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    fits = {}
    for name, frame in _frames(affine).items():
        at = _apply(frame, points)
        spans = bool((np.ptp(at, axis=0) >= _SPAN * extent).all())
        fits[name] = _on_surface(at, skull, spacing) if spans else 0.0
    return fits


def _on_surface(points: np.ndarray, skull: np.ndarray, spacing: np.ndarray) -> float:
    """Return the share of points (n, 3 voxel coordinates) that have bone and background nearby."""
    reach = _NEAR * float(np.linalg.norm(spacing))
    steps = [np.arange(-int(reach / s), int(reach / s) + 1) for s in spacing]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    offsets = offsets[np.linalg.norm(offsets * spacing, axis=1) <= reach]
    limit = np.array(skull.shape) - 1
    # Points far away could overflow as integers; they stay outside when clipped.
    nearest = np.rint(np.clip(points, -2.0, limit + 2.0)).astype(np.int64)
    nearest = nearest[((nearest >= 0) & (nearest <= limit)).all(axis=1)]
    bone = np.zeros(len(nearest), np.bool_)
    background = np.zeros(len(nearest), np.bool_)
    for offset in offsets:
        at = nearest + offset
        inside = ((at >= 0) & (at <= limit)).all(axis=1)
        value = skull[tuple(np.clip(at, 0, limit).T)] > 0
        bone |= value & inside
        background |= ~value | ~inside  # the volume ends in background: surfaces are closed there
    return float((bone & background).sum() / len(points))
