"""The report: complete, self-contained, honest about failures, and clear about what is missing."""

import math
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from calvaria.config import Config, dump, parse
from calvaria.errors import StoreError
from calvaria.paths import Run
from calvaria.report import figures, pictures, tables
from calvaria.report.page import write_report
from calvaria.report.sheet import contact_sheet
from calvaria.store import write_atomically, write_json, write_rows, write_shard

NASTY = "<script>alert(1)</script>"
MEASURES = {
    "volume_ml": 500.0,
    "width_mm": 140.0,
    "length_mm": 180.0,
    "height_mm": 150.0,
    "thickness_mm": 6.0,
}
PERFECT = {
    **dict.fromkeys(("dsc", "bdsc_10mm", "bdsc_10vox", "surface_dice_1mm"), 1.0),
    **dict.fromkeys(("hd95_mm", "assd_mm", "rim_gap_mm"), 0.0),
    "empty": False,
}
NOTHING = {
    **dict.fromkeys(("dsc", "bdsc_10mm", "bdsc_10vox", "surface_dice_1mm"), 0.0),
    **dict.fromkeys(("hd95_mm", "assd_mm", "rim_gap_mm"), None),
    "empty": True,
}


def a_config() -> Config:
    return parse(
        {
            "name": "tiny",
            "grid": {"shape": [16, 16, 16], "spacing_mm": 12.0},
            "ingest": {"sources": {"phantom": {"kind": "phantom", "count": 4}}},
            "fit": {"real": {"kind": "real"}, "second-vae": {"kind": "vae", "optimiser": {"steps": 2}}},
            "inject": {"recipes": {"spheres": {"kind": "spheres"}}},
            "train": {
                "arms": {
                    "plain": {"families": {"real": 1}},
                    "mixed": {"families": {"real": 1, "second-vae": 3}, "geometric": "strong"},
                },
                "optimiser": {"steps": 2},
            },
            "report": {"skulls": 1, "cases": 1},
        },
        "test",
    )


