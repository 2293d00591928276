"""What other runtimes get is run there."""

import json

import numpy as np
import pytest
import torch

from fpt.classifier import exporting
from fpt.classifier.estimator import FewShotClassifier
from fpt.classifier.exporting import export
from fpt.registry import SOLVERS
from tests.fpt.classifier.test_estimator import ASKED, LABELS, STEER, SUPPORT

PIXELS = torch.from_numpy(np.stack(ASKED))


def of_all(*quick):
    """All solvers, of which an export takes seconds; those not named are slow tests."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in SOLVERS]


@pytest.fixture(scope="module")
def fitted():
    return FewShotClassifier(solver="lora", **STEER).fit(SUPPORT, LABELS).fitted_


def alike(found, fitted):
    expected = fitted.logits(PIXELS).numpy()
    return np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.filterwarnings("ignore")
def test_a_program_of_torch_is_the_classifier(fitted, tmp_path):
    path = tmp_path / "new" / "a.pt2"
    assert export(fitted, ["b", "c", "d"], path, "torch") < 1e-4
    extra = {"fpt.json": ""}
    program = torch.export.load(path, extra_files=extra)
    assert alike(program.module()(PIXELS).detach().numpy(), fitted)
    told = json.loads(extra["fpt.json"])
    assert (told["classes"], told["size"], told["geometry"]) == (["b", "c", "d"], 64, "crop")
    assert [file.name for file in path.parent.iterdir()] == ["a.pt2"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("solver", of_all("lora", "vpt", "svm", "metaoptnet"))
def test_onnx_runtime_has_the_same_logits(solver, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    fitted = FewShotClassifier(solver=solver, **STEER).fit(SUPPORT, LABELS).fitted_
    assert export(fitted, ["b", "c", "d"], tmp_path / "a.onnx", "onnx") < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert alike(session.run(None, {"pixels": PIXELS.numpy()})[0], fitted)
    assert json.loads(session.get_modelmeta().custom_metadata_map["fpt"])["classes"] == ["b", "c", "d"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("solver", of_all("protonet"))
def test_torch_has_the_same_logits_of_every_solver(solver, tmp_path):
    fitted = FewShotClassifier(solver=solver, **STEER).fit(SUPPORT, LABELS).fitted_
    assert export(fitted, ["b", "c", "d"], tmp_path / "a.pt2", "torch") < 1e-4
    assert alike(torch.export.load(tmp_path / "a.pt2").module()(PIXELS).detach().numpy(), fitted)


@pytest.mark.filterwarnings("ignore")
def test_an_export_that_differs_is_not_kept(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "ALIKE", 1e-12)
    with pytest.raises(RuntimeError, match="logits of the export differ by"):
        export(fitted, [], tmp_path / "a.pt2", "torch")
    assert not list(tmp_path.iterdir())


def test_other_runtimes_and_files_are_refused(fitted, tmp_path):
    with pytest.raises(ValueError, match="--to must be one of onnx, torch but got 'tflite'"):
        export(fitted, [], tmp_path / "a.tflite", "tflite")
    with pytest.raises(ValueError, match=r"--out must be a .onnx file for onnx but got"):
        export(fitted, [], tmp_path / "a.pt2", "onnx")


def test_what_is_not_installed_is_named(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"--to must be torch where .* is not installed but is onnx; pip install"):
        export(fitted, [], tmp_path / "a.onnx", "onnx")
