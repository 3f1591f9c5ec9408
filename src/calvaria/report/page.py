"""The report of a finished run, a self-contained HTML file."""

import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np

from calvaria import __version__
from calvaria.config import Arm, Config, dump
from calvaria.metrics.comparison import compare_arms, single
from calvaria.report import figures, looks, pictures, tables
from calvaria.report.pictures import FamilyPictures
from calvaria.report.summary import summary
from calvaria.report.view import view
from calvaria.skull import DOUBTFUL, is_accepted
from calvaria.storage.paths import Run
from calvaria.storage.rows import EvaluateRow, ScreenRow
from calvaria.storage.store import read_json, read_rows, write_atomically
from calvaria.utils.progress import duration

SHEETS = 8  # maximum number of contact sheets in the page
THREADS = 2  # that render pictures; the rule requests as many cores


@dataclass(frozen=True)
class FamilyPart:
    """One family in the report."""

    name: str
    kind: str
    text: str
    parameters: int | None
    samples: int
    rejections: list[tuple[str, int]]
    measures: list[tables.MeasureRow]
    curve: figures.Plot | None
    gates: figures.Plot | None
    failures: list[str]
    pictures: FamilyPictures
    case_count: int

    @property
    def rejected(self) -> int:
        """Number of draws that the screen rejected."""
        return sum(count for _, count in self.rejections)


@dataclass(frozen=True)
class ArmPart:
    """One arm in the report."""

    name: str
    mixture: str
    steps: int
    best_step: str
    validation_dsc: str
    cases: int
    empty: int
    scores: list[tables.Score]
    grid_dsc: str
    ensemble: str
    recipes: list[tables.Score | None]


def write_report(run: Run, config: Config, stages: Sequence[str]) -> None:
    """Read a finished run and write ``report.html``.

    Args:
        stages: names of stages in the order of the workflow.

    Raises:
        StoreError: if a file is missing or damaged.
    """
    write_atomically(run.report, fill("page.html", _content(run, config, stages)))


