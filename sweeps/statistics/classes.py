"""Intervals over classes: how a mean would change on other classes of the same kind."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtr, stdtrit

from sweeps.statistics.estimates import Estimate

FEW = 30  # classes, below which the interval over classes is the one to go by


def over_classes(
    values: Float[np.ndarray, "episodes way"], drawn: Int[np.ndarray, "episodes way"], over_episodes: Estimate
) -> Estimate:
    """Returns a mean with its 95 % interval over classes and episodes, of what each class of each episode had (its
    share of right answers, or the difference of two); `drawn` says which classes those were.

    More episodes of the same classes do not tell what others would have. The variance is that of the means of classes
    over their number, and what episodes share besides (two-way clusters: Cameron, Gelbach and Miller, Journal of
    Business and Economic Statistics 2011); the interval is Student's with a degree of freedom less than classes, and
    never narrower than that over episodes. It is infinite where a single class was drawn. Raises ValueError for
    shapes that differ.
    """
    half = stdtrit(max(1, _count(drawn) - 1), 0.975) * _error(values, drawn)
    return Estimate(over_episodes.mean, max(float(half), over_episodes.ci95), len(values), over_episodes.skewness)


def class_p_value(
    differences: Float[np.ndarray, "episodes way"], drawn: Int[np.ndarray, "episodes way"], over_episodes: float
) -> float:
    """Returns the two-sided p of no difference on other classes, below 0.05 where the interval of `over_classes` leaves
    out 0; never below the p over episodes. Raises ValueError for shapes that differ.
    """
    error, mean = _error(differences, drawn), abs(float(differences.mean()))
    if not np.isfinite(error) or mean == 0:
        return 1.0
    p = 0.0 if error == 0 else float(2 * stdtr(_count(drawn) - 1, -mean / error))
    return max(p, over_episodes)


def _count(drawn: Int[np.ndarray, "episodes way"]) -> int:
    return len(np.unique(drawn))


def _error(values: Float[np.ndarray, "episodes way"], drawn: Int[np.ndarray, "episodes way"]) -> float:
    """Returns the standard error of the mean, over classes and episodes."""
    if values.shape != drawn.shape:
        raise ValueError(f"values must have a class each but are {values.shape} and {drawn.shape}")
    flat, (names, code) = values.ravel(), np.unique(drawn, return_inverse=True)
    if len(names) < 2:
        return float("inf")
    code = code.ravel()
    counts = np.bincount(code)
    means = np.bincount(code, flat) / counts
    between = means.var(ddof=1) / len(names)
    within = ((flat - means[code]) ** 2).sum() / max(1, len(flat) - len(names)) / len(flat)
    of_episodes = values.mean(axis=1).var(ddof=1) / len(values) if len(values) > 1 else 0.0
    return float(np.sqrt(between + max(0.0, of_episodes - within)))
