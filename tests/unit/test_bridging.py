"""A vault is interpolated across a hole to a fraction of a millimetre, and unchanged elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from calvaria.reconstruction.surfaces.interpolation import interpolate, surface_distances
from calvaria.skull.vault_map import SIZE, VaultPicture, directions, inside_cone

CONE = inside_cone()
KNOWN = 16


def radius(rays: np.ndarray, axes: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return the distance in mm along unit vectors (..., 3) to an ellipsoid around the origin."""
    square, mixed = ((rays / axes) ** 2).sum(-1), (rays * middle / axes**2).sum(-1)
    rest = ((middle / axes) ** 2).sum() - 1
    return (mixed + np.sqrt(mixed**2 - square * rest)) / square


def ellipsoid(axes: np.ndarray, middle: np.ndarray, thickness: float) -> VaultPicture:
    """Return the vault of an ellipsoidal shell with outer semi-axes, centre and thickness in mm."""
    outer, inner = (radius(directions(), one, middle) for one in (axes, axes - thickness))
    return VaultPicture(
        inner.astype(np.float32), outer.astype(np.float32), np.full((SIZE, SIZE), 150, np.float32)
    )


def head(rng: np.random.Generator, size: float = 1.0) -> VaultPicture:
    """Return a head with random proportions and a small random offset from the centre."""
    axes = np.array([71, 88, 77]) * size * rng.normal(1, 0.04, 3)
    return ellipsoid(axes, rng.normal(0, 2.5, 3), rng.normal(6.5, 0.7))


def cap(towards: tuple[float, float, float], angle: float) -> np.ndarray:
    """Return (SIZE, SIZE) bool, the directions within an angle in rad of a given direction."""
    return (directions() @ (np.array(towards) / np.linalg.norm(towards)) > np.cos(angle)) & CONE


def without(vault: VaultPicture, hole: np.ndarray) -> VaultPicture:
    """Return the vault image with bone missing in a hole."""
    return replace(
        vault, **{name: np.where(hole, 0, getattr(vault, name)) for name in ("outer_mm", "inner_mm")}
    )


def images(vault: VaultPicture) -> np.ndarray:
    return np.stack([vault.outer_mm, vault.inner_mm]).astype(np.float64)


def mirrored(vault: VaultPicture) -> VaultPicture:
    return VaultPicture(vault.inner_mm[::-1], vault.outer_mm[::-1], vault.exit_mm[::-1])


SIDE = cap((0.65, 0.2, 0.7), 0.45)  # 7 cm across
FRONT = cap((0.1, 0.8, 0.6), 0.4)
RIM = cap((-0.9, -0.3, 0.35), 0.4)
HOLES = pytest.mark.parametrize("hole", [SIDE, FRONT, RIM], ids=["side", "front", "rim"])
SIZES = pytest.mark.parametrize("size", [0.9, 1.0, 1.1])


@pytest.fixture(scope="module")
def known() -> np.ndarray:
    rng = np.random.default_rng(0)
    return surface_distances([head(rng) for _ in range(KNOWN)])


def rms(errors: np.ndarray) -> np.ndarray:
    """Return the (2,) root mean square of the outer and the inner surface."""
    return np.sqrt((errors**2).mean(axis=1))


@HOLES
@SIZES
@pytest.mark.parametrize("seed", [1, 2])
def test_both_surfaces_are_continued_to_a_fraction_of_a_millimetre(known, hole, size, seed):
    """This includes heads smaller or larger than all known ones; the mean's error is up to a centimetre."""
    truth = head(np.random.default_rng(seed), size)
    found = images(interpolate(without(truth, hole), hole, known))[:, hole] - images(truth)[:, hole]
    assert rms(found).max() < 0.2
    assert np.abs(found).max() < 0.4
    mean = known.mean(0)[:, hole[CONE]] - images(truth)[:, hole]
    assert (rms(found) < 0.1 * rms(mean)).all()
    moved = mean - (known.mean(0)[:, ~hole[CONE]] - images(truth)[:, CONE & ~hole]).mean()
    assert (rms(found) < 0.25 * rms(moved)).all()


@HOLES
def test_outside_of_the_hole_nothing_is_changed(known, hole):
    open_vault = without(head(np.random.default_rng(1)), hole)
    whole = interpolate(open_vault, hole, known)
    assert np.array_equal(images(whole)[:, ~hole], images(open_vault)[:, ~hole])
    assert np.array_equal(whole.exit_mm, open_vault.exit_mm)
    assert not images(open_vault)[:, hole].any()
    assert (images(whole)[:, hole] > 50).all()
    assert whole.outer_mm.dtype == whole.inner_mm.dtype == np.float32


def wider(hole: np.ndarray) -> np.ndarray:
    """Return a hole widened by four pixels, about 1.5 cm, on all sides."""
    return binary_dilation(hole, np.ones((3, 3)), iterations=4) & CONE


