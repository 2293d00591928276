"""A space to search, settings that are named, and accuracies by formula that stand in for a method."""

import numpy as np

from sweeps.schema.space import Range

LR = Range(low=0.002, high=0.05, log=True)
SPACE = {
    "lambda": Range(low=0.03, high=30, log=True),
    "alpha": Range(low=0.03, high=10, log=True, zero=True),
    "tau": Range(low=0.3, high=3),
    "patches": Range(low=2, high=16, log=True, integer=True),
    "lr": LR,
}
FIRST = {
    "no prompts": {"alpha": 0, "lr": 0.01},
    "paper defaults": {"lambda": 1, "alpha": 7, "tau": 1, "patches": 4, "lr": 0.005},
}


def by_lr(values):
    """The smaller a rate, the better: from 0.5 to 0.9."""
    return 0.5 + 0.4 * float(np.log(0.05 / values["lr"]) / np.log(25))
