"""Roles of a segmentation's segments by their names, as 3D Slicer does not fix their order or numbers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calvaria.errors import InputError
from calvaria.geometry.grid import BONE, IMPLANT

_IMPLANT = re.compile(r"\b(implants?|prosthesis|cranioplasty)\b")
_BONE = re.compile(r"\b(skull|bones?|cranium|calvari(a|um|al))\b")
_BOTH = re.compile(r"\b(and|with|without|no|minus|plus)\b")  # "skull without implant" is ambiguous
_FIELD = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")

WHAT_TO_NAME = "name the bone's segment Skull and the implant's Implant, and export these alone as a labelmap"


def segments_of(path: Path, header: Mapping[str, Any]) -> dict[int, str]:
    """Return names by label, from an NRRD header's ``SegmentN_Name``, ``_LabelValue`` and ``_Layer``.

    Raises:
        InputError: if segments lie in several layers, so that voxels may belong to two of them, or two share
            a label.
    """
    segments: dict[str, dict[str, str]] = {}
    for key, value in header.items():
        if match := _FIELD.fullmatch(key):
            segments.setdefault(match[1], {})[match[2]] = str(value).strip()
    named = [one for one in segments.values() if "Name" in one]
    names = ", ".join(one["Name"] for one in named)
    if len({one.get("Layer", "0") for one in named}) > 1:
        raise InputError(
            f"{path}: its segments {names} overlap, they are stored in layers; export the segmentation as a "
            "labelmap"
        )
    try:
        labels = [int(one.get("LabelValue", "1")) for one in named]
    except ValueError as error:
        raise InputError(
            f"{path}: has a segment whose LabelValue is not a number ({error}); repair it"
        ) from None
    if len(set(labels)) < len(labels):
        raise InputError(f"{path}: several of its segments {names} have one label; export it as a labelmap")
    return {
        label: one["Name"] for label, one in sorted(zip(labels, named, strict=True), key=lambda pair: pair[0])
    }


def roles_of(path: Path, meanings: Mapping[int, str]) -> dict[int, int] | None:
    """Return ``BONE`` or ``IMPLANT`` for each label; None if no name identifies them, so that numbers must.

    Raises:
        InputError: if only some names are identified, or several are bone or implant; all are listed.
    """
    roles = {label: _role(name) for label, name in meanings.items()}
    known = [role for role in roles.values() if role is not None]
    if not known:
        return None
    if len(set(known)) < len(roles):
        raise InputError(
            f"{path}: has the segments {listed(meanings)}, expected one of bone and at most one implant; "
            f"{WHAT_TO_NAME}"
        )
    return {label: role for label, role in roles.items() if role is not None}


def listed(meanings: Mapping[int, str]) -> str:
    """Return names with their labels."""
    return ", ".join(f"{name} ({label})" for label, name in meanings.items())


def _role(name: str) -> int | None:
    words = re.sub(r"[^a-z]+", " ", name.casefold())
    if _IMPLANT.search(words):
        return None if _BOTH.search(words) else IMPLANT
    return BONE if _BONE.search(words) else None
