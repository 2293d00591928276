"""A saved classifier is the same classifier."""

import json
import pickle

import numpy as np
import pytest
import timm
import torch

import fpt
from fpt.classifier.estimator import FewShotClassifier
from fpt.classifier.saving import check_free, plain
from fpt.registry import SOLVERS
from tests.fpt.classifier.test_estimator import ASKED, LABELS, STEER, SUPPORT

OTHER = {"weights": None, "image_size": 32, "device": "cpu", "precision": "float32"}


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_comes_back_as_it_was(solver, tmp_path):
    fitted = FewShotClassifier(solver=solver, **STEER).fit(SUPPORT, LABELS)
    back = FewShotClassifier.load(fitted.save(tmp_path / "a.fpt"))
    np.testing.assert_allclose(back.predict_proba(ASKED), fitted.predict_proba(ASKED), rtol=0, atol=1e-6)
    assert back.classes_.tolist() == fitted.classes_.tolist()
    assert sorted(file.name for file in (tmp_path / "a.fpt").iterdir()) == ["classifier.json", "learnt.safetensors"]
    assert {name: value for name, value in back.get_params().items() if name != "precision"} == {
        name: value for name, value in fitted.get_params().items() if name != "precision"
    } | {"ensemble": []}


@pytest.mark.parametrize(
    ("name", "solver", "options"),
    [
        ("test_vit", "full", {"blocks": 6, "embeddings": True}),
        ("test_vit", "vpt", {"deep": False}),
        ("vit_small_patch14_reg4_dinov2", "lora", {"image_size": 28}),
        pytest.param("swin_tiny_patch4_window7_224", "ssf", {"image_size": 224, "patches": 2}, marks=pytest.mark.slow),
    ],
)
def test_backbones_travel_with_it(name, solver, options, tmp_path):
    """Random weights, which nothing else could bring back."""
    chosen = {**STEER, **OTHER, "epochs": 1, **options}
    fitted = FewShotClassifier(name, solver, **chosen).fit(SUPPORT, LABELS)
    folder = fitted.save(tmp_path / "a.fpt")
    back = FewShotClassifier.load(folder)
    np.testing.assert_allclose(back.predict_proba(ASKED[:3]), fitted.predict_proba(ASKED[:3]), rtol=0, atol=1e-6)
    again = back.fit(SUPPORT, LABELS)  # by the weights in the folder
    np.testing.assert_allclose(again.predict_proba(ASKED[:3]), fitted.predict_proba(ASKED[:3]), rtol=0, atol=1e-6)
    again.save(folder)
    back = FewShotClassifier.load(folder)
    np.testing.assert_allclose(back.predict_proba(ASKED[:3]), fitted.predict_proba(ASKED[:3]), rtol=0, atol=1e-6)


def test_heads_and_norms_that_timm_has_not_come_back(tmp_path):
    """As MoCo v3's small models and Hugging Face's have them, which no shape tells."""
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, num_heads=6)
    (tmp_path / "moco").mkdir()
    torch.save(model.state_dict(), tmp_path / "moco" / "pytorch_model.bin")
    (tmp_path / "moco" / "config.json").write_text('{"num_attention_heads": 6, "layer_norm_eps": 0.01}')
    options = OTHER | {"weights": str(tmp_path / "moco" / "pytorch_model.bin"), "mean": [0.5] * 3, "std": [0.5] * 3}
    classifier = FewShotClassifier("vit_tiny_patch16_224", "ridge", **options)
    before = classifier.fit(SUPPORT, LABELS).predict_proba(ASKED[:3])
    classifier.save(tmp_path / "birds.fpt")
    back = FewShotClassifier.load(tmp_path / "birds.fpt")
    np.testing.assert_allclose(back.predict_proba(ASKED[:3]), before, rtol=0, atol=1e-6)
    model = back.fitted_.backbone.model
    assert {layer.attn.num_heads for layer in model.blocks} == {6}
    assert {part.eps for part in model.modules() if isinstance(part, torch.nn.LayerNorm)} == {0.01}


def test_ensembles_and_numbers_come_back(tmp_path):
    members = [{"lr": np.float64(1e-3)}, {"rank": np.int64(2)}]
    fitted = FewShotClassifier(solver="lora", **{**STEER, "ensemble": members}).fit(SUPPORT, np.arange(6) % 3)
    back = FewShotClassifier.load(fitted.save(tmp_path / "a.fpt"))
    np.testing.assert_allclose(back.predict_proba(ASKED), fitted.predict_proba(ASKED), rtol=0, atol=1e-6)
    assert back.classes_.tolist() == [0, 1, 2]
    assert back.classes_.dtype.kind == "i"


def test_what_stands_there_is_not_written_over(tmp_path):
    fitted = FewShotClassifier(solver="protonet").fit(SUPPORT, LABELS)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(
        ValueError, match=r"path must be a folder of a classifier, or not there yet, but .* other files"
    ):
        fitted.save(tmp_path / "photos")
    with pytest.raises(ValueError, match=r"path must be a folder, or not there yet, but .* is a file"):
        fitted.save(tmp_path / "photos" / "a.jpg")
    fitted.save(tmp_path / "a.fpt")
    check_free(tmp_path / "a.fpt")
    fitted.save(tmp_path / "a.fpt")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.fpt", "photos"]


def test_what_cannot_be_written_down_is_refused(tmp_path):
    held = fpt.load_backbone("vit_micro_glyphs", weights=True)
    with pytest.raises(ValueError, match="backbone must be a name for a classifier that is saved"):
        FewShotClassifier(held, "protonet").fit(SUPPORT, LABELS).save(tmp_path / "a.fpt")
    assert not list(tmp_path.iterdir())


def test_the_json_says_all_and_holds_no_path(tmp_path):
    fitted = FewShotClassifier(solver="protonet").fit(SUPPORT, LABELS)
    told = json.loads((fitted.save(tmp_path / "a.fpt") / "classifier.json").read_text())
    assert told["classes"] == {"kind": "text", "names": ["b", "c", "d"]}
    assert told["images"] == [3, 2, 1]
    assert told["transform"] == {
        "size": 64,
        "geometry": "crop",
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "depth": 16,
    }
    assert set(told["fingerprints"]) == {"backbone", "support", "learnt"}
    assert told["calibration"] == {"temperature": 1.0}
    assert {"fpt", "torch", "timm", "python"} <= told["versions"].keys()
    assert str(tmp_path) not in json.dumps(told)


def test_plain_values():
    assert plain({"a": (np.float64(0.5), [np.int32(1)]), "b": None}) == {"a": [0.5, [1]], "b": None}


def test_pickle_is_scikit_learns_business_and_works_too():
    fitted = FewShotClassifier(solver="protonet").fit(SUPPORT, LABELS)
    back = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(back.predict_proba(ASKED), fitted.predict_proba(ASKED))
