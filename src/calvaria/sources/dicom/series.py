"""Group slices into series, and choose the one that shows a skull best."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from calvaria.errors import InputError
from calvaria.sources.dicom.headers import Plane

FEW_SLICES = 3  # series of at most this many are localizers or pages of text
_SAME = 1e-3  # tolerance of directions, spacings and sizes within a series
_PLACE_MM = 0.01  # slices closer than this have the same position

_THIN_MM = 1.5  # thinner slices add little to a skull; a sharp kernel adds more
_THIN = 1.3  # spacings up to this multiple of the thinnest count as thin, too
_WHOLE_MM = (170.0, 230.0)  # height and width of a whole head; the share below counts as whole
_WHOLE = 0.7

_HEAD = re.compile(r"head|skull|brain|cran|neck|face|facial|sinus|orbit|\bear\b|\bia[cm]\b|jaw|maxill|mandib")
# Kernels for bone: by name; Siemens by number (B60s, Hr64h); Canon FC30 to 35 and 80 on; Philips by letter.
_SHARP_NAME = re.compile(r"bone|bony|edge|sharp|knochen|osseu|hueso|osso")
_SHARP_KERNEL = re.compile(r"[BHJUQ][a-z]?([6-9]\d|5[5-9])\w*|FC(3[0-5]|8\d)|Y?[DE]B?")


@dataclass(frozen=True)
class Series:
    """Slices that may make a volume, in the order of their heights."""

    planes: tuple[Plane, ...]

    @property
    def first(self) -> Plane:
        """Return one slice, for values that all have in common."""
        return self.planes[0]

    @cached_property
    def extent_mm(self) -> float:
        """Distance from the lowest to the highest slice."""
        return self.planes[-1].height - self.planes[0].height

    @property
    def width_mm(self) -> float:
        """The shorter edge of a slice."""
        return float(min(np.multiply(self.first.size, self.first.spacing)))

    @cached_property
    def spacing_mm(self) -> float:
        """Median distance of adjacent slices."""
        return float(np.median(np.diff([plane.height for plane in self.planes])))

    @property
    def flat(self) -> bool:
        """Return whether all slices have the same position, as in bolus tracking."""
        return self.extent_mm < _PLACE_MM

    @cached_property
    def sharp(self) -> bool:
        """Whether the kernel is one for bone."""
        plane = self.first
        named = _SHARP_NAME.search(f"{plane.kernel} {plane.description}".lower())
        return named is not None or _SHARP_KERNEL.fullmatch(plane.kernel) is not None

    def oddity(self, plane: Plane) -> str:
        """Return the reason why another slice does not belong to this series."""
        if plane.series == self.first.series:
            for what, value, usual in (
                ("orientation", plane.directions, self.first.directions),
                ("size", plane.size, self.first.size),
                ("pixel spacing", plane.spacing, self.first.spacing),
            ):
                if not np.allclose(value, usual, rtol=_SAME, atol=_SAME):
                    return f"other {what} than the series"
        return f"series of at most {FEW_SLICES} slices"


def without_copies(planes: list[Plane]) -> tuple[list[Plane], list[Plane]]:
    """Return each SOP instance once, and the copies.

    Some anonymisers give all slices one UID, so a copy must have the same position as well.
    """
    unique: dict[object, Plane] = {}
    copies = []
    for plane in planes:
        place = (*plane.position.tolist(), *plane.directions.ravel().tolist(), plane.size)
        key = (plane.instance, plane.frame, plane.series, plane.acquisition, place)
        if plane.instance and key in unique:
            copies.append(plane)
        else:
            unique[key if plane.instance else (plane.path, plane.frame)] = plane
    return list(unique.values()), copies


def series_of(folder: Path, planes: list[Plane]) -> tuple[list[Series], list[Plane]]:
    """Return all series of more than ``FEW_SLICES`` slices, and the remaining slices.

    A series has one study, frame of reference, series UID and geometry. Anonymisers that give each slice
    its own series UID, or frame of reference, cause short series, which are grouped without it.

    Raises:
        InputError: if there is none.
    """
    keys: tuple[Callable[[Plane], object], ...] = (
        lambda plane: (plane.study, plane.frame_of_reference, plane.series),
        lambda plane: (plane.study, plane.frame_of_reference, plane.number),
        lambda plane: (plane.study, plane.series),
    )
    long_series: list[Series] = []
    rest = planes
    for key in keys:
        groups: dict[object, list[Plane]] = {}
        for plane in rest:
            groups.setdefault(key(plane), []).append(plane)
        alike = [some for group in groups.values() for some in _by_geometry(group)]
        long_series += [Series(_sorted(some)) for some in alike if len(some) > FEW_SLICES]
        rest = [plane for some in alike if len(some) <= FEW_SLICES for plane in some]
    if not long_series:
        where = f", no more than {FEW_SLICES} in one series and geometry" if len(planes) > FEW_SLICES else ""
        raise InputError(
            f"{folder}: holds {len(planes)} slices{where}, expected a head CT of many; put the whole series "
            "into it"
        )
    return long_series, rest


def choose(folder: Path, every: list[Series], text: str | None) -> tuple[Series, list[str]]:
    """Return the series to read, and notes that name the others.

    Args:
        text: number, UID or part of the description of the series; if None, it is the thinnest sharp one of a
            whole head.

    Raises:
        InputError: if no series has that name, all slices are in one place, or several patients remain.
    """
    candidates = every if text is None else _called(folder, every, text)
    volumes = [series for series in candidates if not series.flat]
    if not volumes:
        raise InputError(f"{folder}: no volume: all slices are in one place; choose another series")
    patients = {series.first.patient for series in volumes} - {""}
    if len(patients) > 1:
        raise InputError(
            f"{folder}: holds series of {len(patients)} patients, expected one: {_listed(volumes)}; give the "
            "folder of one patient, or choose a series by its number, UID or description (--series)"
        )
    chosen = min(volumes, key=lambda series: _rank(series, volumes))
    others = [series for series in every if series is not chosen]
    notes = []
    if others:
        notes.append(f"of {len(every)} CT series {describe(chosen)} was taken, not {_listed(others)}")
    if len({plane.series for plane in chosen.planes}) > 1:
        notes.append(
            "the slices have different series UIDs and were taken as one series by number and geometry"
        )
    _check_acquisitions(folder, chosen)
    return chosen, notes


def describe(series: Series) -> str:
    """Return number, description, kernel, spacing and number of slices in words."""
    plane = series.first
    number = plane.number or plane.series or "without a number"
    title = f" '{plane.description}'" if plane.description else ""
    kernel = f"kernel {plane.kernel}, " if plane.kernel else ""
    return f"{number}{title} ({kernel}{len(series.planes)} slices, {series.spacing_mm:.3g} mm)"


def _listed(every: list[Series]) -> str:
    return ", ".join(describe(series) for series in every)


def _sorted(planes: list[Plane]) -> tuple[Plane, ...]:
    return tuple(sorted(planes, key=lambda plane: (plane.height, plane.acquisition, plane.path, plane.frame)))


def _by_geometry(planes: list[Plane]) -> list[list[Plane]]:
    """Group slices of equal orientation, size and pixel spacing."""
    numbers = np.array([(*plane.directions.ravel(), *plane.size, *plane.spacing) for plane in planes])
    left = np.arange(len(planes))
    groups = []
    while len(left):
        same = np.isclose(numbers[left], numbers[left[0]], rtol=_SAME, atol=_SAME).all(axis=1)
        groups.append([planes[n] for n in left[same]])
        left = left[~same]
    return groups


def _called(folder: Path, every: list[Series], text: str) -> list[Series]:
    for fits in (
        lambda series: text == series.first.number,
        lambda series: any(text == plane.series for plane in series.planes),
        lambda series: text.lower() in series.first.description.lower(),
    ):
        if matching := [series for series in every if fits(series)]:
            return matching
    raise InputError(
        f"{folder}: has no series {text!r}, expected the number, UID or part of the description of one of: "
        f"{_listed(every)}; check the name"
    )


def _rank(series: Series, every: list[Series]) -> tuple[object, ...]:
    """Return a key that sorts the best series first."""
    plane = series.first
    high = _WHOLE * min(_WHOLE_MM[0], max(one.extent_mm for one in every))
    wide = _WHOLE * min(_WHOLE_MM[1], max(one.width_mm for one in every))
    whole = series.extent_mm >= high and series.width_mm >= wide
    thinnest = min(_distance_mm(one) for one in every if one.extent_mm >= series.extent_mm * _WHOLE)
    return (
        bool(plane.part) and _HEAD.search(plane.part.lower()) is None,
        not whole,
        _distance_mm(series) > max(_THIN_MM, _THIN * thinnest),
        plane.derived,
        not series.sharp,
        _distance_mm(series),
        -len(series.planes),
        int(plane.number) if plane.number.isdecimal() else 0,
        plane.series,
    )


def _distance_mm(series: Series) -> float:
    """Return the spacing of slices, or their thickness if larger."""
    return max(series.spacing_mm, series.first.thickness_mm)


def _check_acquisitions(folder: Path, series: Series) -> None:
    """Reject acquisitions, or reconstructions, that lie in the same places or in each other's gaps.

    A single scan may also have several acquisitions: block after block, each with its own number.
    """
    for what, of in (
        ("acquisitions", lambda plane: plane.acquisition),
        ("kernels", lambda plane: plane.kernel),
    ):
        names = [of(plane) for plane in series.planes]
        changes = sum(one != other for one, other in pairwise(names))
        counts = {name: names.count(name) for name in dict.fromkeys(sorted(names))}
        if changes >= len(counts):
            number = "two" if len(counts) == 2 else str(len(counts))
            listed = " and ".join(f"{name or 'none'} with {count}" for name, count in counts.items())
            firsts = " and ".join(series.planes[names.index(name)].path.name for name in counts)
            raise InputError(
                f"{folder}: {number} {what}, {listed} slices; keep one and move the files of the others "
                f"away, since they lie between each other (they begin with {firsts})"
            )