@HOLES
def test_how_widely_a_hole_is_drawn_hardly_matters(known, hole):
    """Bone observed in the hole is used where it agrees with the interpolation."""
    truth = head(np.random.default_rng(1))
    open_vault = without(truth, hole)
    found = images(interpolate(open_vault, wider(hole), known)) - images(interpolate(open_vault, hole, known))
    assert np.abs(found[:, hole]).max() < 0.1
    blind = without(truth, wider(hole))
    error, without_rim = (
        rms((images(interpolate(one, wider(hole), known)) - images(truth))[:, hole])
        for one in (open_vault, blind)
    )
    assert (error < without_rim).all()


def test_a_splint_or_a_bevelled_rim_in_the_hole_is_not_believed(known):
    truth = head(np.random.default_rng(1))
    open_vault = without(truth, SIDE)
    expected = images(interpolate(open_vault, wider(SIDE), known))
    rim = binary_dilation(SIDE, np.ones((3, 3))) & ~SIDE
    for outer_mm in (np.where(SIDE, 120, 0), np.where(rim, truth.outer_mm - 3, 0)):
        changed = np.where(outer_mm > 0, outer_mm, open_vault.outer_mm).astype(np.float32)
        inner = np.where(SIDE & (outer_mm > 0), 110, open_vault.inner_mm).astype(np.float32)
        found = images(interpolate(replace(open_vault, outer_mm=changed, inner_mm=inner), wider(SIDE), known))
        assert np.abs(found - expected)[:, SIDE].max() < 0.15


def test_a_vault_without_hole_is_returned_as_it_is(known):
    vault = head(np.random.default_rng(1))
    found = interpolate(vault, np.zeros((SIZE, SIZE), bool), known)
    assert np.array_equal(images(found), images(vault))
    found = interpolate(vault, ~CONE, known)  # the corners are not part of the image
    assert np.array_equal(images(found), images(vault))


def test_a_hole_without_bone_around_it_is_not_bridged(known):
    nothing = without(head(np.random.default_rng(1)), CONE)
    assert np.array_equal(images(interpolate(nothing, SIDE, known)), images(nothing))


def test_a_second_gap_is_neither_bridged_nor_taken_for_bone(known):
    truth = head(np.random.default_rng(1))
    gap = cap((0.75, -0.5, 0.5), 0.15)
    assert not (gap & SIDE).any()
    found = images(interpolate(without(truth, SIDE | gap), SIDE, known))
    assert not found[:, gap].any()
    assert rms(found[:, SIDE] - images(truth)[:, SIDE]).max() < 0.2


@HOLES
def test_a_mirrored_vault_is_bridged_mirrored(known, hole):
    """This holds although neither the known heads nor this one is symmetric."""
    open_vault = without(head(np.random.default_rng(1)), hole)
    found = interpolate(open_vault, hole, known)
    again = mirrored(interpolate(mirrored(open_vault), hole[::-1], known))
    assert np.allclose(images(again), images(found), rtol=0, atol=1e-4)
    assert np.abs(images(found) - images(mirrored(found)))[:, CONE].max() > 2


def test_a_bump_of_the_other_side_is_expected_on_this_one_too(known):
    """No known head has bumps; the hidden half of a bump is inferred from its mirror image."""

    def bump(side: int) -> np.ndarray:
        towards = np.array([side * 0.65, 0.2, 0.7]) / np.linalg.norm([0.65, 0.2, 0.7])
        return 3 * np.exp(-((np.arccos(np.clip(directions() @ towards, -1, 1)) / 0.3) ** 2))

    def stated(more: np.ndarray) -> float:
        """Return the change of the interpolated radius in the hole for a given bump in mm."""
        bumpy = replace(vault, outer_mm=vault.outer_mm + more, inner_mm=vault.inner_mm + more)
        found, usual = (images(interpolate(without(one, SIDE), SIDE, known)) for one in (bumpy, vault))
        return float((found - usual)[:, SIDE].mean())

    vault = head(np.random.default_rng(5))
    there = float(bump(1)[SIDE].mean())
    assert 0.5 * there < stated(bump(1) + bump(-1)) < there
    assert stated(bump(1) + bump(-1)) > 1.5 * stated(bump(1))


def test_surfaces_are_those_of_the_cone_and_gaps_are_filled_to_size():
    """For spheres, the missing surface is known."""
    spheres = [ellipsoid(np.full(3, 66.0 + 2 * number), np.zeros(3), 6) for number in range(10)]
    whole = surface_distances(spheres)
    assert whole.shape == (10, 2, CONE.sum())
    assert whole.dtype == np.float32
    assert np.allclose(whole, [[[66 + 2 * number], [60 + 2 * number]] for number in range(10)], atol=1e-4)
    filled = surface_distances([*spheres[:-1], without(spheres[-1], FRONT)])
    gap = FRONT[CONE]
    assert np.array_equal(filled[:, :, ~gap], whole[:, :, ~gap])
    assert np.allclose(filled[:-1], whole[:-1], atol=1e-4)
    assert np.abs(filled - whole).max() < 1.1  # the mean of the other vaults is 10 mm smaller
    assert (filled[-1, 0, gap] - filled[-1, 1, gap]) == pytest.approx(6, abs=1e-3)