def write_run(root: Path, config: Config) -> Run:
    """A finished run with made-up results: one of the two predictions of 'plain' is empty."""
    run, grid = Run(root), config.grid.voxels()
    x, y, z = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    skull = ((radius < 75) & (radius > 50)).astype(np.uint8)
    case = np.where((skull > 0) & (z > 45), 2, skull).astype(np.uint8)
    people = [{"id": f"p{i}", "person": f"p{i}"} for i in range(4)]
    verdicts = [("ok", None)] * 3 + [("vault open", f"holes of {NASTY}")]
    ingested = [
        {**who, "verdict": verdict, "reason": reason}
        for who, (verdict, reason) in zip(people, verdicts, strict=True)
    ]
    volumes = np.stack([skull, skull, skull, 0 * skull])
    run.root.mkdir(parents=True)
    run.config.write_text(dump(config))
    write_shard(run.ingest, 0, 4, 4, grid, volumes, ingested)
    write_json(
        run.people,
        {
            "same_mm": 0.35,
            "farthest_same_mm": 0.12,
            "closest_different_mm": 0.81,
            "person": {"p0": "p0", "p1": "p0", "p2": "p2"},
            "pairs": [{"first": "p0", "second": "p1", "mm": 0.12, "mirrored": True}],
        },
    )
    write_atomically(run.sheet(0), contact_sheet(ingested, volumes, grid))
    cohorts = dict(zip(("training", "validation", "test"), range(3), strict=True))
    write_json(run.split, {name: [{"index": i, **people[i]}] for name, i in cohorts.items()})
    limits = {measure: [0.8 * value, 1.2 * value] for measure, value in MEASURES.items()}
    write_json(run.root / "screen" / "limits.json", {**limits, "training": [MEASURES]})
    rejected = [{"attempt": 0, "reason": "bone volume 301.5 ml is below 400 ml"}]
    sample = {"attempt": 0, "parents": [], "parameters": {}, "measures": MEASURES}
    defect = {"skull": 0, "person": None, "parents": [], "recipe": "spheres", "defect": {}, "attempt": 0}
    defect["implant_ml"] = 30.0
    for family in config.fit:
        gates = {"similarity": 0.8, "folded": 0.0, "least_jacobian": 0.3}
        registered = [{**gates, "moving": NASTY, "target": "b", "fault": "warp folded"}]
        fitted = {"family": family, "kind": "real", "parameters": None}
        write_json(run.fit(family) / "fit.json", fitted | {"registrations": registered})
        drawn = {"parents": [], "parameters": gates, "fault": None}
        write_shard(run.sample(family), 0, 2, 2, grid, np.stack([skull] * 2), [drawn] * 2)
        row = {**sample, "family": family, "rejections": rejected}
        write_shard(run.screen(family), 0, 2, 2, grid, np.stack([skull] * 2), [row] * 2)
        rebuilt = {"skulls": 1, "empty": 0, "dice": 0.912, "surface95_voxels": 1.25, "surface_mm": 0.4}
        audited = {
            "held_out": 2,
            "fidelity": dict.fromkeys((one.key for one in tables.FIDELITY), 0.61),
            "memorisation": {
                "ratio": 0.87,
                "p_value": 0.0002,
                "nearest": [1.0, 1.5],
                "held_out_nearest": [1.2, 1.4],
            },
            "copies_dropped": 3,
            "reconstruction": {**rebuilt, "thickness_mm": None} if family != "real" else None,
        }
        write_json(run.audit(family), audited)
    for cohort in (*config.fit, "validation", "test"):
        write_shard(
            run.inject(cohort), 0, 2, 2, grid, np.stack([case] * 2), [{"cohort": cohort, **defect}] * 2
        )
    write_rows(run.fit("second-vae") / "steps.jsonl", [{"step": i, "loss": 1.0 / i} for i in (1, 2, 3)])
    for arm, outcomes in {"plain": [PERFECT, NOTHING], "mixed": [PERFECT, PERFECT]}.items():
        write_json(run.train(arm, 0) / "train.json", {"steps": 2, "best_step": 1, "validation_dsc": 0.5})
        rows = [
            {"case": i, "person": NASTY, "recipe": "spheres", "seed": 0, **outcome, "grid": {"dsc": 0.5}}
            for i, outcome in enumerate(outcomes)
        ]
        predicted = [np.where(case == 2, 0, case) if row["empty"] else case for row in rows]
        write_shard(run.evaluate(arm), 0, 2, 2, grid, np.stack(predicted).astype(np.uint8), rows)
    return run


@pytest.fixture(scope="module", autouse=True)
def _small_pictures():
    """What is drawn does not matter here, only that it is; test_render.py looks at the pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SMALL", 24)
        patch.setattr(pictures, "LARGE", 24)
        patch.setattr(figures, "DPI", 40)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Run, Config]:
    config = a_config()
    return write_run(tmp_path_factory.mktemp("report") / "run", config), config


@pytest.fixture(scope="module")
def html(finished) -> str:
    write_report(*finished)
    return finished[0].report.read_text()


class Page(HTMLParser):
    """What a browser would load, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for key, value in attrs if key == "id"]
        self.addresses += [
            value for key, value in attrs if key in ("src", "href", "srcset", "data", "action")
        ]
        if tag == "img":
            assert dict(attrs)["alt"]

    def handle_data(self, data):
        self.text += data


def test_the_report_needs_no_network_and_no_other_file(html):
    page = Page(html)
    assert page.addresses
    assert not {"script", "iframe", "object", "embed"} & set(page.tags)
    for address in page.addresses:
        assert address.startswith("data:") or address.removeprefix("#") in page.ids
    for outside in ("url(", "@import", "http"):
        assert outside not in html


