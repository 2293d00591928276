import numpy as np
import pytest
from scipy import stats

from sweeps.statistics import Estimate, estimate, paired_difference


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
