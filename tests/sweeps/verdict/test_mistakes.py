import numpy as np
import pytest

from sweeps.statistics.estimates import estimate
from sweeps.verdict.mistakes import TOLD, Mistake, OfClass, Pair, mistakes_of

NAMES = ["ant", "bee", "cat", "dog"]
# Three episodes of two classes, two queries of each: held to be of the class with the first or the second label.
DRAWN = np.array([[0, 1], [1, 0], [2, 1]])
HELD = np.array([[0, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1]])
SURE = np.array([[0.9, 0.6, 0.9, 0.9], [0.7, 0.9, 0.9, 0.8], [0.9, 0.9, 0.9, 0.9]])


def probabilities():
    second = np.where(HELD == 1, SURE, 1 - SURE)
    return np.stack([1 - second, second], -1)


def test_pairs_and_the_surest_by_hand():
    found = mistakes_of(NAMES, (4, 7, 9), DRAWN, probabilities())
    assert found.pairs == (Pair("ant", "bee", 2, 4), Pair("bee", "ant", 1, 4))
    assert [(one.episode, one.query, one.true, one.held) for one in found.surest] == [
        (7, 1, "ant", "bee"),
        (7, 0, "bee", "ant"),
        (4, 1, "ant", "bee"),
    ]
    assert [one.probability for one in found.surest] == pytest.approx([0.8, 0.7, 0.6])
    assert isinstance(found.surest[0], Mistake)


def test_classes_that_were_in_some_episodes_are_told():
    """Three times the same: the bee was in nine episodes, the ant in six, the cat in three."""
    found = mistakes_of(NAMES, range(9), np.tile(DRAWN, (3, 1)), np.tile(probabilities(), (3, 1, 1)))
    assert found.classes == (OfClass("bee", estimate([1.0, 0.5, 1.0] * 3, 0.5)),)
    assert mistakes_of(NAMES, (4, 7, 9), DRAWN, probabilities()).classes == ()


def test_no_more_than_some_are_told_the_worst_first():
    random = np.random.default_rng(0)
    drawn = np.stack([random.choice(40, 5, replace=False) for _ in range(200)])
    chances = random.dirichlet(np.ones(5), (200, 15))
    found = mistakes_of([f"class {i}" for i in range(40)], range(200), drawn, chances)
    assert len(found.pairs) == len(found.classes) == len(found.surest) == TOLD
    for worst in ([-one.mistaken for one in found.pairs], [one.right.mean for one in found.classes]):
        assert worst == sorted(worst)
    own = [
        (chances[i, 3 * j : 3 * j + 3].argmax(-1) == j).mean()
        for i, j in np.argwhere(drawn == int(found.classes[0].name.split()[1]))
    ]
    assert found.classes[0].right.mean == pytest.approx(np.mean(own))


def test_without_a_mistake_there_is_none():
    right = np.tile(np.eye(2).repeat(2, 0), (3, 1, 1))
    found = mistakes_of(NAMES, (0, 1, 2), DRAWN, right)
    assert (found.pairs, found.surest) == ((), ())
