from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from sweeps.statistics.estimates import Estimate, estimate, holm, paired_difference, paired_p_value


@pytest.mark.parametrize("count", [2, 3, 30, 1000])
def test_an_estimate_is_students(count):
    values = np.random.default_rng(count).random(count)
    found = estimate(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.mean - found.ci95 == pytest.approx(low)
    assert found.mean + found.ci95 == pytest.approx(high)
    assert found.episodes == count


def test_an_estimate_by_hand():
    # mean 2, standard deviation 1, t(0.975, 2) = 4.3027 from a table
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.episodes) == (2.0, 3)
    assert found.ci95 == pytest.approx(4.3027 / 3**0.5, abs=1e-4)


def test_equal_values_have_no_interval_and_a_single_one_has_none_to_speak_of():
    assert estimate([0.5] * 4) == Estimate(0.5, 0.0, 4)
    assert estimate([0.5]) == Estimate(0.5, float("inf"), 1)


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="episodes must be at least 1 but got 0"):
        estimate([])


@pytest.mark.parametrize("count", [2, 25, 600])
def test_a_paired_difference_is_that_of_the_paired_t_test(count):
    random = np.random.default_rng(count)
    theirs = random.random(count)
    ours = theirs + random.normal(0.01, 0.02, count)
    found = paired_difference(ours.tolist(), theirs.tolist())
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found.mean == pytest.approx(ours.mean() - theirs.mean())
    assert (found.mean - found.ci95, found.mean + found.ci95) == pytest.approx((low, high))


def test_pairing_takes_out_what_both_sides_share():
    easy = np.random.default_rng(0).random(50)
    found = paired_difference((easy + 0.125).tolist(), easy.tolist())
    assert found.mean == pytest.approx(0.125)
    assert found.ci95 == pytest.approx(0, abs=1e-12)


def test_pairs_need_both_sides():
    with pytest.raises(ValueError, match="as many on both sides but are 2 and 3"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_an_estimate_reads_in_per_cent():
    assert str(Estimate(0.70372, 0.02171, 600)) == "70.4 ± 2.2"


@pytest.mark.parametrize("count", [2, 25, 600])
def test_a_paired_p_value_is_that_of_the_paired_t_test(count):
    random = np.random.default_rng(count)
    theirs = random.random(count)
    ours = theirs + random.normal(0.01, 0.05, count)
    assert paired_p_value(ours.tolist(), theirs.tolist()) == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert paired_p_value(ours, theirs) == pytest.approx(paired_p_value(theirs, ours))


def test_equal_differences_are_certain_and_equal_results_tell_nothing():
    assert paired_p_value([0.5, 0.75, 1.0], [0.25, 0.5, 0.75]) == 0
    assert paired_p_value([0.5, 0.75], [0.5, 0.75]) == 1
    assert paired_p_value([0.5, 0.75], [0.75, 0.5]) == 1


@pytest.mark.parametrize(("ours", "theirs", "counts"), [([0.5], [0.25], "1 and 1"), ([0.5, 0.5], [0.5], "2 and 1")])
def test_a_p_value_needs_two_pairs(ours, theirs, counts):
    with pytest.raises(ValueError, match=f"as many on both sides and at least 2 but are {counts}"):
        paired_p_value(ours, theirs)


def test_holm_by_hand():
    # In order 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1: the last is 0.04, but no less than the one before, 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9, 0.01]) == pytest.approx([1.0, 1.0, 0.03])
    assert holm([]) == []
    assert holm([0.2]) == [0.2]


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_bonferronis_test_closed(seed):
    """A hypothesis falls where each set of hypotheses that holds it falls by Bonferroni's test of its smallest p."""
    random = np.random.default_rng(seed)
    p_values = (random.random(6) ** 3).round(1 if seed % 2 else 6).tolist()  # every other with ties
    sets = [chosen for size in range(1, 7) for chosen in combinations(range(6), size)]
    bonferroni = {chosen: min(1.0, len(chosen) * min(p_values[i] for i in chosen)) for chosen in sets}
    expected = [max(p for chosen, p in bonferroni.items() if i in chosen) for i in range(6)]
    assert holm(p_values) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_holm_keeps_order_and_follows_its_input(seed):
    random = np.random.default_rng(seed)
    p_values, order = random.random(30) ** 4, random.permutation(30)
    adjusted = np.array(holm(p_values.tolist()))
    assert np.all((p_values <= adjusted) & (adjusted <= np.minimum(1, 30 * p_values)))
    assert np.all(np.diff(adjusted[np.argsort(p_values)]) >= 0)
    assert holm(p_values[order].tolist()) == pytest.approx(adjusted[order])


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_holm_takes_p_values_alone(p):
    with pytest.raises(ValueError, match=f"p-values must be between 0 and 1 but got {p}"):
        holm([0.5, p])


@pytest.mark.parametrize("episodes", [16, 64, 300])
def test_intervals_cover_the_truth_as_often_as_they_say(episodes):
    """Of accuracies in steps of a hundredth, as 20-way episodes with 5 queries give them: 93 to 97 % of intervals."""
    rng, sweeps = np.random.default_rng(episodes), 2000
    difficulty = rng.beta(20, 10, (sweeps, episodes))
    ours, theirs = (rng.binomial(100, np.clip(difficulty + gain, 0, 1)) / 100 for gain in (0.02, 0.0))
    truth = {"mean": 20 / 30, "difference": float(np.mean(np.clip(rng.beta(20, 10, 10**6) + 0.02, 0, 1))) - 20 / 30}
    means = [estimate(own) for own in theirs]
    differences = [paired_difference(one, other) for one, other in zip(ours, theirs, strict=True)]
    for name, judged in (("mean", means), ("difference", differences)):
        covered = np.mean([abs(one.mean - truth[name]) <= one.ci95 for one in judged])
        assert 0.93 <= covered <= 0.97
    assert np.mean([one.ci95 for one in differences]) < np.mean([one.ci95 for one in means])  # what pairing is for


def test_p_values_of_noise_are_evenly_spread():
    rng = np.random.default_rng(0)
    p_values = np.array([paired_p_value(*rng.normal(0.6, 0.1, (2, 50))) for _ in range(2000)])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
