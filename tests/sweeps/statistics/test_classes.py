"""Intervals over classes, against simulated populations of classes."""

import numpy as np
import pytest
from scipy import stats

from sweeps.statistics.classes import class_p_value, over_classes
from sweeps.statistics.estimates import Estimate, estimate, paired_p_value

ONE_EACH = np.array([[0, 1], [2, 3]])


def test_with_one_look_at_each_class_it_is_students_over_classes():
    values = np.array([[0.1, 0.5], [0.2, 0.4]])  # equal means: episodes share nothing
    found = over_classes(values, ONE_EACH, Estimate(0.3, 0.01, 2))
    error = values.ravel().std(ddof=1) / 2
    assert found.mean == 0.3
    assert found.ci95 == pytest.approx(stats.t.ppf(0.975, 3) * error)
    assert class_p_value(values, ONE_EACH, 0.0) == pytest.approx(2 * stats.t.sf(0.3 / error, 3))


def test_it_is_never_surer_than_over_episodes():
    values = np.full((2, 2), 0.3)
    assert over_classes(values, ONE_EACH, Estimate(0.3, 0.05, 2)).ci95 == 0.05
    assert class_p_value(values, ONE_EACH, 0.2) == 0.2


def test_a_single_class_tells_nothing_of_others():
    drawn = np.zeros((3, 1), int)
    assert over_classes(np.array([[0.1], [0.2], [0.3]]), drawn, Estimate(0.2, 0.1, 3)).ci95 == float("inf")
    assert class_p_value(np.array([[0.1], [0.2], [0.3]]), drawn, 0.01) == 1.0


def test_shapes_must_be_the_same():
    with pytest.raises(ValueError, match="values must have a class each"):
        over_classes(np.zeros((2, 2)), np.zeros((3, 2), int), Estimate(0.0, 0.0, 2))


@pytest.mark.parametrize(("classes", "way", "query"), [(8, 5, 3), (16, 5, 3), (40, 20, 5), (262, 20, 5)])
def test_without_an_effect_in_the_population_few_class_sets_have_one(classes, way, query):
    """Class effects of 4 points: the p over episodes is wrong far too often, that over classes in 5 %."""
    rng, episodes, sets = np.random.default_rng(classes), 300, 200
    wrong = {"episodes": 0, "classes": 0}
    for _ in range(sets):
        effect = rng.normal(0, 0.04, classes)
        drawn = np.array([rng.choice(classes, way, replace=False) for _ in range(episodes)])
        shared = 0.6 + rng.normal(0, 0.1, (episodes, way))
        ours, theirs = (
            rng.binomial(query, np.clip(shared + share * effect[drawn], 0, 1)) / query for share in (0.5, -0.5)
        )
        p = paired_p_value(ours.mean(axis=1), theirs.mean(axis=1), 1 / way / query)
        wrong["episodes"] += p < 0.05
        wrong["classes"] += class_p_value(ours - theirs, drawn, p) < 0.05
    assert wrong["classes"] <= stats.binom.ppf(0.99, sets, 0.06)
    assert wrong["classes"] <= wrong["episodes"]
    assert classes > 100 or wrong["episodes"] > 0.12 * sets


def test_an_effect_that_all_classes_have_is_found():
    rng = np.random.default_rng(0)
    drawn = np.array([rng.choice(16, 5, replace=False) for _ in range(300)])
    differences = 0.03 + rng.normal(0, 0.02, 16)[drawn] + rng.normal(0, 0.2, (300, 5))
    judged = estimate(differences.mean(axis=1))
    wide = over_classes(differences, drawn, judged)
    assert judged.ci95 < wide.ci95 < wide.mean
    assert class_p_value(differences, drawn, 1e-9) < 0.01
