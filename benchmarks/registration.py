"""Benchmark of registration: CPU time per accepted skull, accuracy, folding, thickness, diversity.

    python benchmarks/registration.py RUN FOLDER TARGET.md

RUN is a run whose skulls are ingested at 1 mm (results/NAME); FOLDER stores registrations, so that an
interrupted benchmark resumes. Two processes run at a time. Times are CPU times.

(a) antsRegistrationSyNQuick at 1 mm, once per unordered pair, both directions, nearest-neighbour masks
(b) mode pairwise; (c) mode template; (d) the statistical deformation model of its fields
"""

import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from registration_interpolation import interpolation
from registration_report import WARPS, report
from registration_setting import Setting, population, timed

from calvaria.families.registration.fields import prepare
from calvaria.families.registration.gates import Measured, verdict
from calvaria.families.registration.measures import measure
from calvaria.families.registration.syn import import_ants
from calvaria.families.registration.warping import warp_pair
from calvaria.families.run_context import context_of, new_context, registration_context
from calvaria.geometry.overlap import dice
from calvaria.plugins.family import Draw, Population
from calvaria.report.render import VIEWS, render
from calvaria.skull.measures import measure as measure_skull
from calvaria.skull.measures import vault_map
from calvaria.skull.screening import limits, screen_skull
from calvaria.storage.models import save_model
from calvaria.storage.store import read_json, write_json, write_rows
from calvaria.storage.tensors import write_tensors

SKETCHES = 10


def accepted_ranges(setting: Setting, people: Population) -> dict:
    """Return the ranges that the screen accepts."""
    path = setting.part("limits")
    if not path.is_file():
        measures = [measure_skull(mask, setting.grid) for mask in people.masks]
        write_json(path, limits(measures, setting.config.screen))
    return {name: tuple(value) for name, value in read_json(path).items()}


def judge(
    setting: Setting, people: Population, warped, moving: int, target: int | None, figures: dict, fault
):
    """Return the row of one warp: its measures, and whether gates and screen accept it."""
    grid = setting.grid
    seconds, screened = timed(
        screen_skull, warped, grid, accepted_ranges(setting, people), setting.config.screen
    )
    compared = people.masks[moving if target is None else target]
    theirs = vault_map(compared, grid).thickness_mm
    mine = vault_map(warped, grid).thickness_mm
    both = (mine > 0) & (theirs > 0)
    row = {
        **figures,
        "fault": fault or screened.reason,
        "screen_s": seconds,
        "thickness_error_mm": abs(float(mine[both].mean() - theirs[both].mean())),
        "moving": moving,
        "target": target,
    }
    if target is not None:
        row["dice"] = dice(warped, compared)
        row["surface_mm"] = surface_distance(warped, compared)
    return row


