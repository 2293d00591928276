import numpy as np

from fpt.solvers import Training
from fpt.solvers.metaoptnet import metaoptnet
from tests.fpt.heads.test_svm_dual import by_sequential_programming


def test_scores_are_those_of_the_support_vectors_of_a_general_solver(backbone, stack_for):
    training = Training(way=3)
    stack = stack_for("metaoptnet", training)
    found = metaoptnet(backbone, stack, training).scores
    for problem in range(stack.size):
        support, query = (part[problem].double().numpy() for part in (stack.support_features, stack.query_features))
        dual = by_sequential_programming(support @ support.T, stack.labels[problem].numpy(), 3)
        np.testing.assert_allclose(found[problem].numpy(), query @ support.T @ dual, atol=3e-4)
