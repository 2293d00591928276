"""How far probabilities are what they say: calibration error, and how well they tell known from unknown."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import stdtrit

from sweeps.statistics.estimates import Estimate, estimate

BINS = 15  # of equal width, as the field has them


@dataclass(frozen=True)
class Bin:
    """Of the queries whose highest probability fell between two limits, this is the mean of it, the share that was
    right, and which share of all queries they are.
    """

    probability: float
    right: float
    share: float


def calibration_error(
    highest: Float[np.ndarray, "episodes queries"], right: Bool[np.ndarray, "episodes queries"]
) -> Estimate:
    """Returns by how much the highest probability and the share of right answers differ, the mean over bins weighted
    by their queries (Naeini et al., AAAI 2015), with a jackknife's 95 % interval over episodes.
    """
    gaps = _summed(highest - right, _places(highest))
    episodes, queries = highest.shape
    whole = gaps.sum(0)
    error = float(np.abs(whole).sum() / highest.size)
    if episodes < 2:
        return Estimate(error, float("inf"), episodes)
    without = np.abs(whole - gaps).sum(1) / ((episodes - 1) * queries)
    spread = np.sqrt((episodes - 1) / episodes * np.square(without - without.mean()).sum())
    return Estimate(error, float(stdtrit(episodes - 1, 0.975) * spread), episodes)


def bins_of(
    highest: Float[np.ndarray, "episodes queries"], right: Bool[np.ndarray, "episodes queries"]
) -> tuple[Bin, ...]:
    """Returns the bins that have queries, from the least probable on."""
    places = _places(highest)
    counts, probable, hits = (
        _summed(values, places).sum(0) for values in (np.ones(highest.shape), highest, right.astype(float))
    )
    return tuple(
        Bin(float(probable[b] / counts[b]), float(hits[b] / counts[b]), float(counts[b] / highest.size))
        for b in range(BINS)
        if counts[b]
    )


def told_apart(
    known: Float[np.ndarray, "episodes queries"], unknown: Float[np.ndarray, "episodes outsiders"]
) -> Estimate:
    """Returns how probable it is that a query has a higher value than an outsider of the same episode, half where they
    are equal: the area under the curve, over episodes.
    """
    above = known[:, :, None] > unknown[:, None, :]
    equal = known[:, :, None] == unknown[:, None, :]
    return estimate((above + equal / 2).mean((1, 2)), 1 / known.shape[1])


def _places(highest: Float[np.ndarray, "episodes queries"]) -> np.ndarray:
    return np.asarray(np.minimum((highest * BINS).astype(int), BINS - 1))


def _summed(values: np.ndarray, places: np.ndarray) -> Float[np.ndarray, "episodes bins"]:
    """Returns the sum of the values of each episode in each bin."""
    return np.stack([np.bincount(own, one, BINS) for own, one in zip(places, values, strict=True)])