def test_the_report_names_every_family_and_arm_with_pictures_and_scores(html):
    page = Page(html)
    for name in ("real", "second-vae", "plain", "mixed"):
        assert name in page.text
    for alt in (
        "Skull 0 of the family second-vae",
        "Defective skull of case 0 of the family real",
        "Implant that the arm mixed predicted",
        "Training curves of the family second-vae",
    ):
        assert f'alt="{alt}' in html
    assert "Training curves of the family real" not in html  # it fits nothing
    for words in (
        "DSC",
        "bDSC, 10 mm",
        "HD95",
        "mm",
        "2 samples from 4 draws, 2 rejected",
        "1-NN accuracy",
        "< 0.001",
        "0.912",
        "research use only",
    ):
        assert words in page.text
    assert "2 × bone volume … ml is below … ml" in page.text
    assert "real 25 %, second-vae 75 %; geometric, strong" in page.text


def test_empty_predictions_are_counted_and_make_the_mean_infinite(html):
    text = Page(html).text
    assert "1 of 2 predictions are empty" in text
    assert "∞ / ∞" in text  # the median of 0 mm and infinity is infinite as well
    assert "0.500 / 0.500" in text  # the DSC of 1 and 0: the empty one is not dropped


def test_what_was_left_out_is_said_and_names_cannot_inject_html(html):
    assert "1 skull was left out" in Page(html).text
    assert NASTY not in html
    assert "vault open: holes of &lt;script&gt;" in html


def test_the_same_run_gives_the_same_report(finished, html):
    write_report(*finished)
    assert finished[0].report.read_text() == html


@pytest.mark.parametrize(
    "missing",
    [
        "split.json",
        "screen/limits.json",
        "fit/second-vae/fit.json",
        "train/mixed/0/train.json",
        "ingest.zarr",
        "screen/real.zarr",
        "inject/test.zarr",
        "evaluate/plain.zarr/rows/0.jsonl",
    ],
)
def test_a_missing_file_is_named_and_no_report_is_left(finished, tmp_path, missing):
    run, config = finished
    copy = Run(tmp_path / "run")
    shutil.copytree(run.root, copy.root, ignore=shutil.ignore_patterns("report.html"))
    gone = copy.root / missing
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(StoreError, match=Path(missing).parts[0]):
        write_report(copy, config)
    assert not copy.report.exists()


def test_warps_are_shown_with_what_the_gates_rejected(html):
    assert "What the gates saw of the family" in html
    assert "1 registration did not pass" in html
    assert "→ b: warp folded" in html
    assert figures.gates_figure({"first draws": [{"parameters": {}, "fault": None}]}) is None


def test_costs_are_summed_per_stage_in_the_order_of_the_workflow(tmp_path):
    head = "s\th:m:s\tmax_rss\n"
    for name, line in {
        "train/a.tsv": "10.5\t0:00:10\t800.0",
        "train/deep/b.tsv": "2.0\t0:00:02\t900.0",
        "split.tsv": "0.1\t0:00:00\tNA",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + line + "\n")
    assert tables.costs(tmp_path) == [
        tables.Cost("split", 1, 0.1, None),
        tables.Cost("train", 2, 12.5, 900.0),
    ]
    assert tables.costs(tmp_path / "absent") == []
    (tmp_path / "fit.tsv").write_text("nonsense\n")
    with pytest.raises(StoreError, match=r"fit\.tsv"):
        tables.costs(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (185, "3 min 05 s"), (59.97, "1 min 00 s"), (7800, "2 h 10 min")]
)
def test_durations_read_as_people_say_them(seconds, text):
    assert tables.duration(seconds) == text


def test_the_best_arm_is_marked_per_metric_in_its_own_direction():
    better = [tables.Score(0.9 if metric.rises else 1.0, 0.0, 2) for metric in tables.METRICS]
    worse = [tables.Score(0.8 if metric.rises else math.inf, 0.0, 2) for metric in tables.METRICS]
    first, second = tables.mark_best([better, worse])
    assert all(score.best for score in first)
    assert not any(score.best for score in second)
    assert not any(score.best for score in tables.mark_best([worse])[0] if math.isinf(score.mean))
