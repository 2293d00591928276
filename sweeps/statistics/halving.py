"""Synchronous successive halving: after each rung (a number of episodes) the better trials of a generation go on."""

from math import ceil

import numpy as np

from pipeline.dispatch.generations import StoppingRule


def halving(keep: float) -> StoppingRule:
    """Returns a rule that keeps the better share of a generation, at least one trial, by mean accuracy on the same
    episodes.

    It is that of Jamieson and Talwalkar, AISTATS 2016 (arXiv:1502.07943). Of equals the earlier trial stays; a trial
    with a failed episode (None) goes.
    """

    def survivors(rung: int, accuracies: dict[str, list[float | None]]) -> set[str]:
        means = {
            trial: float(np.mean([value for value in values if value is not None]))
            for trial, values in accuracies.items()
            if all(value is not None for value in values)
        }
        ranked = sorted(means, key=lambda trial: (-means[trial], [int(part) for part in trial.split(".")]))
        return set(ranked[: max(1, ceil(keep * len(accuracies)))])

    return survivors
