"""What each setting of a search is worth in the end: by its race, or by what the model of all looks expects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.config import HyperParameters
from sweeps.search.record import SearchRecord, Trial
from sweeps.search.sampler import LookSampler
from sweeps.statistics.estimates import NORMAL, Estimate
from sweeps.statistics.racing import control_variate

# Returns the accuracies of settings, by their trials' names, on so many of the race's first episodes each.
Accuracies = Callable[[Mapping[str, tuple[HyperParameters, int]]], dict[str, list[float]]]


def scored(
    trials: Sequence[Trial], rungs: tuple[int, ...], sampler: LookSampler, accuracies: Accuracies
) -> SearchRecord:
    """Returns the record of a search that has ended, with a score for each trial and what more looks would gain."""
    record = SearchRecord(tuple(trials), rungs)
    leader = record.leader
    if leader is None:
        return record
    known = {trial.name: float(trial.accuracy) for trial in record.whole if trial.accuracy is not None}
    stopped = [trial for trial in record.racers if trial.name not in known and trial.accuracy is not None]
    if stopped:
        seen = accuracies({trial.name: (trial.values, trial.raced) for trial in (*stopped, leader)})
        known |= {trial.name: control_variate(seen[leader.name], seen[trial.name]) for trial in stopped}
    belief = sampler.believed([trial.values for trial in trials])
    if belief is None:
        return replace(record, trials=tuple(replace(trial, score=known.get(trial.name)) for trial in trials))
    places = {trial.name: place for place, trial in enumerate(trials)}
    # The model knows settings apart from how hard episodes are; those of the race are as hard as racers say.
    level = float(np.mean([value - belief.mean[places[name]] for name, value in known.items()]))
    best = places[leader.name]
    variance = np.diag(belief.covariance) + belief.covariance[best, best] - 2 * belief.covariance[best]
    halves = NORMAL * np.sqrt(np.maximum(variance, 0.0))
    judged = []
    for place, trial in enumerate(trials):
        failed = trial.accuracy is None  # in the race, or at a look where it did not race
        score = None if failed else known.get(trial.name, float(belief.mean[place]) + level)
        apart = Estimate(float(belief.mean[place] - belief.mean[best]), float(halves[place]), trial.episodes)
        judged.append(replace(trial, score=score, to_winner=None if failed else apart))
    return replace(record, trials=tuple(judged), gain=sampler.gain())
