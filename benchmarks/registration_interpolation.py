"""The part of benchmarks/registration.py that compares interpolations."""

import tempfile

import cc3d
import numpy as np
from registration_setting import Setting, population, timed

from calvaria.families.registration.fields import centres, look_up, warp
from calvaria.families.registration.syn import import_ants
from calvaria.geometry.overlap import dice
from calvaria.skull.measures import vault_map
from calvaria.storage.models import load_model
from calvaria.storage.store import write_json


def interpolation(setting: Setting) -> None:
    """Compare interpolation methods of skulls on composed fields, and ants.apply_transforms."""
    people = population(setting.ingested)
    ants = import_ants(1)
    space, ways = setting.warping("template", people, load_model(setting.run.fit("template")))
    grid, rows = setting.grid, []
    places = centres(grid)
    for pair in setting.pairs(people):
        moving, target = pair
        field = space.refined(moving, ways.depth(target), ways.field(moving, target, space.field_grid))
        fine = look_up(field, space.field_grid, places)
        there = places + fine.movedim(0, -1)
        skull = space.skull(moving)
        mine_s, mine = min(
            (timed(warp, skull, field, space.field_grid) for _ in range(3)), key=lambda t: t[0]
        )
        occupancy = look_up(skull.values[1:], grid, there, "zeros")[0].numpy()
        index = [
            np.clip(np.rint(there[..., a].numpy() / grid.spacing_mm + (n - 1) / 2), 0, n - 1).astype(int)
            for a, n in enumerate(grid.shape)
        ]
        nearest = people.masks[moving][tuple(index)]
        with tempfile.TemporaryDirectory() as scratch:
            origin = tuple(float(grid.centres(axis)[0]) for axis in range(3))
            vectors = np.ascontiguousarray(np.moveaxis(fine.numpy(), 0, -1))
            ants.image_write(
                ants.from_numpy(vectors, origin=origin, spacing=(1.0,) * 3, has_components=True),
                f"{scratch}/field.nii.gz",
            )
            reference = ants.from_numpy(people.masks[target].astype(np.float32), origin=origin)
            mask = ants.from_numpy(people.masks[moving].astype(np.float32), origin=origin)
            theirs_s, theirs = min(
                (
                    timed(ants.apply_transforms, reference, mask, [f"{scratch}/field.nii.gz"])
                    for _ in range(3)
                ),
                key=lambda t: t[0],
            )
        theirs = theirs.numpy()
        expected = vault_map(people.masks[target], grid)
        for name, warped in (
            ("nearest neighbour", nearest),
            ("linear, threshold 0.5", (occupancy > 0.5).astype(np.uint8)),
            ("distances, threshold that keeps volume", mine),
        ):
            found = vault_map(warped, grid)
            both = (found.thickness_mm > 0) & (expected.thickness_mm > 0)
            rows.append(
                {
                    "way": name,
                    "dice": dice(warped, people.masks[target]),
                    "thickness_error_mm": float(
                        np.abs(found.thickness_mm - expected.thickness_mm)[both].mean()
                    ),
                    "volume_error": float(np.count_nonzero(warped) / occupancy.sum(dtype=np.float64) - 1),
                    "rough": roughness(warped),
                    "pieces": int(cc3d.connected_components(warped, connectivity=26).max()),
                }
            )
        rows.append(
            {
                "way": "ants",
                "mine_s": mine_s,
                "theirs_s": theirs_s,
                "occupancy_error": float(np.abs(theirs - occupancy).max()),
                "occupancy_mean_error": float(np.abs(theirs - occupancy)[occupancy > 0].mean()),
                "dice": dice(mine, theirs > 0.5),
            }
        )
        print(rows[-4:], flush=True)
    write_json(setting.part("interpolation"), {"rows": rows})


def roughness(mask: np.ndarray) -> float:
    """Return the number of bone-air faces per bone voxel, which steps and tears increase."""
    faces = sum(np.count_nonzero(np.diff((mask > 0).view(np.int8), axis=axis)) for axis in range(3))
    return float(faces / np.count_nonzero(mask))
