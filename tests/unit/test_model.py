"""`calvaria export` writes a complete model or nothing; modified models are not loaded."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calvaria import cli
from calvaria.config import load
from calvaria.errors import CalvariaError, InputError, StoreError
from calvaria.geometry.grid import BONE, Grid
from calvaria.geometry.resample import resample
from calvaria.pipeline.manifest import read_manifest, sha256
from calvaria.reconstruction import predictor
from calvaria.reconstruction.coarse.network import coarse_architecture, new_network
from calvaria.reconstruction.consensus import motions
from calvaria.reconstruction.export.model import export, load_model
from calvaria.reconstruction.native_case import NativeCase
from calvaria.reconstruction.predictor import Prediction, Predictor, build_predictor
from calvaria.skull.pose import find_pose
from calvaria.sources import Scan
from calvaria.storage.paths import Run
from calvaria.storage.tensors import read_tensors, write_tensors
from tests.unit.models import ARM, contents, learned, operated, remaining, small_config, write_run

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=[0, 2], ids=["coarse", "prior"])
def exported(request, tmp_path_factory) -> tuple[Run, Path]:
    """A run with or without a prior, and the model exported from it."""
    folder = tmp_path_factory.mktemp("model")
    config = small_config(request.param)
    run = write_run(folder / "run", config, learned(request.param))
    export(run, config, ARM, folder / "new" / "model")
    return run, folder / "new" / "model"


def a_run(tmp_path: Path) -> Run:
    """Write a run with arbitrary weights, since tensors are only copied."""
    some = {"network.weight": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)}
    return write_run(tmp_path / "run", small_config(prior=0), some)


def test_a_model_is_its_networks_in_half_precision_its_config_and_where_they_are_from(exported):
    run, model = exported
    config = load(run.config)
    networks = {"network-0.safetensors": run.train(ARM, 0)}
    assert {path.name for path in model.iterdir()} == {*networks, "config.yaml", "model.json"}
    for name, source in networks.items():
        halves, whole = read_tensors(model / name), read_tensors(source / "model.safetensors")
        assert halves.keys() == whole.keys()
        for key, half in halves.items():
            assert half.dtype == np.float16
            assert np.array_equal(half, whole[key].astype(np.float16))
    assert load(model / "config.yaml") == config
    about = json.loads((model / "model.json").read_text(), parse_constant=pytest.fail)
    assert (about["run"], about["arm"], about["run_digest"]) == ("small", ARM, read_manifest(run)["digest"])
    assert about["sha256"] == {name: sha256(model / name) for name in (*networks, "config.yaml")}
    scores = about["scores"]["0"]  # the infinite distance of an empty prediction is excluded from the mean
    assert (scores["cases"], scores["empty"], scores["dsc"], scores["hd95_mm"]) == (2, 1, 0.375, 1.5)


def posed(scan: Scan, grid: Grid) -> np.ndarray:
    """Return the (4, 4) matrix from the scan's millimetres to the grid's."""
    anchor = np.array([0.0, 0.0, grid.extent_mm[2] / 2 - 10.0])
    return find_pose(scan.labels, scan.affine).to_box(anchor)


def predicted(predictor: Predictor) -> tuple[np.ndarray, Prediction]:
    scan = remaining(operated(3.0))
    pose = posed(scan, predictor.grid)
    case = NativeCase.from_bone(scan.labels == BONE, scan.affine, pose, predictor.grid)
    return predictor.coarse_probabilities(case.labels[None])[0], predictor.predict(case)


def test_a_loaded_model_predicts_what_the_run_s_networks_do(exported):
    """Differences are within half precision; known surfaces are included if there is a prior."""
    run, model = exported
    loaded, config = load_model(model, CPU)
    whole = build_predictor(config, {0: read_tensors(run.train(ARM, 0) / "model.safetensors")}, CPU)
    assert (loaded.known is None) == (config.train.prior == 0)
    assert next(loaded.networks[0].parameters()).dtype == torch.float32
    said, found = predicted(loaded)
    wanted, implant = predicted(whole)
    assert 0 < np.abs(said - wanted).max() < 0.02
    assert implant.native.sum() > 300
    assert np.count_nonzero(found.native ^ implant.native) < 0.01 * implant.native.sum()
    if config.train.prior == 0:
        assert np.array_equal(implant.implant, implant.coarse)
    if loaded.known is not None and whole.known is not None:
        assert loaded.known == pytest.approx(whole.known, abs=0.05)  # mm


def test_where_no_surface_can_be_continued_the_networks_draw_the_implant(exported, monkeypatch):
    loaded, _ = load_model(exported[1], CPU)
    monkeypatch.setattr(
        predictor, "interpolate", lambda vault, *_: replace(vault, outer_mm=0 * vault.outer_mm)
    )
    _, found = predicted(loaded)
    _, drawn = predicted(replace(loaded, known=None))
    assert np.array_equal(found.native, drawn.native)
    assert found.native.any()


def test_cases_are_predicted_alike_alone_and_in_a_batch(exported):
    """Batches are padded to their size; predictors share the vault of a case."""
    loaded, config = load_model(exported[1], CPU)
    batched = replace(loaded, settings=config.evaluate.model_copy(update={"batch_size": 2}))
    scan = remaining(operated(3.0))
    pose = posed(scan, batched.grid)
    cases = [
        NativeCase.from_bone(scan.labels == BONE, scan.affine, motion @ pose, batched.grid)
        for motion in motions()[:3]
    ]
    together = list(batched.predict_many(cases))
    assert len(together) == len(cases)
    for case, prediction in zip(cases, together, strict=True):
        alone = batched.predict(case)
        for name in ("coarse", "implant", "native"):
            assert np.array_equal(getattr(alone, name), getattr(prediction, name))
    assert cases[0].vault(batched.anchor_mm) is cases[0].vault(batched.anchor_mm)
    assert not list(batched.predict_many([]))


def test_an_architecture_draws_no_random_numbers(exported):
    config = load(exported[0].config)
    before = torch.random.get_rng_state()
    bare, initial = coarse_architecture(config), new_network(config, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    bare.load_state_dict(initial.state_dict())
    for (name, tensor), expected in zip(
        bare.state_dict().items(), initial.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, expected), name
        assert tensor.stride() == expected.stride(), name


def test_what_is_kept_on_the_grid_is_the_implant_that_is_scored(exported):
    """Pictures and the 3-D view show this implant, which may differ much from the coarse prediction."""
    model, config = load_model(exported[1], CPU)
    scan = remaining(operated(3.0))
    _, found = predicted(model)
    scored = resample(found.native.view(np.uint8), scan.affine, posed(scan, model.grid), model.grid) > 0
    kept, first = (
        2 * (mask & scored).sum() / (mask.sum() + scored.sum()) for mask in (found.implant, found.coarse)
    )
    assert kept > 0.85
    if config.train.prior:
        assert kept > first


def test_a_folder_in_use_is_left_alone(tmp_path):
    run = a_run(tmp_path)
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine.txt").write_text("mine")
    for out in (used, used / "mine.txt"):
        with pytest.raises(
            InputError, match=rf"--out .*{out.name}: exists and is not an empty folder.*another"
        ):
            export(run, load(run.config), ARM, out)
    assert contents(used) == {"mine.txt": b"mine"}
    (tmp_path / "empty").mkdir()
    export(run, load(run.config), ARM, tmp_path / "empty")
    assert (tmp_path / "empty" / "model.json").is_file()


@pytest.mark.parametrize(
    "missing",
    [
        "train/plain/0/model.safetensors",
        "evaluate/plain.zarr/rows/0.jsonl",
        "manifest.json",
    ],
)
def test_an_unfinished_run_is_named_and_leaves_no_half_model(tmp_path, missing):
    """After the run is finished, the same command works."""
    run = a_run(tmp_path)
    content = (run.root / missing).read_bytes()
    (run.root / missing).unlink()
    out = tmp_path / "models" / "mine"
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=missing.split("/rows")[0]):
        export(run, load(run.config), ARM, out)
    assert contents(tmp_path) == before
    (run.root / missing).write_bytes(content)
    export(run, load(run.config), ARM, out)
    assert (out / "model.json").is_file()


def test_what_is_not_of_one_finished_run_is_not_mixed(tmp_path):
    """A run that was edited but not finished, or has other weights, is rejected."""
    run = a_run(tmp_path)
    config = load(run.config)
    edited = config.model_copy(update={"seed": config.seed + 1})
    with pytest.raises(StoreError, match=r"manifest\.json: does not have the config of.*snakemake"):
        export(run, edited, ARM, tmp_path / "model")
    write_tensors(run.train(ARM, 0) / "model.safetensors", {"network.weight": np.zeros(3, np.float32)})
    with pytest.raises(StoreError, match=r"0/model\.safetensors: differs from .*manifest.*snakemake"):
        export(run, config, ARM, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_fault_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    from calvaria.reconstruction.export import model as module

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = a_run(tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(module, "write_json", full)
    with pytest.raises(InputError, match=r"--out .*model: cannot be written: No space left on device"):
        export(run, load(run.config), ARM, tmp_path / "model")
    assert contents(tmp_path) == before


def test_the_command_exports_an_arm_of_a_run(tmp_path, monkeypatch, capsys):
    run = a_run(tmp_path)

    def call(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["calvaria", "export", "--run", str(run.root), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    assert call("--arm", "fancy", "--out", tmp_path / "model") == 1
    assert "--arm: expected one of plain, got 'fancy'" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert call("--arm", ARM, "--out", tmp_path / "model") == 0
    assert json.loads((tmp_path / "model" / "model.json").read_text())["arm"] == ARM


@pytest.mark.parametrize("name", ["network-0.safetensors", "config.yaml"])
@pytest.mark.parametrize("how", ["changed", "cut", "missing"])
def test_a_file_that_is_not_what_was_exported_is_named(tmp_path, name, how):
    run = a_run(tmp_path)
    export(run, load(run.config), ARM, tmp_path / "model")
    path = tmp_path / "model" / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.unlink()
    if how != "missing":
        path.write_bytes(content if how == "changed" else content[:-7])
    with pytest.raises(StoreError, match=rf"{name}: (damaged|missing).*; export or download the model again"):
        load_model(tmp_path / "model", CPU)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no model.json; expected a folder that calvaria export wrote"),
        (b'{"run": "sm', "model.json: damaged; export or download the model again"),
        (b'{"run": "sm\xff"}', "model.json: damaged; export or download the model again"),
        (b'{"architectures": ["UNet"]}', "model.json: .*expected a folder that calvaria export wrote"),
        (b"[1, 2]", "model.json: .*expected a folder that calvaria export wrote"),
        (b'{"sha256": {}}', "config.yaml: damaged or changed; export or download the model again"),
    ],
    ids=["none", "cut", "bytes", "of another tool", "a list", "without digests"],
)  # fmt: skip
def test_a_folder_that_is_no_model_is_named(tmp_path, content, words):
    run = a_run(tmp_path)
    model = tmp_path / "model"
    export(run, load(run.config), ARM, model)
    (model / "model.json").unlink()
    if content is not None:
        (model / "model.json").write_bytes(content)
    with pytest.raises(CalvariaError, match=words) as caught:
        load_model(model, CPU)
    assert str(model) in str(caught.value)
