import numpy as np

from fpt.solvers import Training
from fpt.solvers.ridge import ridge


def test_scores_are_those_of_ridge_regression_onto_one_and_minus_one(backbone, stack_for):
    """By the normal equations; features and targets less their means, which is what a free bias amounts to."""
    training = Training(way=3)
    stack = stack_for("ridge", training)
    found = ridge(backbone, stack, training).scores.numpy()
    for problem in range(stack.size):
        support, query = (part[problem].double().numpy() for part in (stack.support_features, stack.query_features))
        targets = 2.0 * np.eye(3)[stack.labels[problem].numpy()] - 1
        centred, mean = support - support.mean(0), support.mean(0)
        weights = np.linalg.solve(
            centred.T @ centred + np.eye(support.shape[1]), centred.T @ (targets - targets.mean(0))
        )
        np.testing.assert_allclose(found[problem], (query - mean) @ weights + targets.mean(0), rtol=1e-6, atol=1e-8)
