"""Racing by t tests: cheap, and true to its promise where differences are symmetric."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit  # Student's t; scipy.stats takes seconds to import in every trial

from pipeline.dispatch.generations import StoppingRule
from sweeps.statistics.racing import check_racing, raced_by

LEAST_SPREAD = 1e-9  # of differences that are told apart; below it is rounding of equal ones


def t_racing(trials: int, rungs: int, delta: float) -> StoppingRule:
    """Returns a rule that keeps all trials but those that a rival beats with confidence, if differences are symmetric.

    After each of `rungs` rungs (the last has no decision after it, so one less than a sweep has) every trial is
    compared with all others that are still in by a one-sided paired t test at level delta / ((trials - 1) * rungs), as
    in the "Racing algorithm" (Maron and Moore, Artificial Intelligence Review 1997) and F-race (Birattari et al., GECCO
    2002); delta is spent evenly over rivals and rungs by Bonferroni.

    **The true best of those that race is dropped with probability at most delta where paired differences are
    symmetric**, however heavy their tails, and settings were not chosen by these episodes. To drop it, at some rung
    some rival must pass a test against it that is false; there are (trials - 1) * rungs such tests. Where differences
    are skewed (a rival collapses in an episode of thirty, say) it is dropped far more often, and no look at a few
    episodes can tell: racing.py holds then too, at some three times the episodes (benchmarks/README.md).

    Differences that are all equal say nothing about their spread and stop nobody: of accuracies in steps a few often
    are. A trial with a failed episode (None) goes. One trial at least stays. Raises ValueError
    for arguments out of range and for accuracies that are not as many for all.
    """
    check_racing(trials, delta)
    if rungs < 1:
        raise ValueError(f"rungs must be at least 1 but got {rungs}")
    level = delta / (max(1, trials - 1) * rungs)

    def survivors(rung: int, accuracies: dict[str, list[float | None]]) -> set[str]:
        assert 1 <= rung <= rungs, f"rung {rung} of {rungs}"
        assert len(accuracies) <= trials, f"{len(accuracies)} of {trials} trials"
        whole, rivals = raced_by(accuracies)
        if not whole or (episodes := rivals.shape[1]) < 2:
            return set(whole)
        bar = -stdtrit(episodes - 1, level) / np.sqrt(episodes)
        left = set()
        for trial, own in zip(whole, rivals, strict=False):
            ahead = rivals - own
            spread = ahead.std(axis=1, ddof=1)
            if not np.any((spread > LEAST_SPREAD) & (ahead.mean(axis=1) > bar * spread)):
                left.add(trial)
        return left

    return survivors


def in_the_race_if_symmetric(accuracies: Sequence[Sequence[float]], delta: float) -> list[int]:
    """Returns which of those that did all episodes no other beats by a t test at level delta / (their number - 1): with
    probability 1 - delta the truly best of them is among these, if differences are symmetric.
    """
    whole = {f"0.{place}": list[float | None](own) for place, own in enumerate(accuracies)}
    left = t_racing(len(whole), 1, delta)(1, whole)
    return [place for place, name in enumerate(whole) if name in left]
