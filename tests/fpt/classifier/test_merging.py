"""Adapters merged into weights give what adapters give."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fpt.classifier.estimator import FewShotClassifier
from fpt.classifier.merging import Merged, ScaledAndShifted
from fpt.registry import SOLVERS
from tests.fpt.classifier.checks import CALIBRATION
from tests.fpt.classifier.test_estimator import ASKED, LABELS, STEER, SUPPORT

PIXELS = torch.from_numpy(np.stack(ASKED))
OTHER = {"weights": None, "device": "cpu", "precision": "float32", "epochs": 2, "lr": 1e-2}


def assert_merged(fitted):
    pixels = PIXELS if fitted.transform.size == 64 else PIXELS[:, : fitted.transform.size, : fitted.transform.size]
    expected = fitted.logits(pixels.contiguous())
    with torch.no_grad():
        found = Merged(fitted).eval()(pixels)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert torch.equal(found.argmax(-1), expected.argmax(-1))
    before = torch.stack([value.sum() for value in fitted.backbone.model.state_dict().values()])
    assert bool(before.isfinite().all())


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_is_merged(solver):
    assert_merged(FewShotClassifier(solver=solver, **{**STEER, "lr": 1e-2}).fit(SUPPORT, LABELS).fitted_)


@pytest.mark.parametrize(
    ("name", "solver", "options"),
    [
        ("test_vit", "ssf", {"image_size": 32, "blocks": 6, "embeddings": True, "patches": 2}),
        ("test_vit", "full", {"image_size": 32, "blocks": 6, "embeddings": True, "patches": 2}),
        ("test_vit", "vpt", {"image_size": 32, "blocks": 3, "deep": False, "patches": 2}),
        ("vit_small_patch14_reg4_dinov2", "ssf", {"image_size": 28, "patches": 2}),
    ],
)
def test_other_backbones_are_merged(name, solver, options):
    assert_merged(FewShotClassifier(name, solver, **{**OTHER, **options}).fit(SUPPORT, LABELS).fitted_)


def test_temperature_and_ensemble_are_merged():
    members = [{"lr": 1e-3}, {"rank": 2, "alpha": 0.0}]
    fitted = FewShotClassifier(solver="lora", ensemble=members, **STEER).fit(SUPPORT, LABELS).fitted_
    assert_merged(fitted)
    assert_merged(replace(fitted, calibration=CALIBRATION))


def test_two_classes_of_a_support_vector_machine():
    assert_merged(
        FewShotClassifier(solver="svm", precision="float32").fit(SUPPORT, ["a", "b", "a", "b", "b", "b"]).fitted_
    )


def test_scaled_and_shifted():
    found = ScaledAndShifted(torch.nn.Identity(), torch.tensor([2.0, 3.0]), torch.tensor([1.0, 0.0]))
    assert found(torch.tensor([[1.0, 1.0]])).tolist() == [[3.0, 3.0]]
