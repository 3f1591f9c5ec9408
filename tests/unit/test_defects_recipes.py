"""Recipes: properties of all of them, and special properties of each."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from calvaria.config import Inject
from calvaria.defects.apply import apply_defect
from calvaria.defects.checks import check_case
from calvaria.defects.defect import Defect, Healing, Plane, from_json, to_json
from calvaria.defects.injection import inject_defect
from calvaria.defects.shapes import Ellipsoid
from calvaria.errors import BudgetError, ConfigError
from calvaria.geometry.components import settle
from calvaria.geometry.grid import BONE, IMPLANT, Grid
from calvaria.seeds import generator
from calvaria.skull.vault import find_vault
from tests.unit.test_defects import GRID, SKULL, mesh, shell

SMALL = {"mean": 16, "sd": 3}
RAW = {
    "spheres": {"kind": "spheres"},
    "rounded_box": {"kind": "rounded_box"},
    "ellipsoid": {"kind": "ellipsoid"},
    "sphere": {"kind": "ellipsoid", "elongation": [1, 1]},
    "cuboid": {"kind": "cuboid"},
    "craniotomy": {"kind": "craniotomy"},
    "straight": {"kind": "craniotomy", "curvature": [0, 0], "holes": [4, 4]},
    "bilateral": {"kind": "spheres", "region": "bilateral"},
    "frontoorbital": {"kind": "ellipsoid", "region": "frontoorbital"},
    "parietotemporal": {"kind": "craniotomy", "region": "parietotemporal"},
    "several": {"kind": "ellipsoid", "count": [2, 3], "radius_mm": SMALL},
    "outer": {"kind": "craniotomy", "healed": {"side": "outer"}},
    "inner": {"kind": "spheres", "healed": {"side": "inner"}},
    "cropped": {"kind": "cuboid", "field_of_view": {"top_mm": {"mean": 5, "sd": 3}}},
    "custom": {
        "kind": "custom",
        "function": "tests.unit.test_defects_recipes:ball_on_top",
        "parameters": {"radius_mm": 30},
    },
}
INJECT = Inject.model_validate({"recipes": RAW})
names = st.sampled_from(sorted(RAW))
seeds = st.integers(0, 2**40)
EXACT = settings(derandomize=True, deadline=None, max_examples=60)


def ball_on_top(rng, skull, grid, radius_mm):
    """Draw the custom recipe of docs/defects.md: a ball near the vertex."""
    vault = find_vault(skull, grid)
    x, y, z = vault.centre_mm
    shift = [round(float(value), 4) for value in rng.uniform(-15, 15, 2)]
    ball = Ellipsoid(
        centre_mm=(x + shift[0], y + shift[1], z + vault.semi_axes_mm[2]),
        first=(1, 0, 0),
        third=(0, 0, 1),
        semi_axes_mm=(radius_mm, radius_mm, radius_mm),
    )
    return Defect(vault=vault, shapes=(ball,))


def only(name, **changes):
    return Inject.model_validate({"recipes": {name: RAW[name]}, **changes})


def inject(name, seed, skull=SKULL, grid=GRID, **changes):
    return inject_defect(skull, grid, only(name, **changes), lambda attempt: generator(seed, name, attempt))


def seen(defect, grid):
    """Return (x, y, z) bool, the field of view of the scanner."""
    x, y, z = mesh(grid)
    hidden = np.zeros(x.shape, bool)
    for plane in defect.unseen:
        nx, ny, nz = plane.normal
        hidden |= x * nx + y * ny + z * nz > plane.offset_mm
    return ~hidden.reshape(grid.shape)


@EXACT
@given(seed=seeds, name=names)
def test_every_case_is_usable_and_can_be_made_again(seed, name):
    """Skull == labels > 0 in the field of view; one piece per defect; JSON round trip; the same bytes."""
    case = inject(name, seed)
    labels, defect = case.labels, case.defect
    assert np.array_equal(labels > 0, SKULL & seen(defect, GRID))
    assert ndimage.label(labels == IMPLANT, np.ones((3, 3, 3)))[1] == defect.pieces
    assert 4 <= np.count_nonzero(labels == IMPLANT) * GRID.spacing_mm**3 / 1000 <= 200
    again = from_json(json.loads(json.dumps(to_json(defect))))
    assert again == defect
    assert np.array_equal(apply_defect(SKULL.astype(np.uint8), GRID, again), labels)
    if case.attempt:  # the generator of attempt 0 has picked the recipe before
        rng = generator(seed, name, case.attempt)
        assert INJECT.recipes[name].draw(rng, SKULL, GRID, find_vault(SKULL, GRID)) == defect


@EXACT
@given(seed=seeds, name=names)
def test_implants_stay_within_their_bounds(seed, name):
    """Implants are on the vault, inside the stated box, and consist of bone only."""
    case = inject(name, seed)
    x, y, z = (GRID.centres(axis)[index] for axis, index in enumerate(np.nonzero(case.labels == IMPLANT)))
    # Bone fragments, at most a tenth of the implant, may lie off the vault.
    assert case.defect.vault.contains(x, y, z).mean() > 0.9
    margin = case.defect.healing.width_mm if case.defect.healing else 0
    inside = np.zeros(x.shape, bool)
    for shape in case.defect.shapes:
        low, high = (np.array(bound) for bound in shape.bounds_mm())
        points = np.stack([x, y, z], axis=1)
        inside |= ((points >= low - margin) & (points <= high + margin)).all(axis=1)
    assert inside.all()


@EXACT
@given(seed=seeds, name=st.sampled_from(["ellipsoid", "craniotomy", "cuboid", "straight"]))
def test_no_point_inside_lies_beyond_the_bounds(seed, name):
    """The window is cropped to the bounds, so points beyond them would be lost."""
    (shape,) = INJECT.recipes[name].draw(generator(seed), SKULL, GRID, find_vault(SKULL, GRID)).shapes
    points = np.random.default_rng(seed).uniform(-130, 130, (3, 20000))
    inside = points[:, shape.distance_mm(*points) <= 0].T
    low, high = shape.bounds_mm()
    assert ((inside >= low) & (inside <= high)).all()


@pytest.mark.parametrize("name", sorted(set(RAW) - {"inner", "outer"}))
def test_volumes_do_not_depend_on_the_spacing(name):
    """A stored defect has about the same volume on a coarse and on a fine grid."""
    defect = inject(name, 3).defect
    volumes = []
    for spacing in (3.0, 1.5):
        skull, grid = shell(spacing)
        volumes.append(np.count_nonzero(apply_defect(skull, grid, defect) == IMPLANT) * spacing**3)
    assert volumes[0] == pytest.approx(volumes[1], rel=0.06)


@pytest.mark.parametrize("name", ["inner", "outer"])
def test_thinned_volumes_hardly_depend_on_the_spacing(name):
    """Half a voxel is a large share of a thin rim: 15 percent of the implant from 3 to 1.5 mm."""
    defect = inject(name, 3).defect
    volumes = []
    for spacing in (3.0, 1.5):
        skull, grid = shell(spacing)
        volumes.append(np.count_nonzero(apply_defect(skull, grid, defect) == IMPLANT) * spacing**3)
    assert volumes[0] == pytest.approx(volumes[1], rel=0.15)


@pytest.mark.parametrize("name", sorted(set(RAW) - {"custom"}))
def test_a_head_elsewhere_in_the_box_gets_the_same_defect(name):
    """Padding shifts the head by whole voxels, and the drawn defect moves with it."""
    skull, grid = (
        np.pad(SKULL, ((0, 8), (0, 4), (0, 6))),
        Grid(tuple(n + d for n, d in zip(GRID.shape, (8, 4, 6), strict=True)), GRID.spacing_mm),
    )
    case = inject(name, 5)
    moved = inject(name, 5, skull, grid)
    there = moved.labels[tuple(slice(0, n) for n in SKULL.shape)]
    differ = np.count_nonzero(there != case.labels)
    if name in ("spheres", "bilateral", "inner"):  # their noise is fixed in space
        assert differ < 0.5 * np.count_nonzero(case.labels == IMPLANT)
    else:  # parameters are rounded to 1e-4 mm, so single voxels on the boundary may change sides
        assert differ <= 5


@EXACT
@given(seed=seeds)
def test_regions_are_where_they_say(seed):
    x0 = find_vault(SKULL, GRID).centre_mm[0]
    sides = {}
    for name in ("bilateral", "parietotemporal"):
        x = GRID.centres(0)[np.nonzero(inject(name, seed).labels == IMPLANT)[0]]
        sides[name] = min(np.mean(x > x0), np.mean(x < x0))
    assert sides["bilateral"] >= 0.15
    assert sides["parietotemporal"] <= 0.15
    brow = inject("frontoorbital", seed)
    usual = find_vault(SKULL, GRID)
    points = [GRID.centres(axis)[index] for axis, index in enumerate(np.nonzero(brow.labels == IMPLANT))]
    assert brow.defect.vault.floor_front > usual.floor_front
    assert not usual.contains(*points).all()
    assert INJECT.recipes["bilateral"].misplaced(brow.labels, GRID, usual) in (
        None,
        "implant not across the midline",
    )


@settings(EXACT, max_examples=25)
@given(seed=seeds)
def test_several_defects_have_bone_between_them(seed):
    case = inject("several", seed)
    numbers, count = ndimage.label(case.labels == IMPLANT, np.ones((3, 3, 3)))
    assert count == len(case.defect.shapes) >= 2
    points = [np.argwhere(numbers == k + 1) * GRID.spacing_mm for k in range(count)]
    for k in range(count):
        for other in range(k):
            gaps = np.linalg.norm(points[k][:, None] - points[other][None], axis=-1)
            assert gaps.min() > 10 - 2 * GRID.spacing_mm


def test_healing_thins_the_named_side_and_tapers():
    skull, grid = shell(1.5)
    vault = find_vault(skull, grid)
    ball = Ellipsoid(centre_mm=(0, 0, 75), first=(1, 0, 0), third=(0, 0, 1), semi_axes_mm=(25, 25, 25))
    fresh = apply_defect(skull, grid, Defect(vault=vault, shapes=(ball,))) == IMPLANT
    x, y, z = (m.reshape(grid.shape) for m in mesh(grid))
    radius = np.sqrt((x / 70) ** 2 + (y / 90) ** 2 + (z / 75) ** 2)
    from_hole = np.sqrt(x**2 + y**2 + (z - 75) ** 2) - 25
    heights = {}
    for side in ("outer", "inner"):
        healing = Healing(width_mm=12, thinning=0.6, side=side)
        labels = apply_defect(skull, grid, Defect(vault=vault, shapes=(ball,), healing=healing))
        gone = (labels == IMPLANT) & ~fresh
        assert gone.any()
        assert from_hole[gone].max() < 12
        assert (fresh <= (labels == IMPLANT)).all()
        heights[side] = radius[gone].mean()
        near, far = (skull & (from_hole > a) & (from_hole <= a + 3) for a in (0, 8))
        assert gone[near].mean() == pytest.approx(0.6 * (1 - 1.5 / 12), abs=0.12)
        assert gone[far].mean() == pytest.approx(0.6 * (1 - 9.5 / 12), abs=0.12)
    assert heights["outer"] > heights["inner"] + 0.02


def test_a_plane_hides_what_lies_beyond():
    vault = find_vault(SKULL, GRID)
    ball = Ellipsoid(centre_mm=(0, 0, 75), first=(1, 0, 0), third=(0, 0, 1), semi_axes_mm=(30, 30, 30))
    plane = Plane(normal=(0.6, 0, -0.8), offset_mm=20)
    defect = Defect(vault=vault, shapes=(ball,), unseen=(plane,))
    labels = apply_defect(SKULL, GRID, defect)
    whole = apply_defect(SKULL, GRID, defect.model_copy(update={"unseen": ()}))
    assert np.array_equal(labels, np.where(seen(defect, GRID), whole, 0))
    assert 0 < np.count_nonzero(labels) < np.count_nonzero(whole)


def test_splinters_go_to_the_implant_and_large_ones_are_refused():
    """A surgeon would not leave bone that is attached only to the implant."""
    labels = np.zeros((30, 30, 6), np.uint8)
    labels[1:29, 1:29, 2:4] = BONE
    labels[5:25, 5:25, 2:4] = IMPLANT
    labels[10:12, 10, 2] = BONE  # a fragment
    settled = labels.copy()
    settle(settled, (slice(0, 30),) * 2 + (slice(0, 6),))
    assert (settled[5:25, 5:25, 2:4] == IMPLANT).all()
    labels[8:20, 8:20, 2:4] = BONE  # an island
    settled = labels.copy()
    settle(settled, (slice(0, 30),) * 2 + (slice(0, 6),))
    assert np.array_equal(settled, labels)
    assert check_case(labels, Grid(labels.shape, 2.0), (0.1, 100)) == "bone cut off"
    labels[8:20, 8:20, 3:4] = 0
    labels[8:20, 8:20, 2] = 0
    labels[13, 13, 5] = BONE  # an isolated piece that existed before the cut
    assert check_case(labels, Grid(labels.shape, 2.0), (0.1, 100)) is None


def test_checks_count_the_intended_implants():
    labels = np.full((30, 12, 4), BONE, np.uint8)
    labels[3:9, 3:9] = labels[20:26, 3:9] = IMPLANT
    grid = Grid(labels.shape, 2.0)
    assert check_case(labels, grid, (0.1, 10), 2) is None
    assert check_case(labels, grid, (0.1, 10)) == "implant in several pieces"
    assert check_case(labels, grid, (0.1, 10), 3) == "implants not apart"
    three = np.concatenate([labels, labels])
    assert check_case(three, Grid(three.shape, 2.0), (0.1, 10), 2) == "implant in too many pieces"


def test_defects_that_do_not_fit_beside_each_other_are_counted():
    raw = {"kind": "ellipsoid", "count": [3, 3], "radius_mm": {"mean": 60, "sd": 0}}
    crowded = Inject.model_validate({"recipes": {"crowd": raw}, "attempts": 3, "implant_ml": [1, 900]})
    with pytest.raises(BudgetError, match=r"implants not apart \(3\)|bone cut off"):
        inject_defect(SKULL, GRID, crowded, lambda attempt: generator(1, attempt))


@pytest.mark.parametrize(
    ("function", "parameters", "message"),
    [
        ("no.such.package:draw", {}, r"cannot import no\.such\.package .*PYTHONPATH"),
        ("tests.unit.test_defects_recipes:absent", {}, "has no absent; correct the name"),
        ("tests.unit.test_defects_recipes:ball_on_top", {"size": 3}, r"must take \(rng, skull, grid"),
        ("tests.unit.test_defects_recipes:RAW", {}, "it is not a function"),
        ("tests.unit.test_defects_recipes:only", {}, "expected calvaria.defects.defect.Defect"),
    ],
)
def test_a_faulty_function_of_the_user_says_what_to_do(function, parameters, message):
    if function.endswith(":only"):
        function = "tests.unit.test_defects_recipes:returns_nothing"
    raw = {"kind": "custom", "function": function, "parameters": parameters}
    mine = Inject.model_validate({"recipes": {"mine": raw}})
    with pytest.raises(ConfigError, match=message):
        inject_defect(SKULL, GRID, mine, lambda attempt: generator(0, attempt))


def returns_nothing(rng, skull, grid):
    return None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"kind": "ellipsoid", "region": "bilateral", "azimuth_deg": [0, 10]}, "omit azimuth_deg"),
        ({"kind": "cuboid", "elongation": [2, 1]}, r"elongation must be \[least, most\]"),
        ({"kind": "craniotomy", "holes": [2, 5]}, "holes must be 3 or more"),
        ({"kind": "spheres", "count": [0, 1]}, "count must be at least 1"),
        ({"kind": "custom", "function": "module.name"}, "pattern"),
        ({"kind": "ellipsoid", "elevation_deg": [0, 100]}, "must lie in -90 to 90"),
    ],
)
def test_wrong_keys_are_refused(raw, message):
    with pytest.raises(ValidationError, match=message):
        Inject.model_validate({"recipes": {"it": raw}})


# A change of these values breaks the rebuilding of stored cases and requires a new major version.
GOLDEN = {
    "ellipsoid": "c1543343c763cac941548c821af3f3b463f74060b146b09c1cc41194632a4e0a",
    "cuboid": "be826b74ef55c7cc5c9b845bbacda921a2f2592fd65bcffdc272b87b4148e4aa",
    "craniotomy": "0d2f8b7c7f2951bbb5ad66d9547131ff0af710841af7bc792af068f10b2af2d0",
    "several": "c99b2bc2114e9d8d99eff7baff3d5f1607e571fa046b5960e29d3c799d03ab8f",
    "outer": "426e6dbba8fcfa8e80e14c26f2a70e8038cdb0e31999adc96ded4a850bddc5ed",
    "inner": "ae0575c7d2174182cd5257ae8ee0eb84a05d9f69b27aa0d79d1d131fb8437f24",
    "cropped": "61a5a439e9bd6b16db6d32fe8a5eaa45371969500b7f2383138683f67086e320",
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_same_bytes_on_any_machine(name):
    skull, grid = shell(2.5)
    defect = INJECT.recipes[name].draw(generator(11), skull, grid, find_vault(skull, grid))
    assert hashlib.sha256(apply_defect(skull, grid, defect).tobytes()).hexdigest() == GOLDEN[name]
