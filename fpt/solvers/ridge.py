"""No fine-tuning: ridge regression with bias on frozen features."""

import numpy as np
import torch

from fpt.backbones.backbone import Backbone
from fpt.solvers.contract import Learner, Learnt, Stack, Training, named_parts
from fpt.solvers.frozen_head import answer, shapes


def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Fits scikit-learn's classifier, regression onto -1 and 1 with alpha 1 as in the paper's released code, to one
    problem after the other, in float64. Of two classes it has the second alone, which the first mirrors.
    """
    from sklearn.linear_model import RidgeClassifier  # a second that workers of other solvers need not wait

    support_SBD, labels_SB = stack.support_features.double().cpu().numpy(), stack.labels.cpu().numpy()
    fitted = [RidgeClassifier(alpha=1.0).fit(*problem) for problem in zip(support_SBD, labels_SB, strict=True)]
    weight_SWD = np.stack([np.atleast_2d(one.coef_) for one in fitted])
    bias_SW = np.stack([one.intercept_ for one in fitted])
    if training.way == 2:
        weight_SWD, bias_SW = np.concatenate([-weight_SWD, weight_SWD], 1), np.concatenate([-bias_SW, bias_SW], 1)
    device = stack.labels.device
    return named_parts((torch.from_numpy(weight_SWD).to(device), torch.from_numpy(bias_SW).to(device)))


ridge = Learner(_learn, answer, shapes)
