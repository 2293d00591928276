import numpy as np
import pytest

from fpt.figures.coverage import smallest_cover


def by_hand(attention, share):
    """Patches from the largest down, until their sum is enough."""
    chosen, held = set(), 0.0
    for patch in sorted(range(len(attention)), key=lambda patch: -attention[patch]):
        if held >= share * sum(attention) - 1e-9:
            break
        chosen.add(patch)
        held += attention[patch]
    return chosen


@pytest.mark.parametrize("share", [0.3, 0.5, 0.95, 0.99])
def test_the_largest_patches_until_they_are_enough(share):
    attention = np.random.default_rng(0).dirichlet(np.full(64, 0.2), 20)
    cover = smallest_cover(attention, share)
    assert [set(np.flatnonzero(row)) for row in cover] == [by_hand(row.tolist(), share) for row in attention]


def test_no_smaller_set_holds_as_much():
    attention = np.random.default_rng(1).dirichlet(np.ones(10), 5)
    sets = np.array([[number >> patch & 1 for patch in range(10)] for number in range(2**10)], bool)
    for row, cover in zip(attention, smallest_cover(attention), strict=True):
        fewest = sets.sum(1)[sets @ row >= 0.95].min()
        assert (cover.sum(), row[cover].sum() >= 0.95) == (fewest, True)


def test_rounding_adds_no_patch_and_ties_go_to_the_first():
    equal = np.full((1, 20), 1 / 20, np.float32)  # 19 of them are 95 %
    assert np.flatnonzero(~smallest_cover(equal)[0]).tolist() == [19]
    assert smallest_cover(np.array([[0.0, 1.0, 0.0]])).tolist() == [[False, True, False]]


def test_attention_that_is_not_finite_has_no_cover():
    cover = smallest_cover(np.array([[np.nan, 0.5], [0.02, 0.98]]))
    assert cover.tolist() == [[False, False], [False, True]]
