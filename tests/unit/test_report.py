"""The report: complete, self-contained, with all failures, and with errors for missing files."""

import gzip
import math
import shutil
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from calvaria.config import Config
from calvaria.errors import StoreError
from calvaria.geometry.grid import Grid
from calvaria.metrics.comparison import compare_arms
from calvaria.report import figures, looks, pictures, tables
from calvaria.report.page import write_report
from calvaria.report.summary import summary
from calvaria.report.surfaces import DISTANCE_MM, STEP_MM, distances, surface, to_json
from calvaria.stages import STAGES
from calvaria.storage.paths import Run
from tests.unit.made_up import LOOKS, NASTY, a_config, write_run

ORDER = [stage.name for stage in STAGES]


@pytest.fixture(scope="module", autouse=True)
def _small_pictures():
    """Render small pictures, as their content is tested in test_render.py."""
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
    write_report(*finished, ORDER)
    return finished[0].report.read_text()


class Page(HTMLParser):
    """Resources that a browser would load, and the visible text."""

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
    assert "Training curves of the family real" not in html  # this family is not trained
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
    # The median of 0 mm and infinity is infinite as well; the mean has no interval.
    assert "∞no intervalmedian ∞" in text.replace(" ∞", "∞").replace("median∞", "median ∞")
    assert "0.500 / 0.500" in text  # the DSC of 1 and 0: the empty one is not dropped


def test_what_was_left_out_is_said_and_names_cannot_inject_html(html):
    text = Page(html).text
    assert "1 skull was rejected" in text
    assert "1 doubtful skull was accepted by name" in text
    assert "p2 (p[2]): size: large" in text
    assert NASTY not in html
    assert "defective: holes of &lt;script&gt;" in html


def test_the_same_run_gives_the_same_report(finished, html):
    write_report(*finished, ORDER)
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
        write_report(copy, config, ORDER)
    assert not copy.report.exists()


def test_warps_are_shown_with_what_the_gates_rejected(html):
    assert "Measures that the gates check, family" in html
    assert "1 registration rejected" in html
    assert "→ b: warp folded" in html
    assert figures.gates_figure({"first draws": [{"parameters": {}, "fault": None}]}) is None


def test_costs_are_summed_per_stage_in_the_order_of_the_workflow(tmp_path):
    head = "s\th:m:s\tmax_rss\tcpu_time\n"
    for name, line in {
        "train/a.tsv": "10.5\t0:00:10\t800.0\t18.0",
        "train/deep/b.tsv": "2.0\t0:00:02\t900.0\t2.0",
        "split.tsv": "0.1\t0:00:00\tNA\tNA",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + line + "\n")
    assert tables.costs(tmp_path, ORDER) == [
        tables.Cost("split", 1, 0.1, 0.0, None),
        tables.Cost("train", 2, 12.5, 20.0, 900.0),
    ]
    assert tables.costs(tmp_path / "absent", ORDER) == []
    (tmp_path / "fit.tsv").write_text("nonsense\n")
    with pytest.raises(StoreError, match=r"fit\.tsv"):
        tables.costs(tmp_path, ORDER)


def test_the_best_arm_is_marked_per_metric_in_its_own_direction():
    better = [tables.Score(0.9 if metric.rises else 1.0, 0.0, 2) for metric in tables.METRICS]
    worse = [tables.Score(0.8 if metric.rises else math.inf, 0.0, 2) for metric in tables.METRICS]
    first, second = tables.mark_best([better, worse])
    assert all(score.best for score in first)
    assert not any(score.best for score in second)
    assert not any(score.best for score in tables.mark_best([worse])[0] if math.isinf(score.mean))


def scored(*dsc: float) -> list[dict]:
    """Return rows of an arm, one person per case."""
    return [
        {"case": i, "person": f"p{i}", "seed": 0, "dsc": value, "empty": value == 0}
        for i, value in enumerate(dsc)
    ]


def said(arms: dict[str, list[dict]], baseline: str) -> str:
    best = tables.best_arm(arms)
    return " ".join(summary(arms, best, compare_arms(arms, [baseline], 1), 1))


def test_the_summary_calls_a_difference_sure_only_if_it_is():
    base = np.linspace(0.7, 0.9, 12)
    noise = 0.01 * np.array([1, -1.3, 0.7, -0.6, 1.1, -1.2, 0.9, -0.8, 0.5, -0.4, 1.4, -1.5])
    clear = said({"none": scored(*base), "more": scored(*(base + 0.02))}, "none")
    assert "Significantly better than “none”: “more” (p < 0.05)." in clear
    assert "That is 0.020 higher than “none”" in clear
    assert "0.020 higher" in clear
    assert ": significant." in clear
    doubtful = said({"none": scored(*base), "other": scored(*(base + noise))}, "none")
    assert "No arm differs significantly from “none”." in doubtful
    assert ": significant." not in doubtful
    worse = said({"none": scored(*base), "less": scored(*(base - 0.02))}, "none")
    assert "Significantly worse than “none”: “less” (p < 0.05)." in worse


