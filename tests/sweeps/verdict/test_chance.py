"""How often the last word is wrong by chance, on accuracies whose truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.config import plain_run, with_hyper_parameters
from sweeps.statistics.estimates import estimate
from sweeps.statistics.rows import LOCALISATION
from sweeps.verdict.comparing import Drawn, compare_all
from sweeps.verdict.extent import episodes_for
from sweeps.verdict.finding import BASELINE
from tests.sweeps.findings import SWEEP, WON


def skewed(rng, count):
    """A gain of half a point that comes from 40 points in 2 % of episodes: mean 0.005."""
    return np.where(rng.random(count) < 0.02, 0.4, -0.003 / 0.98) + rng.normal(0, 0.02, count)


def even(rng, count):
    return rng.normal(0.005, 0.06, count)


@pytest.mark.parametrize("kind", [even, skewed])
def test_intervals_of_a_width_that_was_asked_for_cover_as_often_as_they_say(kind):
    """The number of episodes comes from the spread on a hundred others, and is fixed before the first."""
    rng, covered, widths, numbers = np.random.default_rng(0), [], [], []
    asked = SWEEP.final.model_copy(update={"precision": 0.5, "most": 5000, "episodes": 300})
    for _ in range(1500):
        count = episodes_for(estimate(kind(rng, 100)), asked)
        judged_on = estimate(kind(rng, count))
        covered.append(abs(judged_on.mean - 0.005) <= judged_on.ci95)
        widths.append(100 * judged_on.ci95)
        numbers.append(count)
    assert 0.935 <= np.mean(covered) <= 0.97
    assert 300 < np.median(numbers) < 1500
    if kind is even:
        assert 0.75 <= np.mean(np.array(widths) <= 0.5) <= 0.9


def test_one_episode_tells_nothing_of_how_many_it_takes():
    asked = SWEEP.final.model_copy(update={"precision": 1.0, "most": 50})
    assert episodes_for(estimate([0.5]), asked) == 50


def test_a_number_of_episodes_by_hand():
    # A spread of 0.1 on 101 others: its upper limit (80 %) is 0.1 sqrt(100 / chi2(0.2, 100)) = 0.1 * 1.0711.
    others = estimate(np.concatenate([[0.0], np.full(50, 0.1), np.full(50, -0.1)]) * (100 / 100) ** 0.5)
    asked = SWEEP.final.model_copy(update={"precision": 1.0, "most": 5000})
    upper = 0.1 * (100 / stats.chi2.ppf(0.2, 100)) ** 0.5
    assert episodes_for(others, asked) == math.ceil((1.96 * 100 * upper / 1.0) ** 2)
    assert episodes_for(others, asked.model_copy(update={"most": 200})) == 200
    assert episodes_for(others, asked.model_copy(update={"episodes": 900})) == 900


@pytest.mark.parametrize("gap", [0.0, 0.004])
def test_noise_has_no_winner(gap):
    """Settings that are all alike, the best by chance against one of the others, on fresh episodes: few are told."""
    rng, told = np.random.default_rng(2), 0
    others = {BASELINE: {"alpha": 0.0, "lr": 0.01}, "paper defaults": SWEEP.search.first["paper defaults"]}
    settings = {"best": WON, **others}
    runs = {name: with_hyper_parameters(plain_run(SWEEP), values) for name, values in settings.items()}
    located = dict.fromkeys(LOCALISATION)
    drawn = Drawn(np.arange(200).reshape(100, 2), *np.zeros((2, 100, 2, 1), int))
    for _ in range(400):
        scores = rng.normal(0.6, 0.05, 100) + rng.normal(0, 0.02, (3, 100)) + gap * np.array([[1], [0], [0]])
        rows = [
            [
                {"accuracy": score, "failed": False, "seconds": 1.0, "queries": 100, "class_hits": [50, 50], **located}
                for score in own
            ]
            for own in scores.tolist()
        ]
        best = compare_all(runs, list("abc"), rows, drawn, BASELINE)["best"]
        told += best.p_holm < 0.05
    assert told <= 0.07 * 400 if gap == 0 else told > 0.1 * 400
