"""What the scores of other episodes promise of new ones: a temperature, sets of classes, and how often answers are
wrong.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from sweeps.statistics.classes import over_classes
from sweeps.statistics.estimates import Estimate, estimate

HOTTEST = 1e3  # temperature; the coldest is one over it


def temperature_of(scores: Float[np.ndarray, "*queries way"], labels: Int[np.ndarray, "*queries"]) -> float:
    """Returns the temperature that scores have to be divided by for the least log loss (Guo et al., ICML 2017,
    arXiv:1706.04599). Labels of a single class, or scores that tell nothing, give one at a bound.
    """

    def loss(log_temperature: float) -> float:
        return float(log_loss(scores / np.exp(log_temperature), labels).mean())

    bound = float(np.log(HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-4}).x))


def log_loss(
    scores: Float[np.ndarray, "*queries way"], labels: Int[np.ndarray, "*queries"]
) -> Float[np.ndarray, "*queries"]:
    """Returns minus the logarithm of each true class's probability."""
    whole = log_softmax(scores, axis=-1)
    return np.asarray(-np.take_along_axis(whole, labels[..., None], -1)[..., 0])


def lowest_kept(values: Float[np.ndarray, "episodes queries"], share: float) -> float:
    """Returns a limit that a value of a further episode reaches with probability `share` at least: a conformal quantile
    whose unit is the episode (Dunn, Wasserman and Ramdas, JASA 2023, arXiv:1809.07441). It is 0 where there are too few
    episodes for that.

    The condition: episodes are exchangeable with the further one. Queries of an episode may depend on each other.
    """
    episodes, queries = values.shape
    # Of the further episode nothing is known, so it counts as a whole episode below every limit.
    below = int(np.floor(episodes * queries - share * (episodes + 1) * queries + 1e-9))
    return 0.0 if below < 0 else float(np.sort(values, axis=None)[below])


def highest_risk(
    answered: Bool[np.ndarray, "episodes queries"],
    wrong: Bool[np.ndarray, "episodes queries"],
    drawn: Int[np.ndarray, "episodes way"],
) -> float:
    """Returns what the share of answers that are wrong is below (one-sided, 95 %): the upper end of its interval over
    episodes or over classes, whichever is farther. Queries lie class by class; `drawn` says which classes those are. It
    is 1 where nothing is answered.
    """
    whole = answered.mean()
    if whole == 0:
        return 1.0
    missed = answered & wrong
    share = missed.sum() / answered.sum()
    residuals = _by_class((missed - share * answered) / whole, drawn.shape[1])
    over_episodes = estimate(residuals.mean(1), 1 / (answered.shape[1] * whole))
    return float(min(1.0, share + over_classes(residuals, drawn, over_episodes).ci95))


def share_of(parts: Sequence[float], wholes: Sequence[float], step: float) -> Estimate:
    """Returns the sum of parts over that of wholes, each of an episode, with an interval over episodes (that of a ratio
    of means); infinite where there is no whole. `step` is what a query more changes in a part.
    """
    top, whole = np.asarray(parts, float), np.asarray(wholes, float)
    if whole.sum() == 0:
        return Estimate(0.0, float("inf"), len(whole))
    share = float(top.sum() / whole.sum())
    around = estimate((top - share * whole) / whole.mean(), step / float(whole.mean()))
    return Estimate(share, around.ci95, around.episodes, around.skewness)


def _by_class(values: Float[np.ndarray, "episodes queries"], way: int) -> Float[np.ndarray, "episodes way"]:
    return np.asarray(values.reshape(len(values), way, -1).mean(-1))