def test_the_summary_says_when_nothing_could_have_been_shown_and_counts_empty_predictions():
    few = said({"none": scored(0.8, 0.7, 0.0), "more": scored(0.9, 0.8, 0.7)}, "none")
    assert "With 3 test people and 1 comparison no difference can be significant, however large." in few
    assert "1 of 6 predictions of all arms are empty" in few
    alone = {"only": scored(0.8, 0.7, 0.6)}
    assert "no other arm" in " ".join(summary(alone, "only", [], 1))


GRID = Grid((40, 40, 40), 3.0)


def ball(radius_mm: float, x_mm: float = 0.0) -> np.ndarray:
    x, y, z = np.meshgrid(*(GRID.centres(axis) for axis in range(3)), indexing="ij")
    return (x - x_mm) ** 2 + y**2 + z**2 <= radius_mm**2


def test_distances_between_surfaces_are_in_mm_and_signed():
    fixed, larger, smaller = (surface(ball(radius), GRID) for radius in (30, 36, 24))
    assert np.abs(np.median(distances(larger, fixed)) - 6) < 0.5
    assert np.abs(np.median(distances(smaller, fixed)) + 6) < 0.5
    assert np.abs(distances(fixed, fixed)).max() < 1e-9
    moved = surface(ball(30, x_mm=6), GRID)
    apart, side = distances(moved, fixed), moved.points[:, 0] - 6
    assert apart[side > 28].mean() == pytest.approx(6, abs=1)
    assert apart[side < -28].mean() == pytest.approx(-6, abs=1)


def test_a_surface_encloses_the_volume_of_its_mask_even_if_it_is_thin():
    import trimesh

    for mask in (ball(30), ball(30) & ~ball(24), ball(9)):
        found = surface(mask, GRID)
        made = trimesh.Trimesh(found.points, found.triangles, process=False)
        assert made.is_watertight
        assert made.volume == pytest.approx(mask.sum() * GRID.spacing_mm**3, rel=0.1)
    assert surface(np.zeros(GRID.shape, bool), GRID) is None


def test_a_mesh_is_read_back_from_the_page_as_it_was():
    found = surface(ball(30, x_mm=10), GRID)
    apart = found.points[:, 0] / 10
    mesh = to_json(found, apart)

    def unpacked(key: str, kind: str) -> np.ndarray:
        return np.frombuffer(gzip.decompress(b64decode(mesh[key])), kind)

    columns = np.cumsum(unpacked("points", "<i2").reshape(3, -1), axis=1, dtype=np.int16)
    assert np.abs(columns.T * STEP_MM - found.points).max() <= 0.51 * STEP_MM
    corners = np.cumsum(unpacked("triangles", f"<u{mesh['bytes']}"), dtype=f"u{mesh['bytes']}")
    assert np.array_equal(corners.reshape(-1, 3), found.triangles)
    assert np.abs(unpacked("distances", "<i2") * DISTANCE_MM - apart).max() <= 0.51 * DISTANCE_MM


def test_how_skulls_look_is_beside_how_real_ones_look():
    unknown = {**LOOKS, "roughness": None, "two_sample": None}
    table = looks.look_table({"a": LOOKS, "b": unknown})
    assert [row.family for row in table] == [looks.REAL, "a", "b"]
    assert table[0].cells[:6] == ["0.88", "0.51", "–", "0.50", "0.50", "2"]
    assert table[1].cells[:6] == ["0.74", "0.62", "0.83", "0.50", "0.50", "3"]
    assert table[2].cells[:6] == ["–", "–", "–", "0.50", "0.50", "3"]
    assert looks.roughness_figure({"b": unknown}) is None
    drawn = looks.roughness_figure({"b": unknown, "a": LOOKS})
    assert drawn == looks.roughness_figure({"b": unknown, "a": LOOKS})
    assert b64decode(drawn.source.partition(",")[2]).startswith(b"<?xml")


def test_the_report_shows_how_skulls_look(html):
    page = Page(html)
    assert "looks" in page.ids
    assert "amplitudes of nine of ten real skulls at all wavelengths from 24 to 60 mm" in page.text
    assert looks.REAL in page.text
