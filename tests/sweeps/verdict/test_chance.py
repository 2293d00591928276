"""How often the last word is wrong by chance, on accuracies whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from pipeline.config import plain_run, with_hyper_parameters
from sweeps.statistics.estimates import estimate
from sweeps.verdict import judge as final
from sweeps.verdict.finding import BASELINE
from tests.sweeps.findings import SWEEP, WON


def test_intervals_of_a_width_that_was_asked_for_cover_as_often_as_they_say():
    rng, covered, widths = np.random.default_rng(0), [], []
    asked = SWEEP.final.model_copy(update={"precision": 1.0, "most": 5000})
    for _ in range(2000):
        draws = rng.normal(0.02, 0.1, 5000)
        judged_on = estimate(draws[:100])
        while (wanted := final.episodes_for(judged_on, asked)) > judged_on.episodes:
            judged_on = estimate(draws[:wanted])
        covered.append(abs(judged_on.mean - 0.02) <= judged_on.ci95)
        widths.append(100 * judged_on.ci95)
    assert max(widths) <= 1.0
    assert 0.93 <= np.mean(covered) <= 0.97


def test_one_episode_tells_nothing_of_how_many_more_it_takes():
    asked = SWEEP.final.model_copy(update={"precision": 1.0, "most": 50})
    assert final.episodes_for(estimate([0.5]), asked) == 2


def test_the_truly_best_is_among_those_that_may_be_best():
    """Validations of 6 trials whose true means are a point apart, or all the same; at most 5 % miss the best."""
    rng, missed, left = np.random.default_rng(1), [], {True: [], False: []}
    for sweep in range(400):
        apart = sweep % 2 == 0
        truth = np.arange(6)[:, None] * 0.01 * apart
        scores = truth + rng.normal(0.6, 0.1, 200) + rng.normal(0, 0.03, (6, 200))
        winner = int(scores.mean(axis=1).argmax())
        beaten = {
            rival: stats.ttest_rel(scores[winner], scores[rival], alternative="greater").pvalue < 0.05 / 5
            for rival in range(6)
            if rival != winner
        }
        left[apart].append(final.may_be_best(scores[winner], [scores[rival] for rival in beaten]))
        assert left[apart][-1] == 6 - sum(beaten.values())
        missed.append(beaten.get(5, False))
    assert np.mean(missed) <= 0.05
    assert np.mean(left[True]) < 3 < 5 < np.mean(left[False])


@pytest.mark.parametrize("gap", [0.0, 0.004])
def test_noise_has_no_winner(gap):
    """Settings that are all alike, the best by chance against one of the others, on fresh episodes: few are told."""
    rng, told = np.random.default_rng(2), 0
    others = {BASELINE: {"alpha": 0.0, "lr": 0.01}, "paper defaults": SWEEP.search.first["paper defaults"]}
    settings = {"best": WON, **others}
    runs = {name: with_hyper_parameters(plain_run(SWEEP), values) for name, values in settings.items()}
    located = dict.fromkeys(final.LOCALISATION)
    for _ in range(400):
        scores = rng.normal(0.6, 0.05, 100) + rng.normal(0, 0.02, (3, 100)) + gap * np.array([[1], [0], [0]])
        rows = [
            [{"accuracy": score, "failed": False, "seconds": 1.0, **located} for score in own]
            for own in scores.tolist()
        ]
        best = final.compare_all(runs, list("abc"), rows)["best"]
        told += best.p_holm < 0.05
    assert told <= 0.07 * 400 if gap == 0 else told > 0.1 * 400