def fill(template: str, content: dict[str, Any]) -> str:
    """Fill a template; every value is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("calvaria", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(content)


def _content(run: Run, config: Config, stages: Sequence[str]) -> dict[str, Any]:
    """Return the variables of the template."""
    limits = read_json(run.limits)
    manifest = read_json(run.manifest) if run.manifest.is_file() else None
    audits = {family: read_json(run.audit(family)) for family in config.fit}
    samples = {family: run.screen(family).rows() for family in config.fit}
    scored = {arm: run.evaluate(arm).rows() for arm in config.train.arms}
    recipes = list(dict.fromkeys(row["recipe"] for rows in scored.values() for row in rows))
    best = tables.best_arm(scored)
    costs = tables.costs(run.root / "benchmarks", stages)
    steps = {arm: _steps(run.train(arm, 0) / "steps.jsonl") for arm in config.train.arms}
    baselines = config.report.baselines or tuple(config.train.arms)[:1]
    with ThreadPoolExecutor(THREADS) as threads:
        families = {name: threads.submit(pictures.family_pictures, run, config, name) for name in config.fit}
        failed = threads.submit(pictures.failed, run, config, scored)
        hardest = threads.submit(pictures.worst_everywhere, run, config, scored)
        gallery = threads.submit(pictures.gallery, run, config, best, scored[best])
        rotatable = threads.submit(view, run, config, scored, best)
        comparisons = compare_arms(scored, baselines, config.seed)
        return {
            "config": config,
            "version": __version__,
            "split": {cohort: len(members) for cohort, members in read_json(run.split).items()},
            "left_out": [row for row in run.ingest.rows() if not is_accepted(row)],
            "by_name": [row for row in run.ingest.rows() if row["verdict"] == DOUBTFUL and is_accepted(row)],
            "people": _people(run),
            "sheets": _sheets(run, config),
            "ingested": len(run.ingest.rows()),
            "held_out": {cohort: len(run.inject(cohort).rows()) for cohort in ("validation", "test")},
            "families": [
                _family(run, config, name, samples[name], limits, rendered.result())
                for name, rendered in families.items()
            ],
            "audit": tables.audit_table(audits),
            "audit_figure": figures.audit_figure(audits),
            "looks": looks.look_table(audits),
            "look_columns": looks.COLUMNS,
            "roughness_figure": looks.roughness_figure(audits),
            "audited": next(iter(audits.values())),
            "fidelity": tables.FIDELITY,
            "rebuilt": tables.REBUILT,
            "measure_figure": figures.measure_figure(samples, limits["training"]),
            "metrics": tables.METRICS,
            "recipes": recipes,
            "arms": arm_parts([run], config, scored, recipes),
            "best_arm": best,
            "summary": summary(scored, best, comparisons, config.seed),
            "view": rotatable.result(),
            "three": files("calvaria.report").joinpath("vendor/three.min.js").read_text(encoding="utf-8"),
            "comparisons": tables.comparison_table(comparisons),
            "difference_figure": figures.difference_figure(scored, comparisons),
            "samples_figure": figures.samples_figure(config, scored),
            "ensembles": any(len(single(rows)) < len(rows) for rows in scored.values()),
            "failures": tables.failed(scored, config.report.failure_dsc),
            "failure_dsc": config.report.failure_dsc,
            "failed": failed.result(),
            "score_figure": figures.score_figure({arm: single(rows) for arm, rows in scored.items()}),
            "training_figure": figures.training_figure(steps),
            "gallery": gallery.result(),
            "hardest": hardest.result(),
            "legend": pictures.LEGEND,
            "costs": costs,
            "total_time": duration(sum(cost.seconds for cost in costs)),
            "total_cpu": duration(sum(cost.cpu_seconds for cost in costs)),
            "manifest": manifest,
            "size_gb": _gigabytes(run, manifest) if manifest else None,
            "config_text": dump(config),
            "reproduce": f"snakemake --cores all --configfile {shlex.quote(str(run.config))}",
            "verify": f"calvaria verify {shlex.quote(str(run.root))}",
        }


def _gigabytes(run: Run, manifest: dict[str, Any]) -> float:
    """Return the size of the files of a manifest in GB."""
    return sum((run.root / name).stat().st_size for name in manifest["files"]) / 1e9


def _people(run: Run) -> dict[str, Any]:
    """Return the numbers of usable skulls and of people, and the pairs of repeat scans."""
    people = read_json(run.people)
    return {
        **people,
        "skulls": len(people["person"]),
        "people": len(set(people["person"].values())),
        "same": [pair for pair in people["pairs"] if pair["mm"] < people["same_mm"]],
    }


def _sheets(run: Run, config: Config) -> list[str]:
    """Return the first contact sheets as data URIs."""
    shards = range(min(SHEETS, -(-len(run.ingest) // config.ingest.shard_size)))
    return [figures.data_uri(run.sheet(shard).read_bytes()) for shard in shards]


def _family(
    run: Run,
    config: Config,
    name: str,
    samples: list[ScreenRow],
    limits: dict[str, Any],
    rendered: FamilyPictures,
) -> FamilyPart:
    section = config.fit[name]
    fitted = read_json(run.fit(name) / "fit.json")
    registrations = fitted.get("registrations", [])
    warps = {"registrations": registrations} if registrations else {}
    return FamilyPart(
        name=name,
        kind=section.kind,
        text=(type(section).__doc__ or "").strip(),
        parameters=fitted.get("parameters"),
        samples=len(samples),
        rejections=tables.rejections(samples),
        measures=tables.measure_table(samples, limits),
        curve=figures.curve_figure(_steps(run.fit(name) / "steps.jsonl")),
        gates=figures.gates_figure({**warps, "first draws": run.sample(name).rows()}),
        failures=tables.failures(registrations),
        pictures=rendered,
        case_count=len(run.inject(name).rows()),
    )


def arm_parts(
    runs: Sequence[Run], config: Config, scored: dict[str, list[EvaluateRow]], recipes: list[str]
) -> list[ArmPart]:
    """Return all arms, from their rows and from the networks of the runs, which are folds if several."""
    arms = [_arm(runs, config, name, rows, recipes) for name, rows in scored.items()]
    marked = tables.mark_best([arm.scores for arm in arms])
    return [replace(arm, scores=scores) for arm, scores in zip(arms, marked, strict=True)]


def _arm(
    runs: Sequence[Run], config: Config, name: str, rows: list[EvaluateRow], recipes: list[str]
) -> ArmPart:
    arm = config.train.arms[name]
    networks = [run.train(name, seed) for run in runs for seed in range(config.train.seeds)]
    trained = [read_json(network / "train.json") for network in networks]
    alone = single(rows)
    return ArmPart(
        name=name,
        mixture=_mixture(arm.families) + _augmented(arm),
        steps=trained[0]["steps"],
        best_step=", ".join(str(one["best_step"]) for one in trained),
        validation_dsc=", ".join(tables.number(one["validation_dsc"], tables.DSC.digits) for one in trained),
        cases=len({row["case"] for row in rows}),
        empty=sum(bool(row["empty"]) for row in alone),
        scores=tables.arm_scores(rows, config.seed),
        grid_dsc=tables.number(float(np.mean([row["grid"]["dsc"] for row in alone])), tables.DSC.digits),
        ensemble=tables.ensemble_dsc(rows),
        recipes=tables.by_recipe(alone, recipes),
    )


def _augmented(arm: Arm) -> str:
    """Describe an arm's geometric augmentation and number of skulls."""
    level = arm.geometric if isinstance(arm.geometric, str) else "custom"
    text = "" if level == "none" else f"; geometric, {level}"
    return text + (f"; {arm.samples} skulls per family" if arm.samples is not None else "")


def _mixture(weights: dict[str, float]) -> str:
    """Describe the shares of families in an arm's training cases, such as ``real 50 %, vae 50 %``."""
    if len(weights) == 1:
        return next(iter(weights))
    total = sum(weights.values())
    return ", ".join(f"{name} {100 * weight / total:.0f}\u00a0%" for name, weight in weights.items())


def _steps(path: Any) -> list[dict[str, Any]]:
    """Return the rows of a training log; empty without one."""
    return read_rows(path) if path.is_file() else []
