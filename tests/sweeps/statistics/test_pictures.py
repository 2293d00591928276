"""Intervals over pictures, against simulated classes whose pictures are easy or hard."""

import numpy as np
import pytest

from sweeps.statistics.estimates import Estimate, estimate
from sweeps.statistics.pictures import over_pictures, picture_p_value

EPISODES, CLASSES, WAY, SHOT, QUERY = 200, 6, 4, 1, 3


def drawn(rng, pictures, effect):
    """Differences that owe something to the pictures shown, of which each class has so many; the truth is 0."""
    classes = np.array([rng.choice(CLASSES, WAY, replace=False) for _ in range(EPISODES)])
    shown = np.array([[rng.permutation(pictures)[: SHOT + QUERY] for _ in range(WAY)] for _ in range(EPISODES)])
    of_support, of_query = rng.normal(0, effect, (2, CLASSES, pictures))
    own = of_support[classes[..., None], shown[..., :SHOT]].mean(-1)
    asked = of_query[classes[..., None], shown[..., SHOT:]].mean(-1)
    values = own + asked + rng.normal(0, 0.1, (EPISODES, WAY))
    return values, classes, (shown[..., :SHOT], shown[..., SHOT:])


@pytest.mark.parametrize(("pictures", "effect"), [(8, 0.1), (12, 0.05), (12, 0.0)])
def test_it_covers_what_other_pictures_would_have(pictures, effect):
    rng, covered = np.random.default_rng(0), {"episodes": 0, "pictures": 0}
    for _ in range(150):
        values, classes, shown = drawn(rng, pictures, effect)
        judged = estimate(values.mean(axis=1))
        wide = over_pictures(values, classes, shown, judged)
        covered["episodes"] += abs(judged.mean) <= judged.ci95
        covered["pictures"] += abs(judged.mean) <= wide.ci95
        assert wide.ci95 >= judged.ci95
        assert (picture_p_value(wide, 0.0) < 0.05) == (abs(judged.mean) > wide.ci95)
    assert covered["pictures"] >= 0.92 * 150
    assert covered["episodes"] < 0.85 * 150 or effect < 0.1


def test_with_as_many_pictures_as_looks_nothing_is_owed():
    values = np.random.default_rng(1).normal(0.02, 0.1, (50, 2))
    classes, shown = np.tile([0, 1], (50, 1)), np.arange(100).reshape(50, 2, 1)
    judged = estimate(values.mean(axis=1))
    assert over_pictures(values, classes, (shown, shown + 100), judged).ci95 == pytest.approx(judged.ci95, rel=0.7)


def test_what_cannot_be_told():
    assert picture_p_value(Estimate(0.0, 0.1, 2), 0.0) == 1.0
    assert picture_p_value(Estimate(0.1, float("inf"), 1), 0.0) == 1.0
    with pytest.raises(ValueError, match="values must have a class each"):
        over_pictures(np.zeros((2, 2)), np.zeros((3, 2), int), (np.zeros((3, 2, 1), int),) * 2, Estimate(0.0, 0.1, 2))
