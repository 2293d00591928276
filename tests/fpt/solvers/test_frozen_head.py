"""Classifiers on frozen features, beside scikit-learn's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.linear_model import RidgeClassifier
from sklearn.svm import SVC

from fpt.solvers import Training, solver_named
from fpt.solvers.ridge import ridge
from fpt.solvers.svm import svm


@pytest.mark.parametrize("way", [2, 3])
@pytest.mark.parametrize(
    ("solver", "reference"),
    [(ridge, RidgeClassifier(alpha=1)), (svm, SVC(C=1, kernel="rbf", break_ties=True))],
    ids=["ridge", "svm"],
)
def test_predictions_are_those_of_scikit_learn(solver, reference, way, backbone, stack_for):
    training = Training(way=3)
    stack = stack_for("ridge", training)
    chosen = slice(2 * way)
    parts = ("support_tokens", "support_features", "labels")
    targets = [target[:, chosen] for target in stack.targets]
    stack = replace(stack, targets=targets, **{part: getattr(stack, part)[:, chosen] for part in parts})
    found = solver(backbone, stack, replace(training, way=way)).scores.numpy()
    assert found.shape == (8, 12, way)
    for problem in range(stack.size):
        support, query = (part[problem].double().numpy() for part in (stack.support_features, stack.query_features))
        reference.fit(support, stack.labels[problem].numpy())
        np.testing.assert_array_equal(found[problem].argmax(-1), reference.predict(query))
        decided = reference.decision_function(query)
        expected = np.stack([-decided, decided], 1) if way == 2 else decided
        np.testing.assert_allclose(found[problem], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("solver", ["knn", "ridge", "svm", "protonet", "r2d2", "metaoptnet", "linear_probe"])
def test_classes_may_have_unequal_numbers_of_images(solver, backbone, stack_for):
    """The slow obvious formula in float64, on one image of the first class and two of each other."""
    training = Training(way=3, epochs=4)
    stack = stack_for("r2d2", training)
    kept = [1, 2, 3, 4, 5]
    parts = ("support_tokens", "support_features", "labels")
    uneven = replace(
        stack,
        targets=[target[:, kept] for target in stack.targets],
        **{part: getattr(stack, part)[:, kept] for part in parts},
    )
    assert uneven.labels[0].bincount().tolist() == [1, 2, 2]
    found = solver_named(solver)(backbone, uneven, training).scores.double()
    for problem in range(stack.size):
        support, query = uneven.support_features[problem].double(), uneven.query_features[problem].double()
        labels = uneven.labels[problem]
        expected = SLOWLY[solver](support, labels, query, float(uneven.lr[problem]))
        difference = (found[problem] - found[problem].mean(-1, keepdim=True)) - (
            expected - expected.mean(-1, keepdim=True)
        )
        assert float(difference.abs().max()) < 1e-4 * max(1.0, float(expected.abs().max()))


def _nearest(support, labels, query, lr):
    return -torch.stack([torch.cdist(query, support[labels == one]).amin(-1) for one in range(3)], -1)


def _means(support, labels):
    return torch.stack([support[labels == one].mean(0) for one in range(3)])


def _prototypes(support, labels, query, lr):
    return -torch.cdist(query, _means(support, labels)).square()


def _ridge_without_bias(support, labels, query, lr):
    inner = support.T @ support + 50 * torch.eye(support.shape[1], dtype=torch.float64)
    return query @ torch.linalg.solve(inner, support.T @ torch.eye(3, dtype=torch.float64)[labels])


def _of_scikit_learn(classifier):
    def scored(support, labels, query, lr):
        fitted = classifier.fit(support.numpy(), labels.numpy())
        return torch.from_numpy(fitted.decision_function(query.numpy()))

    return scored


def _crammer_singer(support, labels, query, lr):
    """Its dual, by a general solver of quadratic programs."""
    gram = (support @ support.T + torch.eye(len(support), dtype=torch.float64)).numpy()
    target = np.eye(3)[labels.numpy()]
    solved = minimize(
        lambda z: (0.5 * z.reshape(-1, 3).T @ gram @ z.reshape(-1, 3)).trace() - (z.reshape(-1, 3) * target).sum(),
        np.zeros(target.size),
        jac=lambda z: (gram @ z.reshape(-1, 3) - target).ravel(),
        bounds=[(None, bound) for bound in 0.1 * target.ravel()],
        constraints={
            "type": "eq",
            "fun": lambda z: z.reshape(-1, 3).sum(1),
            "jac": lambda z: np.kron(np.eye(5), np.ones(3)),
        },
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return query @ (torch.from_numpy(solved.x.reshape(-1, 3)).T @ support).T


def _probe(support, labels, query, lr):
    """Gradient steps that torch takes, on cross-entropy averaged over images, whatever their class."""
    weight = (20 * 2 * _means(support, labels)).requires_grad_()
    bias = (-20 * _means(support, labels).square().sum(-1)).requires_grad_()
    stepper = torch.optim.SGD([weight, bias], lr=lr, momentum=0.9, dampening=0.9, weight_decay=1e-3)
    for _ in range(4):
        stepper.zero_grad()
        F.cross_entropy((support @ weight.T + bias) / 20, labels).backward()
        stepper.step()
    return ((query @ weight.T + bias) / 20).detach()


SLOWLY = {
    "knn": _nearest,
    "protonet": _prototypes,
    "r2d2": _ridge_without_bias,
    "ridge": _of_scikit_learn(RidgeClassifier(alpha=1)),
    "svm": _of_scikit_learn(SVC(C=1, kernel="rbf", break_ties=True)),
    "metaoptnet": _crammer_singer,
    "linear_probe": _probe,
}
