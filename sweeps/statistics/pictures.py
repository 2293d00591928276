"""Intervals over pictures: how a mean would change on other pictures of the same classes."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from sweeps.statistics.estimates import Estimate


def over_pictures(
    values: Float[np.ndarray, "episodes way"],
    drawn: Int[np.ndarray, "episodes way"],
    pictures: tuple[Int[np.ndarray, "episodes way support"], Int[np.ndarray, "episodes way query"]],
    over_episodes: Estimate,
) -> Estimate:
    """Returns a mean with its 95 % interval over pictures and episodes of the same classes, of what each class of each
    episode had; `pictures` are those of its support and of its queries.

    Episodes draw from few pictures again and again. To the variance over episodes is added what the mean owes to the
    pictures that are there: for each class, the variance between pictures of what episodes with them have, beyond
    chance, over their number (a picture that is one of k in an episode moves it by a k-th). Never narrower than the
    interval over episodes. Raises ValueError for shapes that differ.
    """
    if values.shape != drawn.shape:
        raise ValueError(f"values must have a class each but are {values.shape} and {drawn.shape}")
    owed = sum(max(0.0, _owed(values, drawn, part)) for part in pictures)
    half = float(np.sqrt((over_episodes.ci95 / ndtri(0.975)) ** 2 + owed) * ndtri(0.975))
    return Estimate(over_episodes.mean, half, len(values), over_episodes.skewness)


def picture_p_value(over: Estimate, over_episodes: float) -> float:
    """Returns the two-sided p of no difference on other pictures, below 0.05 where the interval leaves out 0; never
    below the p over episodes.
    """
    if not np.isfinite(over.ci95) or over.mean == 0:
        return 1.0
    if over.ci95 == 0:
        return over_episodes
    return max(over_episodes, float(2 * ndtr(-abs(over.mean) / over.ci95 * ndtri(0.975))))


def _owed(
    values: Float[np.ndarray, "episodes way"],
    drawn: Int[np.ndarray, "episodes way"],
    pictures: Int[np.ndarray, "episodes way together"],
) -> float:
    """Returns the variance of the mean over classes that comes from which pictures there are."""
    classes, together = np.unique(drawn), pictures.shape[2]
    total = 0.0
    for one in classes:
        here = drawn == one
        own, shown = values[here], pictures[here]
        names, code = np.unique(shown, return_inverse=True)
        if len(names) < 2 or len(own) < 2:
            continue
        code = code.reshape(shown.shape).ravel()
        counts = np.bincount(code)
        means = np.bincount(code, np.repeat(own, together)) / counts
        by_chance = (own.var(ddof=1) / counts).mean() * (1 - counts.mean() / len(own))
        total += together**2 * (means.var(ddof=1) - by_chance) / len(names)
    return float(total / len(classes) ** 2)
