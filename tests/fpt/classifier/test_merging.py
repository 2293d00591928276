"""Adapters merged into weights give what adapters give."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fpt.classifier.estimator import FewShotClassifier
from fpt.classifier.merging import Merged, ScaledAndShifted
from fpt.heads.closed_form import class_means
from fpt.registry import SOLVERS, SolverEntry
from fpt.solvers import Learner, frozen_head
from fpt.solvers.contract import named_parts
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


def _directions(backbone, stack, training):
    """The mean direction of each class."""
    sums = class_means(stack.support_features, stack.labels, training.way)
    return named_parts((F.normalize(sums, dim=-1), sums.new_zeros(sums.shape[:2])))


def _answer_doubled(backbone, learnt, queries, training):
    solution = frozen_head.answer(backbone, learnt, queries, training)
    return replace(solution, scores=2 * solution.scores)


LINEAR = Learner(_directions, frozen_head.answer, frozen_head.shapes)
DOUBLED = Learner(_directions, _answer_doubled, frozen_head.shapes)


@pytest.fixture
def of_a_package(monkeypatch):
    """Fits a solver of this file as if a package had brought it, with a multiplier that it does not read."""

    def fitted(name):
        entry = SolverEntry(f"{__name__}:{name}", trained=False, frozen_features=True, steered=False)
        monkeypatch.setitem(SOLVERS._here, name.lower(), entry)
        return FewShotClassifier(solver=name.lower(), precision="float32", head_multiplier=3.0).fit(SUPPORT, LABELS)

    return fitted


def test_a_packages_linear_head_is_merged(of_a_package):
    assert_merged(of_a_package("LINEAR").fitted_)


def test_a_packages_answer_of_its_own_is_refused(of_a_package):
    with pytest.raises(ValueError, match=r"or answer by fpt.solvers.frozen_head, to be exported but is doubled$"):
        Merged(of_a_package("DOUBLED").fitted_)


def test_scaled_and_shifted():
    found = ScaledAndShifted(torch.nn.Identity(), torch.tensor([2.0, 3.0]), torch.tensor([1.0, 0.0]))
    assert found(torch.tensor([[1.0, 1.0]])).tolist() == [[3.0, 3.0]]
