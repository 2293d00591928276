"""Trials and findings made by hand, for pictures."""

from dataclasses import replace

import numpy as np
from matplotlib.text import Text

from sweeps.statistics.estimates import Estimate
from sweeps.verdict.landscape import Scored
from tests.sweeps.findings import CONFIDENCE, MISTAKES, compared, finding

RUNGS = (16, 24, 32, 48, 64, 100)
BEST = Estimate(0.0, 0.0, 100)
ODD = 'a<b> & "c" | $x_1$ 猫'


def trial(name, values, score, rungs, seconds=0.1, ci95=0.02, best=False):
    """A trial that was looked at once and did the first so many rungs of the race."""
    curve = tuple(Estimate(score + 0.1 / episodes, ci95, episodes) for episodes in RUNGS[:rungs])
    difference = BEST if best else Estimate(-0.05, ci95, RUNGS[rungs - 1])
    return Scored(values, score, difference, name, curve, seconds, looks=1)


def few():
    """Two generations of three; the third is the winner, the first without prompts; the fifth did all too."""
    settings = [{"lambda": 0.1 * 3**i, "alpha": 0.01 * 4**i, "patches": i, "lr": 0.01 + 0.001 * i} for i in range(6)]
    settings[0] = {"alpha": 0.0, "lr": 0.02}
    done, scores = (1, 3, 6, 1, 6, 4), (0.5, 0.62, 0.7, 0.3, 0.66, 0.64)
    return [
        trial(f"{i // 3}.{i % 3}", values, score, rungs, 0.1 + i / 10, best=i == 2)
        for i, (values, rungs, score) in enumerate(zip(settings, done, scores, strict=True))
    ]


def of_two_costs():
    """Twenty trials, of which every other adapts four blocks instead of two; times that an order shared are noise."""
    trials = []
    for i, one in enumerate(many(20)):
        deep = i % 2
        seconds = (0.1, 0.3)[deep] + 0.01 * (i // 2)
        trials.append(replace(one, values={**one.values, "blocks": 2 + 2 * deep}, seconds=seconds))
    return trials


def many(count):
    """Every seventh did all; the last of those is the winner."""
    random, last = np.random.default_rng(count), 7 * ((count - 1) // 7)
    return [
        trial(
            f"{i // 8}.{i % 8}",
            {"alpha": float(random.uniform(0.01, 3)), "lr": float(random.uniform(0.01, 0.08))},
            0.7 if i == last else float(random.uniform(0.3, 0.68)),
            6 if i % 7 == 0 else int(random.integers(1, 6)),
            best=i == last,
        )
        for i in range(count)
    ]


def looked_at(count, racers=10):
    """Most did not race, by generations of 16; the last of those that did is the winner."""
    random = np.random.default_rng(count)
    apart = count // racers
    trials = []
    for i in range(count):
        name, values = f"{i // 16}.{i % 16}", {"alpha": float(random.uniform(0.01, 3)), "lr": 0.01 + i / 10_000}
        raced, score = i % apart == apart - 1, float(random.uniform(0.3, 0.75))
        if raced:
            best = i == apart * racers - 1
            trials.append(
                trial(name, values, 0.7 if best else score - 0.1, 6 if best else 1 + i // apart % 6, best=best)
            )
        else:
            trials.append(Scored(values, score, Estimate(score - 0.7, 0.1, 1), name, seconds=0.1, looks=1 + i % 3))
    return trials


def one():
    return [trial("0.0", {"alpha": 1.0, "lr": 0.01}, 0.7, 6, best=True)]


def of_one_episode():
    """Nothing has an interval."""
    inf = float("inf")
    told = [(0.5, Estimate(-0.2, inf, 1)), (0.7, Estimate(0.0, 0.0, 1))]
    return [Scored({"lr": 0.01}, score, to_best, "", (Estimate(score, inf, 1),)) for score, to_best in told]


def solvers():
    """A choice and a truth, whose names are odd; one has hyper-parameters that others do not."""
    settings = [{"name": ODD, "deep": True}, {"name": "ridge", "deep": False}, {"name": "lora", "lr": 0.1, "rank": 4}]
    return [trial(ODD, values, 0.5 + i / 10, 6, best=i == 2) for i, values in enumerate(settings)]


def with_odd_names():
    found = finding(tried=tuple(solvers()), lost=(ODD,))
    odd = compared(ODD, {"alpha": 1.0}, 0.6, Estimate(-0.03, 0.02, 200), p=0.01)
    return replace(found, compared={**found.compared, ODD: odd})


WORSE = Estimate(-0.021, 0.009, 200)


def findings():
    """By what is special about them."""
    again = replace(finding().best, difference=Estimate(0.01, 0.008, 200))
    failed = finding(mean=None, gain=None, tried=tuple(few()))
    shares = {"lr": 0.6, "alpha": 0.4, "lambda": 0.0}
    return {
        "usual": finding(tried=tuple(few()), importances=shares, again=again),
        "nothing tried": finding(),
        "one trial": finding(tried=tuple(one())),
        "one did all": finding(tried=tuple(many(7))),
        "one episode": finding(tried=tuple(of_one_episode()), gain=Estimate(0.5, float("inf"), 1)),
        "no prompts win": finding({"alpha": 0.0, "lr": 0.01}, Estimate(0.0, 0.0, 200), tried=tuple(few())),
        "prompts harm": finding(gain=WORSE, twin=finding(gain=WORSE).best, tried=tuple(few())),
        "no winner": finding(gain=Estimate(0.009, 0.021, 200), tried=tuple(few())),
        "failed": failed,
        "16 trials": finding(tried=tuple(many(16))),
        "200 trials": finding(tried=tuple(many(200))),
        "costs differ": finding(tried=tuple(of_two_costs())),
        "most did not race": finding(tried=tuple(looked_at(300))),
        "odd names": with_odd_names(),
        "calibrated": finding(confidence=CONFIDENCE, mistakes=MISTAKES),
    }


def texts(figure):
    """What is to be read in a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
