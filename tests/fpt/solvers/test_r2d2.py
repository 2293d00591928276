import numpy as np
from sklearn.linear_model import Ridge

from fpt.heads.closed_form import RIDGE
from fpt.solvers import Training
from fpt.solvers.r2d2 import r2d2


def test_scores_are_scikit_learns_ridge_regression(backbone, stack_for):
    training = Training(way=3)
    stack = stack_for("r2d2", training)
    found = r2d2(backbone, stack, training).scores
    for problem in range(stack.size):
        support, query = (part[problem].double().numpy() for part in (stack.support_features, stack.query_features))
        ridge = Ridge(alpha=RIDGE, fit_intercept=False).fit(support, np.eye(3)[stack.labels[problem].numpy()])
        np.testing.assert_allclose(found[problem].numpy(), ridge.predict(query), atol=1e-4)
