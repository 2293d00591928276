"""A search that is gone through without Tune, by accuracies of a formula."""

import random
from types import SimpleNamespace

from ray.tune.search import Searcher

from sweeps.schema.sweep import Search
from sweeps.search.plan import Plan
from sweeps.search.proposals import Proposals
from sweeps.statistics.rows import METRICS
from tests.sweeps.search.spaces import SPACE, by_lr

PLAN = Plan((6, 3, 3), 3, (2, 4))
HARD = [0.0, 0.05, -0.05, 0.02]  # the episodes of looks, by generation
DIFFICULTY = [0.02, 0.04, -0.03, -0.05]  # those of the race


def made(plan=PLAN, accuracy=by_lr, keep=None, announce=None, hear=None, **fields):
    """Proposals that ask a formula."""

    def accuracies(trials):
        return {
            name: [accuracy(values) + easier for easier in DIFFICULTY[:count]]
            for name, (values, count) in trials.items()
        }

    search = Search(space=SPACE, **fields)
    return Proposals(search, plan, "lora", accuracies, keep, announce, hear)


def report(name, accuracy, rung=1, episodes=1):
    """What Tune hears of one after a rung."""
    figures = {"episodes": episodes, "failed": 0, "accuracy": accuracy}
    return {**dict.fromkeys(METRICS), "asked": name, "rung": rung, **figures}


def end(proposals, trial, config, accuracy=by_lr, rungs=2):
    """Ends the looks of a generation, or a part in the race after so many rungs."""
    own = {name: accuracy(config["settings"][name]) for name in config["asked"]}
    if config["race"]:
        ((name, mine),) = own.items()
        for rung, episodes in zip(range(1, rungs + 1), (2, 4), strict=False):
            seen = None if mine is None else mine + sum(DIFFICULTY[:episodes]) / episodes
            proposals.on_trial_result(trial, {"reports": [report(name, seen, rung, episodes)]})
        if rungs < 2:
            last = {**report(name, seen, rung, episodes), "stopped_by": "racing"}
            proposals.on_trial_result(trial, {"reports": [last]})
    else:
        harder = HARD[config["generation"]]
        reports = [report(name, None if one is None else one + harder) for name, one in own.items()]
        proposals.on_trial_result(trial, {"reports": reports})
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
        end(proposals, trial, given[trial], accuracy, rungs_of(next(iter(given[trial]["asked"]))))


def looked(given):
    """What each look and each part in the race was given, in their order: its name, its setting's, its values, its
    generation, and whether it is of the race.
    """
    return [
        SimpleNamespace(
            name=name,
            trial=trial,
            values=config["settings"][name],
            generation=config["generation"],
            race=config["race"],
        )
        for config in given.values()
        for name, trial in config["asked"].items()
    ]


def asked(proposals):
    """The settings of each generation."""
    return [[one.values for one in generation] for generation in proposals.asked]
