"""The audit's figures of roughness, thickness, base and patches detect what one sees on a skull."""

import json
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from calvaria.config import parse
from calvaria.errors import InputError
from calvaria.geometry.grid import Grid
from calvaria.metrics.appearance import Appearance, Group, appearance, compare_appearance
from calvaria.metrics.base import base, pin_holes
from calvaria.metrics.patches import patch_features
from calvaria.metrics.roughness import Band, bands, compare_roughness, roughness
from calvaria.metrics.surface_map import filled, map_surfaces, view
from calvaria.metrics.thickness import difference, thickness
from calvaria.metrics.two_sample import two_sample
from calvaria.stages.audit import audit
from calvaria.storage.paths import Run
from calvaria.storage.store import read_json, write_json, write_shard
from tests.unit.heads import head

FINE = Grid((112, 112, 112), 1.5)
SPACING_MM = 3.0
HEADS = 10


def ball(grid: Grid, radius_mm: np.ndarray | float) -> np.ndarray:
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij", sparse=True)
    return np.sqrt(x**2 + y**2 + z**2) <= radius_mm


def rippled(wave_mm: float, amplitude_mm: float) -> np.ndarray:
    """Return a shell of 64 to 75 mm; waves run over the outer surface from left to right."""
    x, y, z = np.meshgrid(*(FINE.centres(axis) for axis in range(3)), indexing="ij", sparse=True)
    angle = np.arccos(x / np.sqrt(x**2 + y**2 + z**2))
    outer = 75 + amplitude_mm * np.sin(2 * np.pi * 75 * angle / wave_mm)
    return (ball(FINE, outer) & ~ball(FINE, 64)).astype(np.uint8)


def phantom(number: int) -> tuple[np.ndarray, Grid]:
    labels = head(number, SPACING_MM).labels
    return labels, Grid(labels.shape, SPACING_MM)


def smoothed(skull: np.ndarray) -> np.ndarray:
    return (gaussian_filter(skull.astype(np.float32), 1.0) > 0.5).astype(np.uint8)


def lumpy(skull: np.ndarray) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(skull.shape), 1.5)
    field = gaussian_filter(skull.astype(np.float32), 0.7) + 0.25 * noise / noise.std()
    return (field > 0.5).astype(np.uint8) * (gaussian_filter(skull.astype(np.float32), 1.5) > 0.05)


@cache
def looks(change: str = "") -> list[Appearance]:
    changed = {"": lambda skull: skull, "smoothed": smoothed, "lumpy": lumpy}[change]
    heads = [phantom(number) for number in range(HEADS)]
    return [appearance(changed(skull), grid) for skull, grid in heads]


def rough(change: str = "") -> np.ndarray:
    return np.stack([one.roughness_mm for one in looks(change)])


@pytest.mark.parametrize("wave_mm", [7.5, 11.5, 24.0])
def test_a_ripple_is_in_the_band_of_its_wavelength_with_its_amplitude(wave_mm):
    amplitude = 1.2
    skull = rippled(wave_mm, amplitude)
    outer, inner = roughness(map_surfaces(skull, FINE), FINE.spacing_mm)
    flat = roughness(map_surfaces(rippled(wave_mm, 0), FINE), FINE.spacing_mm)[0]
    ranges = bands(FINE.spacing_mm)
    band = int(np.flatnonzero((ranges[:, 0] <= wave_mm) & (wave_mm < ranges[:, 1]))[0])
    assert np.argmax(outer) == band
    total = np.sqrt((outer[band - 1 : band + 2] ** 2).sum() - (flat[band - 1 : band + 2] ** 2).sum())
    assert total == pytest.approx(amplitude / np.sqrt(2), rel=0.12)
    assert outer[band] > 0.8 * total
    assert inner.max() < 0.25


