from itertools import combinations

import numpy as np
import pytest
from scipy import optimize, stats

from sweeps.statistics.estimates import Estimate, estimate, holm, paired_difference, paired_p_value


@pytest.mark.parametrize("count", [2, 4, 30, 1000])
def test_an_estimate_of_symmetric_values_is_students(count):
    half = np.random.default_rng(count).random(count // 2)
    values = np.concatenate([0.5 - half, 0.5 + half])
    found = estimate(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.mean - found.ci95 == pytest.approx(low)
    assert found.mean + found.ci95 == pytest.approx(high)
    assert found.episodes == count
    assert found.skewness == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_skewed_values_have_the_farther_end_on_both_sides(seed):
    """The ends solve Hall's equation for half of the skewness, numerically; the half width is the larger distance."""
    values = np.random.default_rng(seed).exponential(0.1, 40)
    spread, count, quantile = values.std(ddof=1), 40, stats.t.ppf(0.975, 39) / 40**0.5
    half = 0.5 * ((values - values.mean()) ** 3).mean() / spread**3

    def hall(t):
        return t + half * t**2 / 3 + half**2 * t**3 / 27 + half / (6 * count)

    ends = [optimize.brentq(lambda t, goal=goal: hall(t) - goal, -5, 5) for goal in (quantile, -quantile)]
    found = estimate(values)
    assert found.ci95 == pytest.approx(spread * max(map(abs, ends)))
    assert found.ci95 > spread * quantile
    assert found.skewness == pytest.approx(2 * half)


def test_an_estimate_by_hand():
    # mean 2, standard deviation 1, t(0.975, 2) = 4.3027 from a table
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.episodes) == (2.0, 3)
    assert found.ci95 == pytest.approx(4.3027 / 3**0.5, abs=1e-4)


def test_equal_values_are_not_certain_where_a_query_could_have_changed_them():
    """Their spread is that of two queries won and two lost in as many episodes more: 2 steps / sqrt(n)."""
    assert estimate([0.5] * 4).ci95 == 0
    assert estimate([0.5] * 4, 0.04).ci95 == pytest.approx(stats.t.ppf(0.975, 3) * 0.04 * 2 / 4)
    # Nothing seen in n = 40 episodes leaves a rate of up to 3.7 / n (97.5 %), 0.6 points in steps of 1/15.
    assert estimate([0.0] * 40, 1 / 15).ci95 > 3.7 / 40 / 15
    assert estimate([0.5]).ci95 == float("inf")


@pytest.mark.parametrize(("p", "skewed"), [(0.5, False), (0.1, False), (0.01, True)])
def test_a_few_episodes_that_decide_the_mean_are_told(p, skewed):
    values = np.where(np.arange(300) < 300 * p, 0.4, 0.0)
    assert estimate(values).skewed == skewed


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
    assert (high - low) / 2 <= found.ci95 * (1 + 1e-9)
    assert found.ci95 == pytest.approx((high - low) / 2, rel=0.1 if count > 2 else 1e-9)


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
def test_a_paired_p_value_is_no_surer_than_the_paired_t_test(count):
    random = np.random.default_rng(count)
    theirs = random.random(count)
    ours = theirs + random.normal(0.01, 0.05, count)
    found, students = paired_p_value(ours.tolist(), theirs.tolist()), stats.ttest_rel(ours, theirs).pvalue
    assert students * (1 - 1e-9) <= found <= 1.5 * students
    assert found == pytest.approx(students) or count > 2
    assert paired_p_value(ours, theirs) == pytest.approx(paired_p_value(theirs, ours))


@pytest.mark.parametrize("seed", range(40))
def test_a_p_value_is_below_five_in_a_hundred_where_the_interval_leaves_out_zero(seed):
    rng = np.random.default_rng(seed)
    skewed = np.where(rng.random(100) < 0.05, 0.4, -0.03) + rng.normal(0.005 * (seed % 5), 0.01, 100)
    for values in (skewed, -skewed):
        judged, p = estimate(values, 0.01), paired_p_value(values, np.zeros(100), 0.01)
        assert (p < 0.05) == (abs(judged.mean) > judged.ci95)


def test_equal_differences_are_not_certain_and_equal_results_tell_nothing():
    assert paired_p_value([0.54, 0.79], [0.5, 0.75], 0.04) == pytest.approx(0.5)
    assert paired_p_value([0.54, 0.79, 1.0], [0.5, 0.75, 0.96], 0.04) > 0.2
    assert paired_p_value([0.54] * 16, [0.5] * 16, 0.04) < 1e-4
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


@pytest.mark.parametrize("episodes", [300, 600])
@pytest.mark.parametrize(
    ("often", "step", "rest", "noise"),
    [(0.03, -0.4, 0.012 / 0.97, 0.01), (0.02, 0.5, -0.01 / 0.98, 0.01), (0.08, -0.2, 0.016 / 0.92, 0.02)],
    ids=["collapse", "gain", "steps"],
)
def test_intervals_cover_rare_large_differences_too(episodes, often, step, rest, noise):
    """A difference of mean 0 that few episodes decide: 94 to 97 % of intervals cover it, of Student's 91 to 94 %."""
    rng = np.random.default_rng(episodes)
    draws = np.where(rng.random((2000, episodes)) < often, step, rest) + rng.normal(0, noise, (2000, episodes))
    judged = [estimate(own, 0.01) for own in draws]
    assert 0.94 <= np.mean([abs(one.mean) <= one.ci95 for one in judged]) <= 0.975


def test_p_values_of_noise_are_evenly_spread():
    rng = np.random.default_rng(0)
    p_values = np.array([paired_p_value(*rng.normal(0.6, 0.1, (2, 50))) for _ in range(2000)])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
