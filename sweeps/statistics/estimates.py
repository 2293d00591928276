"""Means with intervals, and paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats takes seconds to import in every trial

SIGNIFICANCE = 0.05  # a difference is told where p, corrected, is below it


@dataclass(frozen=True)
class Estimate:
    """An estimate is a mean over `episodes` episodes, and half the width of its 95 % interval."""

    mean: float
    ci95: float
    episodes: int

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.ci95:.1f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Returns the mean and Student's 95 % interval, an infinite interval for a single value. Raises ValueError for
    none.
    """
    if len(values) == 0:
        raise ValueError("episodes must be at least 1 but got 0")
    array = np.asarray(values, float)
    if len(array) == 1:
        return Estimate(float(array[0]), float("inf"), 1)
    half = stdtrit(len(array) - 1, 0.975) * array.std(ddof=1) / np.sqrt(len(array))
    return Estimate(float(array.mean()), float(half), len(array))


def p_text(p: float) -> str:
    """Returns a p-value with its sign, to follow the letter p."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def numbers(judged: Estimate | None) -> tuple[float | None, float | None]:
    """Returns mean and half interval, for JSON, None where there is none (the mean of one episode has no interval)."""
    if judged is None:
        return None, None
    return judged.mean, judged.ci95 if isfinite(judged.ci95) else None


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Returns the mean of the differences on the same episodes, in the same order. Raises ValueError for unequal
    lengths.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"paired episodes must be as many on both sides but are {len(ours)} and {len(theirs)}")
    return estimate(np.asarray(ours, float) - np.asarray(theirs, float))


def paired_p_value(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Returns the two-sided p of the paired t test (Student, Biometrika 1908), 1 where all differences are 0.

    Raises ValueError for unequal lengths and for fewer than two pairs.
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(
            f"paired episodes must be as many on both sides and at least 2 but are {len(ours)} and {len(theirs)}"
        )
    differences = np.asarray(ours, float) - np.asarray(theirs, float)
    if not differences.any():
        return 1.0
    with np.errstate(divide="ignore"):  # where all differences are equal, t is infinite
        t = differences.mean() / (differences.std(ddof=1) / np.sqrt(len(differences)))
    return float(2 * stdtr(len(differences) - 1, -abs(t)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for how many they are, in the order given (Holm, Scandinavian Journal of Statistics
    1979).

    Those at most q are rejected; the chance that any of them is a true hypothesis is then at most q, however they
    depend on each other. Raises ValueError for what is not between 0 and 1.
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise ValueError(f"p-values must be between 0 and 1 but got {p:g}")
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = float(least)
    return adjusted
