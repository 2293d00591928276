import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sweeps.statistics.reliability import BINS, bins_of, calibration_error, told_apart


def drawn(seed=0, episodes=40, queries=25, shift=0.1):
    random = np.random.default_rng(seed)
    highest = random.beta(4, 2, (episodes, queries))
    return highest, random.random(highest.shape) < highest - shift


def by_hand(highest, right):
    error = 0.0
    for low in range(BINS):
        inside = (highest >= low / BINS) & ((highest < (low + 1) / BINS) | (low == BINS - 1))
        if inside.any():
            error += inside.mean() * abs(highest[inside].mean() - right[inside].mean())
    return error


def test_calibration_error_is_that_of_its_bins():
    highest, right = drawn()
    highest[0, :2] = 0.0, 1.0
    found = calibration_error(highest, right)
    assert found.mean == pytest.approx(by_hand(highest, right))
    assert found.episodes == 40


def test_its_interval_is_that_of_other_episodes():
    """Drawn anew 200 times, errors spread as the jackknife says, where they are far from 0."""
    found = [calibration_error(*drawn(seed, shift=0.3)) for seed in range(200)]
    spread = np.std([one.mean for one in found])
    assert np.mean([one.ci95 for one in found]) == pytest.approx(2.02 * spread, rel=0.15)


def test_one_episode_has_no_interval():
    assert calibration_error(*(part[:1] for part in drawn())).ci95 == np.inf


def test_bins_are_those_that_have_queries():
    highest, right = drawn()
    bins = bins_of(highest, right)
    assert sum(one.share for one in bins) == pytest.approx(1)
    assert sum(one.share * one.probability for one in bins) == pytest.approx(highest.mean())
    assert sum(one.share * one.right for one in bins) == pytest.approx(right.mean())
    assert sum(one.share * abs(one.probability - one.right) for one in bins) == pytest.approx(
        calibration_error(highest, right).mean
    )


def test_told_apart_is_the_area_under_the_curve_of_each_episode():
    random = np.random.default_rng(1)
    known, unknown = random.integers(0, 9, (20, 12)).astype(float), random.integers(0, 7, (20, 5)).astype(float)
    areas = [
        roc_auc_score([1] * 12 + [0] * 5, np.concatenate([ours, theirs]))
        for ours, theirs in zip(known, unknown, strict=True)
    ]
    found = told_apart(known, unknown)
    assert found.mean == pytest.approx(np.mean(areas))
    assert found.ci95 >= 2.09 * np.std(areas, ddof=1) / 20**0.5
