"""The report: complete, self-contained, honest about failures, and clear about what is missing."""

import math
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from calvaria.config import Config
from calvaria.errors import StoreError
from calvaria.paths import Run
from calvaria.report import figures, pictures, tables
from calvaria.report.page import write_report
from calvaria.report.summary import summary
from calvaria.report.surfaces import DISTANCE_MM, STEP_MM, distances, surface, to_json
from tests.unit.finished import NASTY, a_config, write_run

@pytest.fixture(scope="module", autouse=True)
def _small_pictures():
    """What is drawn does not matter here, only that it is; test_render.py looks at the pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SMALL", 24)
        patch.setattr(pictures, "LARGE", 24)
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
    assert not {"iframe", "object", "embed"} & set(page.tags)
    for address in page.addresses:
        assert address.startswith("data:") or address.removeprefix("#") in page.ids
    for outside in ("url(", "@import", "fetch(", "XMLHttpRequest", "importScripts"):
        assert outside not in html.replace("http://www.w3.org/1999/xhtml", "")


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