def test_radii_are_precise_to_a_fraction_of_a_voxel():
    """A voxel of 1.5 mm in a binary mask has lost up to half of it; the mean has not."""
    surfaces = map_surfaces(rippled(10, 0), FINE)
    directions = view(FINE.spacing_mm).directions
    centre = np.array([0.75, 0.75, 12.75])  # of a voxel, near 0.42 times the length below the top
    for radius, found in ((75, surfaces.outer_mm), (64, surfaces.inner_mm)):
        along = directions @ centre
        expected = -along + np.sqrt(along**2 - centre @ centre + radius**2)
        assert np.abs(found - expected).mean() < 0.4
        assert abs((found - expected).mean()) < 0.1
    assert surfaces.thickness_mm == pytest.approx(surfaces.outer_mm - surfaces.inner_mm, abs=1e-3)


def test_a_lumpy_or_smooth_skull_is_out_of_the_band_and_an_untouched_one_is_not():
    real = rough()
    for i in range(HEADS):
        band = Band.of(np.delete(real, i, axis=0))
        assert not band.holds(rough("lumpy")[i : i + 1]).any()
    share = compare_roughness(real, real, SPACING_MM)
    assert share["share"] >= 0.9
    assert share["real_share"] >= 0.7
    assert compare_roughness(rough("lumpy"), real, SPACING_MM)["share"] == 0
    assert compare_roughness(rough("smoothed"), real, SPACING_MM)["share"] <= 0.5


def test_the_joint_band_holds_nine_of_ten_skulls_of_the_same_distribution():
    rng = np.random.default_rng(0)
    real, fresh = 1 + 0.1 * rng.standard_normal((60, 2, 8)), 1 + 0.1 * rng.standard_normal((500, 2, 8))
    found = compare_roughness(fresh, real, 1.5)
    assert found["share"] == pytest.approx(0.9, abs=0.07)
    assert found["real_share"] == pytest.approx(0.9, abs=0.07)
    assert found["everywhere"] < 0.4
    assert found["outer"]["within"].mean() == pytest.approx(0.85, abs=0.05)


def test_bands_below_two_voxels_are_left_out():
    assert bands(1.5)[0, 0] == pytest.approx(3)
    assert bands(3.0)[0, 0] >= 6
    assert bands(1.5)[-1, 1] == bands(3.0)[-1, 1] == pytest.approx(60)
    assert bands(40.0).shape == (0, 2)
    assert compare_roughness(np.zeros((6, 2, 0)), np.zeros((6, 2, 0)), 40.0) is None


def test_a_drop_below_the_vault_is_counted(dome, grid):
    before = base(dome, grid)
    assert (before.drops, before.drop_share) == (0, 0)
    hanging = dome.copy()
    hanging[19:22, 24:26, 6:8] = 1
    after = base(hanging, grid)
    assert after.drops == 1
    bone = np.count_nonzero(hanging) - np.count_nonzero(dome)
    assert bone == 12
    assert 0 < after.drop_share < 0.05
    assert after.euler == before.euler + 1


def test_a_pin_hole_is_counted_and_a_large_opening_is_not():
    skull = rippled(10, 0)
    middle = 56
    pierced, opened = skull.copy(), skull.copy()
    pierced[middle : middle + 3, middle : middle + 3, 56:] = 0
    opened[middle : middle + 12, middle : middle + 12, 56:] = 0
    closed, small, large = (
        pin_holes(map_surfaces(one, FINE), FINE.spacing_mm) for one in (skull, pierced, opened)
    )
    area_mm2 = view(FINE.spacing_mm).solid_angle[view(FINE.spacing_mm).vault].sum() * 70**2
    assert (closed.vault, closed.temporal, large.vault, small.temporal) == (0, 0, 0, 0)
    assert small.vault == pytest.approx(1e4 / area_mm2, rel=0.2)
    side = skull.copy()
    side[:30, 55:58, 53:56] = 0
    assert pin_holes(map_surfaces(side, FINE), FINE.spacing_mm).temporal > 0


