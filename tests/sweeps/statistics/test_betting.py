"""Limits that hold whatever the distribution, checked by hand and against the truth."""

import numpy as np
import pytest

from sweeps.statistics.betting import bounds, log_capital


def test_a_capital_by_hand():
    # Stakes 1, 1/2 ... 1/32 of 32/63, 16/63 ...: after +0.5 and -0.2 each has (1 + 0.5 s) (1 - 0.2 s).
    expected = sum(2.0**-k * 32 / 63 * (1 + 0.5 * 2.0**-k) * (1 - 0.2 * 2.0**-k) for k in range(6))
    assert np.exp(log_capital(np.array([0.5, -0.2]))) == pytest.approx(expected)
    assert np.exp(log_capital(np.array([-0.2, 0.5]))) == pytest.approx(expected)


def test_a_total_loss_leaves_what_was_not_staked():
    assert np.exp(log_capital(np.array([-1.0]))) == pytest.approx(1 - sum(4.0**-k * 32 / 63 for k in range(6)))


def test_a_fair_game_gains_nothing_on_average():
    rng = np.random.default_rng(0)
    fair = np.where(rng.random((20000, 10)) < 0.25, 0.6, -0.2)  # mean 0
    assert np.exp(log_capital(fair)).mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("chance", [0.02, 0.5])
def test_limits_hold_whatever_the_distribution(chance):
    rng, outside = np.random.default_rng(1), 0
    for _ in range(300):
        low, high = bounds(np.where(rng.random(100) < chance, 0.5, -0.01).tolist())
        truth = 0.5 * chance - 0.01 * (1 - chance)
        outside += not low <= truth <= high
    assert outside <= 0.05 * 300


def test_limits_close_in_on_the_mean():
    rng = np.random.default_rng(2)
    widths = [np.subtract(*bounds(rng.normal(0.02, 0.05, count).tolist())[::-1]) for count in (0, 1, 100, 10000)]
    assert widths[0] == 2.0
    assert widths == sorted(widths, reverse=True)
    low, high = bounds(rng.normal(0.02, 0.05, 10000).tolist())
    assert 0.0 < low < 0.02 < high < 0.04


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"^values must be at least -1 but got -2$"):
        log_capital(np.array([-2.0]))
    with pytest.raises(ValueError, match=r"^claimed must be above -1 but got -1$"):
        log_capital(np.array([0.0]), -1.0)
    with pytest.raises(ValueError, match=r"^level must be between 0 and 1 but got 1$"):
        bounds([0.0], 1.0)