def surface_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the symmetric mean surface distance in mm of two masks of 1 mm voxels."""
    import edt
    from scipy.ndimage import binary_erosion

    edges = [mask & ~binary_erosion(mask) for mask in (one > 0, other > 0)]
    away = [edt.edt(~edge) for edge in edges]
    there, back = away[1][edges[0]], away[0][edges[1]]
    return float((there.sum() + back.sum()) / (there.size + back.size))


def nearest_neighbour(setting: Setting) -> None:
    """Measure part (a), the method of the winner of the 2020 challenge."""
    people = population(setting.ingested)
    accepted_ranges(setting, people)
    ants = import_ants(1)
    rows, volumes = [], []
    for one, other in setting.pairs(people):
        images = {place: ants.from_numpy(people.masks[place].astype(np.float32)) for place in (one, other)}
        seconds, found = timed(
            ants.registration, images[other], images[one], type_of_transform="antsRegistrationSyNQuick[s]"
        )
        for moving, target, inwards in ((one, other, False), (other, one, True)):
            transforms = found["invtransforms" if inwards else "fwdtransforms"]
            options = {"whichtoinvert": [True, False]} if inwards else {}
            cost, warped = timed(
                ants.apply_transforms,
                images[target],
                images[moving],
                transforms,
                interpolator="nearestNeighbor",
                **options,
            )
            warped = (warped.numpy() > 0).astype(np.uint8)
            with tempfile.TemporaryDirectory() as scratch:
                path = ants.apply_transforms(
                    images[target], images[moving], transforms, compose=f"{scratch}/it", **options
                )
                import torch

                field = torch.from_numpy(np.moveaxis(ants.image_read(path).numpy(), -1, 0).copy())
            skull = prepare(people.masks[moving], setting.grid, 1.0)
            figures = measure(warped, people.masks[target], skull, field, setting.grid)
            fault = verdict(figures, setting.config.fit["pairwise"].gates)
            row = judge(setting, people, warped, moving, target, asdict(figures), fault)
            rows.append({**row, "register_s": seconds / 2, "warp_s": cost})
            volumes.append(warped)
            print("ants", rows[-1], flush=True)
    finish(setting, "ants", people, rows, volumes, {})


def build_template(setting: Setting) -> None:
    people = population(setting.ingested)
    if not setting.run.template("template").is_file():
        context = new_context(setting.run, setting.config, "template")
        seconds, mask = timed(setting.config.fit["template"].build_template, people, context)
        write_tensors(setting.run.template("template"), {"mask": mask})
        write_json(setting.part("template-build"), {"seconds": seconds})


def register(setting: Setting, family: str, batch: int) -> None:
    people = population(setting.ingested)
    if not setting.run.registrations(family, batch).is_file():
        context = registration_context(setting.run, setting.config, family)
        batches = setting.config.batches(family, len(setting.run.ingest))
        seconds, (tensors, rows) = timed(setting.config.fit[family].register, people, context, batch, batches)
        write_tensors(setting.run.fields(family, batch), tensors)
        write_rows(setting.run.registrations(family, batch), rows)
        write_json(setting.part(f"{family}-{batch}"), {"seconds": seconds})


def warps(setting: Setting, family: str) -> None:
    """Measure parts (b) and (c): the ordered pairs of (a), warped by the complete fields."""
    people = population(setting.ingested)
    accepted_ranges(setting, people)
    context = context_of(setting.run, setting.config, family)
    once, model = timed(setting.config.fit[family].fit, people, context)
    save_model(setting.run.fit(family), model)
    space, ways = setting.warping(family, people, model)
    ordered = [pair for one, other in setting.pairs(people) for pair in ((one, other), (other, one))]
    rows, volumes = [], []

    def make(moving: int, target: int):
        field = ways.field(moving, target, space.field_grid)
        if ways.through_template:
            field = space.refined(moving, ways.depth(target), field)
        return warp_pair(space, moving, target, field, 1.0)

    make(*ways.pairs[0])  # warm-up
    for moving, target in ordered:
        if (moving, target) not in ways.pairs:
            rows.append({"fault": "registration rejected", "moving": moving, "target": target})
            continue
        space._last = None  # forces preparation of the skull for every warp; a run does so once per skull
        prepare_s, _ = timed(space.skull, moving)
        cost, made = timed(make, moving, target)
        figures = {key: made.parameters[key] for key in Measured.__dataclass_fields__}
        row = judge(setting, people, made.skull, moving, target, figures, made.fault)
        rows.append({**row, "warp_s": cost, "prepare_s": prepare_s})
        volumes.append(made.skull)
        print(family, rows[-1], flush=True)
    finish(setting, family, people, rows, volumes, {"fit_s": once, "passed": len(ways.pairs)})


def model(setting: Setting) -> None:
    """Measure part (d): samples of the statistical deformation model."""
    people = population(setting.ingested)
    family, context = setting.config.fit["ssm"], context_of(setting.run, setting.config, "ssm")
    once, fitted = timed(family.fit, people, context)
    save_model(setting.run.fit("ssm"), fitted)
    rows, volumes = [], []
    family.sample(fitted, people, [Draw(99, 0)], context)
    draws = [Draw(index, 0) for index in range(WARPS)]
    for draw in draws:
        cost, (made,) = timed(family.sample, fitted, people, [draw], context)
        moving = people.ids.index(made.parameters["moving"])
        figures = {
            key: value for key, value in made.parameters.items() if key in Measured.__dataclass_fields__
        }
        row = judge(setting, people, made.skull, moving, None, figures, made.fault)
        rows.append({**row, "warp_s": cost})
        volumes.append(made.skull)
        print("ssm", rows[-1], flush=True)
    finish(setting, "ssm", people, rows, volumes, {"fit_s": once, **fitted.record})


def finish(setting: Setting, name: str, people: Population, rows: list, volumes: list, more: dict) -> None:
    """Compute the diversity of a part, and write its results and a picture of ten skulls."""
    import itertools

    count = len(volumes)
    apart = [1 - dice(volumes[i], volumes[j]) for i, j in itertools.combinations(range(count), 2)]
    nearest = [max(dice(volume, mask) for mask in people.masks) for volume in volumes]
    picture = Image.new("RGB", (5 * 180, 2 * 180), "white")
    for number, volume in enumerate(volumes[:SKETCHES]):
        tile = Image.fromarray(render(volume, setting.grid, VIEWS["oblique"], 180))
        picture.paste(tile, (number % 5 * 180, number // 5 * 180))
    picture.quantize(96).save(setting.run.root / f"{name}.png")
    record = {"rows": rows, "apart": float(np.mean(apart)), "nearest": float(np.mean(nearest)), **more}
    write_json(setting.part(name), record)


def sub(arguments: list[str], *more: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, __file__, *arguments, "--", *more])


def finished(*processes: subprocess.Popen) -> None:
    for process in processes:
        if process.wait():
            raise SystemExit(f"failed: {process.args}")


def main(arguments: list[str]) -> None:
    setting = Setting(*arguments[:2])
    accepted_ranges(setting, population(setting.ingested))
    if not setting.part("template-build").is_file():
        slow = sub(arguments, "pairwise") if not setting.part("pairwise").is_file() else None
        finished(sub(arguments, "build"))
        if slow:
            finished(slow)
    finished(*(sub(arguments, "register", "template", str(batch)) for batch in range(2)))
    first = [] if setting.part("ants").is_file() else [sub(arguments, "ants")]
    finished(sub(arguments, "warps", "template"))
    finished(sub(arguments, "ssm"))
    finished(sub(arguments, "interpolation"))
    finished(*first)
    report(setting.run, len(population(setting.ingested)), Path(arguments[2]))


def part(setting: Setting, name: str, *more: str) -> None:
    match name:
        case "ants":
            nearest_neighbour(setting)
        case "build":
            build_template(setting)
        case "pairwise":
            for batch in range(2):
                register(setting, "pairwise", batch)
            warps(setting, "pairwise")
        case "register":
            register(setting, more[0], int(more[1]))
        case "warps":
            warps(setting, more[0])
        case "ssm":
            model(setting)
        case "interpolation":
            interpolation(setting)
        case "report":
            report(setting.run, len(population(setting.ingested)), Path(more[0]))
        case _:
            raise SystemExit(f"no such part: {name}")


if __name__ == "__main__":
    given = sys.argv[1:]
    if "--" in given:
        at = given.index("--")
        part(Setting(*given[:2]), *given[at + 1 :])
    else:
        main(given)
