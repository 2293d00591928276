"""No fine-tuning: a support vector machine with a Gaussian kernel on frozen features."""

from functools import partial

from fpt.backbones.backbone import Backbone
from fpt.solvers.classical import classified
from fpt.solvers.contract import Solution, Stack, Training


def svm(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Scores by scikit-learn's classifier, C 1 as in the paper's released code; pairs of classes vote, confidence
    breaks ties.
    """
    from sklearn.svm import SVC  # a second that workers of other solvers need not wait

    return classified(stack, partial(SVC, C=1.0, kernel="rbf", break_ties=True))