def test_missing_pixels_are_filled_smoothly():
    seen = view(4.5)
    values = (80 + 5 * seen.directions[:, 0]).astype(np.float32)
    closed = np.random.default_rng(0).random(len(values)) > 0.3
    found = filled(seen, np.where(closed, values, 0), closed).reshape(-1)[seen.places]
    assert found == pytest.approx(values, abs=1)
    with pytest.raises(ValueError, match="skull with a vault"):
        filled(seen, values, closed & False)


def test_a_thicker_vault_is_as_far_as_it_is_thicker():
    shells = [
        thickness(map_surfaces((ball(FINE, 75) & ~ball(FINE, inner)).astype(np.uint8), FINE), 1.5)
        for inner in (64, 67)
    ]
    found = difference(shells[:1], shells[1:])
    assert found.vault_mm == pytest.approx(3, abs=0.3)
    assert found.place_mm == pytest.approx(3, abs=0.3)
    assert difference(shells, shells).vault_mm == 0
    assert shells[0].contrast_mm < 1


def features(seed: int, count: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 20, 6)) + shift


def test_two_halves_of_a_distribution_cannot_be_told_apart_but_shifted_ones_can():
    same = two_sample(features(0, 40), features(1, 40), range(40), range(40))
    assert same.patch_auc == pytest.approx(0.5, abs=0.06)
    assert same.skull_auc == pytest.approx(0.5, abs=0.15)
    other = two_sample(features(0, 40, 0.5), features(1, 20), range(40), range(20))
    assert other.patch_auc > 0.75
    assert other.skull_auc > 0.98
    assert other.skulls == 20
    assert other == two_sample(features(0, 40, 0.5), features(1, 20), range(40), range(20))


def test_skulls_of_one_person_are_never_in_two_folds():
    """Copies of a few skulls are recognised only if some of them are known."""
    own = np.random.default_rng(0).standard_normal((16, 1, 6)) * 3
    copies = np.repeat(own, 5, axis=0) + 0.1 * features(1, 80)
    people = np.repeat(np.arange(16), 5)
    order = np.argsort(people % 2, kind="stable")
    copies, people = copies[order], people[order]
    sides = copies[:40], copies[40:]
    together = two_sample(*sides, people[:40], people[40:])
    apart = two_sample(*sides, range(40), range(40))
    assert together.skull_auc < 0.85 < apart.skull_auc


def test_too_few_skulls_are_not_told_apart():
    assert two_sample(features(0, 3), features(1, 9), range(3), range(9)) is None
    assert two_sample(features(0, 9), features(1, 9), [0] * 9, range(9)) is None


def test_patches_show_whether_a_skull_was_smoothed():
    plain, changed = (np.stack([one.patches for one in looks(change)]) for change in ("", "smoothed"))
    found = two_sample(changed, plain, range(HEADS), range(HEADS))
    assert found.skull_auc > 0.9
    halves = two_sample(plain[::2], plain[1::2], range(5), range(5))
    assert halves.patch_auc == pytest.approx(0.5, abs=0.2)


def test_a_mirrored_skull_looks_the_same():
    skull, grid = phantom(0)
    one, other = looks()[0], appearance(np.ascontiguousarray(skull[::-1]), grid)
    assert other.roughness_mm == pytest.approx(one.roughness_mm, rel=0.12)
    assert other.thickness.contrast_mm == pytest.approx(one.thickness.contrast_mm, rel=0.05)
    assert other.base == one.base
    assert other.patches.shape == one.patches.shape


def test_a_skull_looks_the_same_every_time():
    one, again = looks()[1], appearance(*phantom(1))
    np.testing.assert_array_equal(one.roughness_mm, again.roughness_mm)
    np.testing.assert_array_equal(one.patches, again.patches)


def test_an_empty_skull_is_refused_and_an_open_one_has_finite_figures(dome, grid):
    with pytest.raises(ValueError, match="empty"):
        appearance(np.zeros_like(dome), grid)
    opened = dome.copy()
    opened[12:28, 14:34, 20:] = 0
    surfaces = map_surfaces(opened, grid)
    assert not surfaces.closed.all()
    assert np.isfinite(roughness(surfaces, grid.spacing_mm)).all()
    assert np.isfinite(patch_features(surfaces, grid.spacing_mm)).all()


