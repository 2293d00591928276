"""Racing: a trial is stopped once it is worse than a rival with confidence."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit  # Student's t; scipy.stats takes seconds to import in every trial

from pipeline.dispatch.generations import StoppingRule

LEAST_SPREAD = 1e-9  # of differences that are told apart; below it is rounding of equal ones


def racing(trials: int, rungs: int, delta: float) -> StoppingRule:
    """Returns a rule that keeps all trials but those that a rival beats with confidence, over a whole sweep of so many
    trials.

    After each of `rungs` rungs (the last has no decision after it, so one less than a sweep has) every trial is
    compared with all others that are still in, and with the incumbent of earlier generations, by a one-sided paired t
    test at level delta / ((trials - 1) * rungs). This is a race as in Maron and Moore, NIPS 1993, with paired tests as
    in their "Racing algorithm" (Artificial Intelligence Review 1997) and F-race (Birattari et al., GECCO 2002); delta
    is spent evenly over rivals and rungs by Bonferroni.

    The true best is dropped in the whole sweep with probability at most delta. To drop it, at some rung some rival must
    pass a test against it that is false; there are (trials - 1) * rungs such tests, each wrong with the probability of
    its level. The sum is over all rivals that there could be, so it does not matter which of them are still in, which
    is the incumbent, or that this depends on the same episodes. Only rivals up to its own generation meet a trial, so
    `trials` may be how many have begun so far. This is exact for normal differences and settings that were not chosen
    by these episodes; accuracies in steps keep to it on average from 16 episodes on (benchmarks/README.md).

    Differences that are all equal say nothing about their spread and stop nobody: of accuracies in steps a few often
    are. A trial with a failed episode (None) goes. One trial at least stays, unless an earlier incumbent beats all.
    Raises ValueError for arguments out of range and for accuracies that are not as many on all sides.
    """
    if trials < 1:
        raise ValueError(f"trials must be at least 1 but got {trials}")
    if rungs < 1:
        raise ValueError(f"rungs must be at least 1 but got {rungs}")
    if not 0 < delta <= 0.5:
        raise ValueError(f"delta must be above 0 and at most 0.5 but got {delta:g}")
    level = delta / (max(1, trials - 1) * rungs)

    def survivors(
        rung: int, accuracies: dict[str, list[float | None]], incumbent: list[float] | None = None
    ) -> set[str]:
        assert 1 <= rung <= rungs, f"rung {rung} of {rungs}"
        assert len(accuracies) <= trials, f"{len(accuracies)} of {trials} trials"
        whole = {trial: values for trial, values in accuracies.items() if None not in values}
        raced: list[Sequence[float | None]] = [*whole.values(), *([] if incumbent is None else [incumbent])]
        lengths = sorted({len(values) for values in raced})
        if len(lengths) > 1:
            raise ValueError(f"accuracies must be as many for all trials and the incumbent but are {lengths}")
        if not whole or lengths[0] < 2:
            return set(whole)
        rivals, episodes = np.asarray(raced, float), lengths[0]
        bar = -stdtrit(episodes - 1, level) / np.sqrt(episodes)
        left = set()
        for trial, own in zip(whole, rivals, strict=False):
            ahead = rivals - own
            spread = ahead.std(axis=1, ddof=1)
            if not np.any((spread > LEAST_SPREAD) & (ahead.mean(axis=1) > bar * spread)):
                left.add(trial)
        return left

    return survivors


def control_variate(incumbent_all: Sequence[float], trial: Sequence[float]) -> float:
    """Returns the expected mean accuracy, over all episodes, of a trial that was stopped: the incumbent's, and by how
    much the trial differed from it on the first episodes, which both saw. The episodes' difficulty cancels (control
    variates with coefficient 1: Lavenberg and Welch, Management Science 1981).

    Raises ValueError for a trial without episodes or with more than the incumbent.
    """
    if not 1 <= len(trial) <= len(incumbent_all):
        raise ValueError(
            f"episodes of the trial must be between 1 and the incumbent's {len(incumbent_all)} but are {len(trial)}"
        )
    shared = np.asarray(trial, float) - np.asarray(incumbent_all[: len(trial)], float)
    return float(np.mean(incumbent_all) + shared.mean())
