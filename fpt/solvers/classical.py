"""Classifiers of scikit-learn on frozen features, one problem after another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fpt.solvers.contract import Solution, Stack, frozen_queries


def classified(stack: Stack, classifier: Callable[[], Any]) -> Solution:
    """Scores queries by the decision function of a classifier fitted to each problem, in float64."""
    features, attention = frozen_queries(stack)
    support_SBD, query_SQD = (part.double().cpu().numpy() for part in (stack.support_features, features))
    problems = zip(support_SBD, stack.labels.cpu().numpy(), query_SQD, strict=True)
    scores_SQW = np.stack(
        [_by_class(classifier().fit(support, labels).decision_function(query)) for support, labels, query in problems]
    )
    return Solution(torch.from_numpy(scores_SQW).to(stack.labels.device), attention)


def _by_class(scores: np.ndarray) -> np.ndarray:
    """Returns a column for each class, also where scikit-learn gives that of the second of two alone."""
    return np.stack([-scores, scores], 1) if scores.ndim == 1 else scores
