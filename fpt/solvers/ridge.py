"""No fine-tuning: ridge regression with bias on frozen features."""

from functools import partial

from fpt.backbones.backbone import Backbone
from fpt.solvers.classical import classified
from fpt.solvers.contract import Solution, Stack, Training


def ridge(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Scores by scikit-learn's classifier: regression onto -1 and 1, alpha 1 as in the paper's released code."""
    from sklearn.linear_model import RidgeClassifier  # a second that workers of other solvers need not wait

    return classified(stack, partial(RidgeClassifier, alpha=1.0))
