"""Means with intervals, and paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # quantile of Student's t; scipy.stats takes seconds to import in every trial


@dataclass(frozen=True)
class Estimate:
    """A mean over `episodes` episodes, and half the width of its 95 % interval."""

    mean: float
    ci95: float
    episodes: int

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.ci95:.1f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student's 95 % interval; an infinite one for a single value. Raises ValueError for none."""
    if len(values) == 0:
        raise ValueError("episodes must be at least 1 but got 0")
    array = np.asarray(values, float)
    if len(array) == 1:
        return Estimate(float(array[0]), float("inf"), 1)
    half = stdtrit(len(array) - 1, 0.975) * array.std(ddof=1) / np.sqrt(len(array))
    return Estimate(float(array.mean()), float(half), len(array))


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Mean of the differences on the same episodes, in the same order. Raises ValueError for unequal lengths."""
    if len(ours) != len(theirs):
        raise ValueError(f"paired episodes must be as many on both sides but are {len(ours)} and {len(theirs)}")
    return estimate(np.asarray(ours, float) - np.asarray(theirs, float))
