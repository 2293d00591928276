"""What is promised holds in simulation, and each number has another road to it."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from sweeps.statistics.promises import highest_risk, log_loss, lowest_kept, share_of, temperature_of


def drawn_scores(random, queries, way, temperature):
    """Scores whose softmax, divided by `temperature`, is how labels are drawn."""
    scores = random.normal(0, 2, (queries, way))
    chances = softmax(scores / temperature, 1)
    labels = (random.random((queries, 1)) > chances.cumsum(1)).sum(1).clip(max=way - 1)
    return scores, labels


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_the_temperature_that_labels_were_drawn_by_is_found(temperature):
    scores, labels = drawn_scores(np.random.default_rng(1), 20_000, 5, temperature)
    assert temperature_of(scores, labels) == pytest.approx(temperature, rel=0.05)
    found = temperature_of(scores, labels)
    grid = np.geomspace(found / 1.5, found * 1.5, 61)
    losses = [log_loss(scores / one, labels).mean() for one in grid]
    assert grid[int(np.argmin(losses))] == pytest.approx(found, rel=0.02)


def test_log_loss_is_that_of_the_true_class():
    scores, labels = drawn_scores(np.random.default_rng(2), 30, 4, 1.0)
    expected = [-log_softmax(own)[label] for own, label in zip(scores, labels, strict=True)]
    np.testing.assert_allclose(log_loss(scores, labels), expected)
    np.testing.assert_allclose(log_loss(scores.reshape(5, 6, 4), labels.reshape(5, 6)).ravel(), expected)


def test_a_conformal_limit_is_the_quantile_of_as_many_episodes_and_one():
    values = np.arange(40.0).reshape(4, 10)
    limit = lowest_kept(values, 0.7)  # 35 of 50 values, those of the fifth episode all missed: 35 of 40
    assert limit == 5.0
    assert (values >= limit).sum() == 35
    assert lowest_kept(values, 0.9) == 0.0  # four episodes cannot tell
    assert lowest_kept(values[:, :1], 0.8) == 0.0


def test_a_conformal_limit_is_reached_as_often_as_promised_though_queries_depend_on_each_other():
    """Of 400 draws of 30 episodes and one more, whose queries share a shift that is larger than what is their own."""
    random = np.random.default_rng(3)
    shared = random.normal(0, 2, (400, 31, 1))
    values = np.exp(shared + random.normal(0, 1, (400, 31, 20)))
    reached = [(own[30] >= lowest_kept(own[:30], 0.9)).mean() for own in values]
    assert np.mean(reached) >= 0.9 - 2 * np.std(reached) / 20
    assert np.mean(reached) <= 0.9 + 1 / 31 + 2 * np.std(reached) / 20


def simulated(random, episodes=60, way=5, queries=10, wrong=0.1, classes=40):
    """Answers, of which a share is wrong that differs with the class and the episode."""
    drawn = np.stack([random.choice(classes, way, replace=False) for _ in range(episodes)])
    of_class = random.gamma(2.0, wrong / 2, classes)[drawn]
    chance = np.clip(of_class * random.gamma(4.0, 0.25, (episodes, 1)), 0, 1).repeat(queries, 1)
    answered = random.random(chance.shape) < 0.6
    return answered, random.random(chance.shape) < chance, drawn


def test_the_highest_risk_is_seldom_below_the_true_one():
    """Of 300 draws; the true share is that of a hundred thousand episodes of a hundred thousand classes."""
    random = np.random.default_rng(4)
    answered, wrong, _ = simulated(random, episodes=100_000, classes=100_000, queries=1)
    true = (answered & wrong).sum() / answered.sum()
    limits = np.array([highest_risk(*simulated(random)) for _ in range(300)])
    below = (limits < true).mean()
    assert below <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
    assert np.median(limits) < 2 * true  # and it says something


def test_answers_that_were_all_right_are_not_certain():
    right = np.zeros((30, 20), bool)
    drawn = np.tile(np.arange(4), (30, 1))
    assert 3 / 600 < highest_risk(~right, right, drawn) < 3 * 3 / 600  # the rule of three: 3 of so many answers
    assert highest_risk(right, right, drawn) == 1.0  # nothing was answered
    few = right.copy()
    few[:, 0] = True
    assert highest_risk(few, right, drawn) > 10 * highest_risk(~right, right, drawn)


def test_a_share_is_that_of_the_sums_with_the_interval_of_a_ratio():
    random = np.random.default_rng(5)
    wholes = random.integers(1, 20, 200)
    parts = random.binomial(wholes, 0.2)
    found = share_of(parts.tolist(), wholes.tolist(), 0.0)
    assert found.mean == pytest.approx(parts.sum() / wholes.sum())
    chosen = random.integers(0, 200, (4000, 200))
    spread = (parts[chosen].sum(1) / wholes[chosen].sum(1)).std()  # bootstrap
    assert found.ci95 == pytest.approx(1.97 * spread, rel=0.1)
    assert share_of([0, 0], [0, 0], 0.1).ci95 == np.inf
