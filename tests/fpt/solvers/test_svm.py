import numpy as np
from sklearn.svm import SVC

from fpt.solvers import Training
from fpt.solvers.svm import svm


def test_the_kernel_is_gaussian_of_a_width_that_fits_the_features(backbone, stack_for):
    """The kernel's matrix worked out here: exp of minus the squared distance over dimensions times variance."""
    training = Training(way=3)
    stack = stack_for("svm", training)
    found = svm(backbone, stack, training).scores.numpy()
    for problem in range(stack.size):
        support, query = (part[problem].double().numpy() for part in (stack.support_features, stack.query_features))
        width = support.shape[1] * support.var()
        of_support, of_query = (
            np.exp(-np.square(images[:, None] - support[None]).sum(-1) / width) for images in (support, query)
        )
        reference = SVC(C=1, kernel="precomputed", break_ties=True).fit(of_support, stack.labels[problem].numpy())
        np.testing.assert_allclose(found[problem], reference.decision_function(of_query), rtol=1e-4, atol=1e-6)
