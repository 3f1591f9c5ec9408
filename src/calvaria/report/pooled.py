"""The report of a cross-validation: the test cases of all folds, in which every person is tested once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calvaria import __version__
from calvaria.config import Config, load
from calvaria.errors import InputError
from calvaria.metrics.comparison import compare_arms, single
from calvaria.pipeline.manifest import read_manifest
from calvaria.report import figures, tables
from calvaria.report.page import arm_parts, fill
from calvaria.report.summary import summary
from calvaria.storage.paths import Run
from calvaria.storage.rows import EvaluateRow
from calvaria.storage.store import read_json, write_atomically


@dataclass(frozen=True)
class Fold:
    """A finished run of one fold."""

    run: Run
    config: Config
    digest: str

    @property
    def people(self) -> set[str]:
        """The people of its test cohort."""
        return {row["person"] for row in read_json(self.run.split)["test"]}


def write_pooled_report(directories: Sequence[Path], out: Path) -> tuple[int, int]:
    """Pool the test cases of all folds of a cross-validation into a report.

    Args:
        directories: of the runs, one per fold, in any order.
        out: the page.

    Returns:
        the numbers of folds and of test people.

    Raises:
        InputError: if the runs are not the folds of one cross-validation.
        StoreError: if a run is not finished, or damaged.
    """
    folds = _folds(directories)
    write_atomically(out, fill("pooled.html", _content(folds)))
    return len(folds), sum(len(fold.people) for fold in folds)


def _folds(directories: Sequence[Path]) -> list[Fold]:
    """Return the folds in order, after checking that they are all of one cross-validation."""
    runs = [Run(directory) for directory in directories]
    folds = [Fold(run, load(run.config), read_manifest(run)["digest"]) for run in runs]
    first = folds[0]
    numbers = sorted(fold.config.split.fold for fold in folds)
    expected = list(range(first.config.split.folds or 0))
    if numbers != expected:
        raise InputError(
            f"{first.run.root}: expected the runs of all {len(expected)} folds of split.folds, each once, "
            f"got fold(s) {', '.join(map(str, numbers))}"
        )
    for fold in folds[1:]:
        if keys := _differing(_without_fold(first.config), _without_fold(fold.config)):
            raise InputError(
                f"{fold.run.root}: expected the config of {first.run.root} except for split.fold, but "
                f"{', '.join(keys)} differ(s); pool the folds of one config"
            )
    tested = [person for fold in folds for person in fold.people]
    known = set(read_json(first.run.people)["person"].values())
    if sorted(tested) != sorted(known):
        raise InputError(
            f"{first.run.root}: expected every one of {len(known)} people in the test cohort of one fold, "
            f"got {len(tested)} test people, {len(set(tested))} of them different; run the folds on the same "
            "scans"
        )
    return sorted(folds, key=lambda fold: fold.config.split.fold)


def _without_fold(config: Config) -> dict[str, Any]:
    content: dict[str, Any] = config.model_dump(mode="json")
    return content | {"split": {**content["split"], "fold": None}}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [key for key in one if one[key] != other.get(key)]


def _content(folds: Sequence[Fold]) -> dict[str, Any]:
    """Return the variables of the template."""
    config = folds[0].config
    of_fold = [{arm: fold.run.evaluate(arm).rows() for arm in config.train.arms} for fold in folds]
    scored = {arm: _pooled([rows[arm] for rows in of_fold]) for arm in config.train.arms}
    baselines = config.report.baselines or tuple(config.train.arms)[:1]
    comparisons = compare_arms(scored, baselines, config.seed)
    best = tables.best_arm(scored)
    recipes = list(dict.fromkeys(row["recipe"] for rows in scored.values() for row in rows))
    failures = [
        replace(one, arm=f"{one.arm}, fold {fold.config.split.fold}")
        for fold, rows in zip(folds, of_fold, strict=True)
        for one in tables.failed(rows, config.report.failure_dsc)
    ]
    return {
        "config": config,
        "version": __version__,
        "folds": [
            {
                "number": fold.config.split.fold,
                "run": str(fold.run.root),
                "people": len(fold.people),
                "cases": len({row["case"] for row in rows[best]}),
                "digest": fold.digest,
            }
            for fold, rows in zip(folds, of_fold, strict=True)
        ],
        "people": sum(len(fold.people) for fold in folds),
        "held_out": {"test": len({row["case"] for row in scored[best]})},
        "summary": summary(scored, best, comparisons, config.seed),
        "metrics": tables.METRICS,
        "recipes": recipes,
        "arms": arm_parts([fold.run for fold in folds], config, scored, recipes),
        "comparisons": tables.comparison_table(comparisons),
        "difference_figure": figures.difference_figure(scored, comparisons),
        "samples_figure": figures.samples_figure(config, scored),
        "ensembles": any(len(single(rows)) < len(rows) for rows in scored.values()),
        "failures": failures,
        "failure_dsc": config.report.failure_dsc,
        "failed": [],
        "score_figure": figures.score_figure({arm: single(rows) for arm, rows in scored.items()}),
        "training_figure": None,
    }


def _pooled(folds: Sequence[Sequence[EvaluateRow]]) -> list[EvaluateRow]:
    """Return the rows of all folds, their cases numbered consecutively."""
    pooled: list[EvaluateRow] = []
    first = 0
    for rows in folds:
        pooled += [{**row, "case": first + row["case"]} for row in rows]
        first += 1 + max(row["case"] for row in rows)
    return pooled
