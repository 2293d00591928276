from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.svm import SVC

from fpt.solvers import Training
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
