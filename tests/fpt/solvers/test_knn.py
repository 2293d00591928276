import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from fpt.solvers import Training
from fpt.solvers.knn import knn


def test_predictions_and_scores_are_those_of_the_nearest_neighbour(backbone, stack_for):
    training = Training(way=3)
    stack = stack_for("knn", training)
    found = knn(backbone, stack, training).scores.numpy()
    for problem in range(stack.size):
        support, query = (part[problem].double().numpy() for part in (stack.support_features, stack.query_features))
        nearest = KNeighborsClassifier(1).fit(support, stack.labels[problem].numpy())
        np.testing.assert_array_equal(found[problem].argmax(-1), nearest.predict(query))
        np.testing.assert_allclose(-found[problem].max(-1), nearest.kneighbors(query)[0][:, 0], rtol=1e-5)
