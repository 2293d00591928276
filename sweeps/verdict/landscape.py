"""The shape of the search space: how accurate trials are over ranges of each hyper-parameter."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from pipeline.config import HyperParameters
from sweeps.search.record import names_of
from sweeps.statistics.estimates import Estimate, estimate

LEAST_OF_SLICE = 5  # trials, below which the spread over them says nothing
LEAST_TO_SLICE = 2 * LEAST_OF_SLICE  # trials that have a hyper-parameter, below which nothing is told of it


@dataclass(frozen=True)
class Scored:
    """A trial has a score, its accuracy over all episodes of the race (by control variate if it was stopped, by the
    model of all looks if it did not race), and a difference to the best trial, paired if it raced.

    `name` is `generation.number`, `curve` its accuracy after each rung that it did, `seconds` what a worker took for an
    episode, and `looks` on how many episodes it was seen before the race.
    """

    values: HyperParameters
    score: float
    difference: Estimate  # 0 ± 0 for the best itself
    name: str = ""
    curve: tuple[Estimate, ...] = ()
    seconds: float = 0.0
    looks: int = 0

    @property
    def episodes(self) -> int:
        """Returns how many episodes of the race the trial did."""
        return self.curve[-1].episodes if self.curve else 0


@dataclass(frozen=True)
class Slice:
    """A slice is a run of neighbouring values of a hyper-parameter, `low` to `high`, which are None for names and
    truths; `mean` is over trials, not episodes.
    """

    label: str
    low: float | None
    high: float | None
    trials: int
    best: float
    mean: Estimate

    def cells(self) -> tuple[str, str, str, str]:
        """Returns its values, trials, their mean and the best of them in %; the mean has no interval where they are
        few.
        """
        told = self.trials >= LEAST_OF_SLICE and isfinite(self.mean.ci95)
        mean = str(self.mean) if told else f"{100 * self.mean.mean:.1f}"
        return self.label, str(self.trials), mean, f"{100 * self.best:.1f}"


def best_of(trials: Sequence[Scored]) -> Scored:
    """Returns the trial that all others are compared with. Raises ValueError for no trials."""
    if not trials:
        raise ValueError("trials must be at least 1 but got 0")
    return max(trials, key=lambda one: (one.difference.mean == one.difference.ci95 == 0, one.episodes, one.score))


def slices(trials: Sequence[Scored], name: str, bins: int = 4) -> list[Slice]:
    """Returns accuracy against one hyper-parameter, of the trials that have it.

    Names, truths and 0 are slices by themselves; other values make at most `bins` more of nearly as many trials each,
    LEAST_OF_SLICE where there are so many, and equal values are never parted. Raises ValueError for no trials, no bins,
    and a name that no trial has.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1 but got {bins}")
    if name not in (known := kinds(trials)):
        raise ValueError(f"name must be one of {', '.join(known)} but got {name!r}")
    own, numeric = [trial for trial in trials if name in trial.values], known[name]
    alike: dict[Any, list[Scored]] = defaultdict(list)
    for trial in sorted(own, key=lambda trial: trial.values[name]) if numeric else own:
        alike[trial.values[name] if numeric else repr(trial.values[name])].append(trial)
    apart = [alike.pop(0)] if 0 in alike else []
    most = max(1, min(bins, sum(map(len, alike.values())) // LEAST_OF_SLICE)) if numeric else len(alike)
    parts = apart + _joined(list(alike.values()), most)
    return [_slice([trial.score for trial in part], part[0].values[name], part[-1].values[name]) for part in parts]


def _joined(groups: list[list[Scored]], bins: int) -> list[list[Scored]]:
    """Joins neighbours until they are at most so many, each as near as can be to its share of what is left."""
    if len(groups) <= bins:
        return groups
    sizes = np.cumsum([len(group) for group in groups])
    end = int(np.abs(sizes - sizes[-1] / bins).argmin()) + 1
    return [[trial for group in groups[:end] for trial in group], *_joined(groups[end:], bins - 1)]


def _slice(scores: Sequence[float], first: float | str, last: float | str) -> Slice:
    label = " – ".join(dict.fromkeys(f"{end:.3g}" if isinstance(end, float) else str(end) for end in (first, last)))
    low, high = (None if isinstance(end, (str, bool)) else float(end) for end in (first, last))
    return Slice(label, low, high, len(scores), max(scores), estimate(scores))


def told_by_slices(trials: Sequence[Scored]) -> dict[str, bool]:
    """Returns what `kinds` does, of the hyper-parameters that enough trials have."""
    known = kinds(trials) if trials else {}
    counts = {name: sum(name in trial.values for trial in trials) for name in known}
    return {name: numeric for name, numeric in known.items() if counts[name] >= LEAST_TO_SLICE}


def kinds(trials: Sequence[Scored]) -> dict[str, bool]:
    """Returns hyper-parameters, in their order, and whether their values are numbers.

    Raises ValueError for no trials.
    """
    if not trials:
        raise ValueError("trials must be at least 1 but got 0")
    names = names_of(trial.values for trial in trials)
    return {name: not any(isinstance(trial.values.get(name), (str, bool)) for trial in trials) for name in names}
