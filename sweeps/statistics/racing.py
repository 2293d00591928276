"""Racing: a trial is stopped once it is worse than its rivals with confidence, whatever the differences are like."""

from collections.abc import Sequence

import numpy as np

from pipeline.dispatch.generations import StoppingRule
from sweeps.statistics.betting import log_capital


def racing(trials: int, delta: float) -> StoppingRule:
    """Returns a rule that keeps all trials but those that their rivals beat with confidence, where at most so many
    race.

    After each rung, bets are laid for every trial that its rivals are better than it: an equal part of a capital of 1
    on each of the trials - 1 rivals that it can have, on the differences of all episodes so far (betting.py). It goes
    when that has grown to 1 / delta. This is a race as in Maron and Moore, NIPS 1993, with paired differences as in
    their "Racing algorithm" (Artificial Intelligence Review 1997), by a test that asks for nothing but accuracies
    between 0 and 1.

    **The true best of those that race is dropped with probability at most delta**, for episodes that are drawn
    independently and settings that were not chosen by these episodes. For then no rival is truly better than it, each
    part of its capital is a fair game or worse, and so is their sum; rivals that have gone or are still to come keep
    theirs, which is left out of the sum. By Ville's inequality such a capital ever reaches 1 / delta with probability
    delta at most: it does not matter how many rungs there are, how differences are skewed, or who is left.

    A trial with a failed episode (None) goes. Raises ValueError for arguments out of range and for accuracies that are
    not as many for all.
    """
    check_racing(trials, delta)

    def survivors(rung: int, accuracies: dict[str, list[float | None]]) -> set[str]:
        assert len(accuracies) <= trials, f"{len(accuracies)} of {trials} trials"
        whole, raced = raced_by(accuracies)
        left = in_the_race(raced, trials, delta)
        return {trial for place, trial in enumerate(whole) if place in left}

    return survivors


def in_the_race(accuracies: Sequence[Sequence[float]] | np.ndarray, trials: int, delta: float) -> list[int]:
    """Returns which of those that did the same episodes `racing` keeps after them: with probability 1 - delta, and
    under its condition, the true best of the sweep is among them if it did those.
    """
    raced = np.asarray(accuracies, float)
    bar = np.log(max(1, trials - 1) / delta)
    return [place for place, own in enumerate(raced) if _capital(raced - own) < bar]


def _capital(ahead: np.ndarray) -> float:
    """Returns the logarithm of what bets on all rivals have become, each of which began as 1. A trial is among its own
    rivals here, and adds the 1 that its bet stays: it is taken out.
    """
    grown = log_capital(ahead)
    return float(np.log(max(np.exp(np.minimum(grown, 700.0)).sum() - 1.0, 1e-300)))


def check_racing(trials: int, delta: float) -> None:
    """Raises ValueError for arguments out of range."""
    if trials < 1:
        raise ValueError(f"trials must be at least 1 but got {trials}")
    if not 0 < delta <= 0.5:
        raise ValueError(f"delta must be above 0 and at most 0.5 but got {delta:g}")


def raced_by(accuracies: dict[str, list[float | None]]) -> tuple[list[str], np.ndarray]:
    """Returns the trials without a failed episode, and their accuracies. Raises ValueError for accuracies that are not
    as many for all.
    """
    whole = {trial: values for trial, values in accuracies.items() if None not in values}
    lengths = sorted({len(values) for values in whole.values()})
    if len(lengths) > 1:
        raise ValueError(f"accuracies must be as many for all trials but are {lengths}")
    return list(whole), np.asarray(list(whole.values()), float)


def control_variate(leader_all: Sequence[float], trial: Sequence[float]) -> float:
    """Returns the expected mean accuracy, over all episodes, of a trial that was stopped: the leader's, and by how
    much the trial differed from it on the first episodes, which both saw. The episodes' difficulty cancels (control
    variates with coefficient 1: Lavenberg and Welch, Management Science 1981).

    Raises ValueError for a trial without episodes or with more than the leader.
    """
    if not 1 <= len(trial) <= len(leader_all):
        raise ValueError(
            f"episodes of the trial must be between 1 and the leader's {len(leader_all)} but are {len(trial)}"
        )
    shared = np.asarray(trial, float) - np.asarray(leader_all[: len(trial)], float)
    return float(np.mean(leader_all) + shared.mean())