def test_few_skulls_give_null_instead_of_nan():
    group = Group(looks()[:2], ["a", "b"])
    found = compare_appearance(group, group, group, phantom(0)[1])
    json.dumps(found, allow_nan=False)
    assert found["roughness"] is None
    assert found["two_sample"] is None
    assert found["base"]["drops"]["low"] is None
    assert found["thickness"]["vault_mm"] == 0


@pytest.fixture
def small_run(tmp_path, dome, grid) -> tuple[Run, object]:
    """A run of 16 domes; family real has the training domes, family other those and an empty one."""
    sources = {"phantom": {"kind": "phantom", "count": 4}}
    config = parse(
        {
            "name": "small",
            "grid": {"shape": list(grid.shape), "spacing_mm": grid.spacing_mm},
            "ingest": {"sources": sources},
            "fit": {"real": {"kind": "real"}, "other": {"kind": "registration"}},
            "inject": {"recipes": {"spheres": {"kind": "spheres"}}},
            "train": {"arms": {"one": {"families": {"real": 1}}}, "optimiser": {"steps": 2}},
        },
        "test",
    )
    run, rng = Run(tmp_path), np.random.default_rng(0)
    domes = []
    for _ in range(16):
        noise = gaussian_filter(rng.standard_normal(dome.shape), 1.0)
        domes.append(((gaussian_filter(dome.astype(float), 0.7) + noise) > 0.5).astype(np.uint8))
    rows = [{"id": f"s{i}", "person": f"p{i}", "verdict": "ok", "reason": None} for i in range(16)]
    write_shard(run.ingest, 0, 16, 16, grid, np.stack(domes), rows)
    stored = [
        {"index": i, "id": f"s{i}", "person": f"p{i}", "sha256": row["sha256"]}
        for i, row in enumerate(run.ingest.rows())
    ]
    write_json(run.split, {"training": stored[:8], "validation": stored[8:10], "test": stored[10:]})
    row = {"attempt": 0, "parameters": {}, "fault": None, "rejections": []}
    parents = [{**row, "family": "real", "parents": [f"s{i % 8}"]} for i in range(10)]
    write_shard(run.screen("real"), 0, 10, 10, grid, np.stack([domes[i % 8] for i in range(10)]), parents)
    empty = np.stack([domes[0], 0 * dome])
    write_shard(run.screen("other"), 0, 2, 2, grid, empty, [{**row, "family": "other", "parents": []}] * 2)
    return run, config


def test_the_audit_of_a_family_has_every_figure(small_run):
    run, config = small_run
    audit(run, config, "real")
    found = read_json(run.audit("real"))
    json.dumps(found, allow_nan=False)
    assert set(found["roughness"]) == {
        "bands_mm",
        "outer",
        "inner",
        "share",
        "real_share",
        "everywhere",
        "real_everywhere",
    }
    assert len(found["roughness"]["outer"]["within"]) == len(found["roughness"]["bands_mm"])
    assert set(found["thickness"]) == {
        "vault_mm",
        "place_mm",
        "real_vault_mm",
        "real_place_mm",
        "contrast_mm",
    }
    assert set(found["base"]) == {"drops", "drop_share", "euler", "surface_per_mm"}
    assert set(found["pin_holes"]) == {"vault", "temporal"}
    assert 0 <= found["two_sample"]["skull_auc"] <= 1
    assert 0 <= found["two_sample"]["real_skull_auc"] <= 1
    first = run.audit("real").read_bytes()
    audit(run, config, "real")
    assert run.audit("real").read_bytes() == first


def test_an_empty_sample_is_named(small_run):
    with pytest.raises(InputError, match=r"other\.zarr: volume 1: .*empty"):
        audit(*small_run, "other")
