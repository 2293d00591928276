"""A search that is gone through without Tune, by accuracies of a formula."""

import random

import optuna
from ray.tune.search import Searcher

from sweeps.schema.sweep import Search
from sweeps.search.plan import Plan
from sweeps.search.proposals import Proposals
from sweeps.statistics.rows import METRICS
from tests.sweeps.search.spaces import SPACE, by_lr

PLAN = Plan((6, 3, 3), 3, (2, 4))
HARD = [0.0, 0.05, -0.05, 0.02]  # the episodes of looks, by generation
DIFFICULTY = [0.02, 0.04, -0.03, -0.05]  # those of the race


def made(plan=PLAN, accuracy=by_lr, announce=None, hear=None, **fields):
    """Proposals on a study in memory."""

    def accuracies(trials):
        return {
            name: [accuracy(values) + easier for easier in DIFFICULTY[:count]]
            for name, (values, count) in trials.items()
        }

    search = Search(space=SPACE, **fields)
    return Proposals(search, plan, "lora", optuna.create_study(direction="maximize"), accuracies, announce, hear)


def report(accuracy, rung=1, episodes=1):
    """What Tune hears after a rung."""
    return {**dict.fromkeys(METRICS), "rung": rung, "episodes": episodes, "failed": 0, "accuracy": accuracy}


def end(proposals, trial, config, accuracy=by_lr, rungs=2):
    """Ends a look, or a part in the race after so many rungs."""
    own = accuracy(config["values"])
    if config["race"]:
        for rung, episodes in zip(range(1, rungs + 1), (2, 4), strict=False):
            seen = None if own is None else own + sum(DIFFICULTY[:episodes]) / episodes
            proposals.on_trial_result(trial, report(seen, rung, episodes))
        if rungs < 2:
            proposals.on_trial_result(trial, {**report(seen, rung, episodes), "stopped_by": "racing"})
    else:
        proposals.on_trial_result(trial, report(None if own is None else own + HARD[config["generation"]]))
    proposals.on_trial_complete(trial, {})


def play(proposals, accuracy=by_lr, order=None, rungs_of=lambda name: 2, width=5):
    """Runs all looks and the race, `width` at a time at most; they end in a random `order` of their own. Returns what
    each of Tune's trials was given.
    """
    given, running, chance = {}, [], random.Random(order)
    while True:
        while len(running) < width:
            suggested = proposals.suggest(f"tune {len(given)}")
            if suggested is None or suggested == Searcher.FINISHED:
                break
            running.append(f"tune {len(given)}")
            given[running[-1]] = suggested
        if not running:
            return given
        trial = running.pop(chance.randrange(len(running)))
        end(proposals, trial, given[trial], accuracy, rungs_of(given[trial]["look"]))


def asked(proposals):
    """The settings of each generation."""
    return [[one.values for one in generation] for generation in proposals.asked]
