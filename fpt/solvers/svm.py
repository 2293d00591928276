"""No fine-tuning: a support vector machine with a Gaussian kernel on frozen features."""

# S problems, B support images, Q queries, W ways, D dimensions; a pair of classes is scored by the images of both

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.solvers.contract import Learner, Learnt, Queries, Shapes, Solution, Stack, Training, frozen_queries

COST = 1.0  # as in the paper's released code


def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Fits scikit-learn's classifier to one problem after the other, in float64.

    What is kept are its own numbers: the support images' features, their `coefficients` against each of the other
    classes (0 for those that support nothing), a bias for each pair of classes, and the kernel's `gamma`.
    """
    from sklearn.svm import SVC  # a second that workers of other solvers need not wait

    support_SBD, labels_SB = stack.support_features.double().cpu().numpy(), stack.labels.cpu().numpy()
    coefficients, biases, gammas = [], [], []
    for support_BD, labels_B in zip(support_SBD, labels_SB, strict=True):
        spread = support_BD.var()
        gammas.append(1 / (support_BD.shape[1] * spread) if spread else 1.0)
        fitted = SVC(C=COST, kernel="rbf", gamma=gammas[-1], random_state=0).fit(support_BD, labels_B)
        kept = np.zeros((training.way - 1, len(labels_B)))
        kept[:, fitted.support_] = fitted.dual_coef_
        turned = -1 if training.way == 2 else 1  # scikit-learn scores the second of two classes, and else the first
        coefficients.append(turned * kept)
        biases.append(turned * fitted.intercept_)
    kept_numbers = {"coefficients": coefficients, "bias": biases, "gamma": gammas}
    return {
        "features": stack.support_features,
        "labels": stack.labels,
        **{name: torch.from_numpy(np.stack(of)).to(stack.labels.device) for name, of in kept_numbers.items()},
    }


@torch.no_grad()
def _answer(backbone: Backbone, learnt: Learnt, queries: Queries, training: Training) -> Solution:
    """Lets pairs of classes vote; confidence breaks ties, as scikit-learn has it. Of two classes, the confidence of
    their one pair is the score.
    """
    features, attention = frozen_queries(queries)
    distance_SQB = torch.cdist(
        features.double(), learnt["features"].double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    kernel_SQB = torch.exp(-learnt["gamma"].view(-1, 1, 1) * distance_SQB.square())
    return Solution(votes(pairs_of(kernel_SQB, learnt, training.way), training.way), attention)


def pairs_of(kernel_SQB: Tensor, learnt: Learnt, way: int) -> Tensor:
    """Returns how far each query lies on the side of the first class of each pair: S x Q x pairs, (0, 1), (0, 2) ..."""
    one_hot_SBW = F.one_hot(learnt["labels"], way).to(kernel_SQB)
    # What the support images of a class say of a query, by their coefficients in each row.
    by_class_SBRW = learnt["coefficients"].transpose(1, 2)[..., None] * one_hot_SBW[:, :, None]
    said_SQRW = (kernel_SQB @ by_class_SBRW.flatten(2)).unflatten(2, (way - 1, way))
    first, second = torch.triu_indices(way, way, 1, device=kernel_SQB.device)
    pairs_SQP: Tensor = said_SQRW[:, :, second - 1, first] + said_SQRW[:, :, first, second]
    return pairs_SQP + learnt["bias"][:, None]


def votes(pairs_SQP: Tensor, way: int) -> Tensor:
    """Returns the score of each class: the pairs that it wins, and less than half a vote for how clearly it does."""
    if way == 2:
        return torch.cat([pairs_SQP, -pairs_SQP], -1)
    first, second = torch.triu_indices(way, way, 1, device=pairs_SQP.device)
    first_PW, second_PW = (F.one_hot(of, way).to(pairs_SQP) for of in (first, second))
    won = (pairs_SQP >= 0).to(pairs_SQP)
    voted_SQW = won @ first_PW + (1 - won) @ second_PW
    clear_SQW = pairs_SQP @ (first_PW - second_PW)
    return voted_SQW + clear_SQW / (3 * (clear_SQW.abs() + 1))


def _shapes(backbone: Backbone, training: Training, support: int) -> Shapes:
    way = training.way
    return {
        "features": (support, backbone.dim),
        "labels": (support,),
        "coefficients": (way - 1, support),
        "bias": (way * (way - 1) // 2,),
        "gamma": (),
    }


svm = Learner(_learn, _answer, _shapes, at_once=lambda backbone, training: 1)
