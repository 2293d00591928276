from itertools import pairwise

import pytest

from pipeline.dispatch.cutting import cut, parts

NAMES = [f"{i:02d}" for i in range(20)]


def orders(episodes, configurations, shard, parallel):
    pieces, part_of = cut(range(episodes), NAMES[:configurations], shard, parallel)
    return [(piece.episodes, part) for piece in pieces for part in parts(NAMES[:configurations], part_of, 0)]


@pytest.mark.parametrize(
    ("episodes", "configurations", "shard", "parallel", "expected"),
    [
        (10, 3, 4, 1, 3),
        (10, 3, 4, 5, 5),  # of shards of 4, 4 and 2 episodes two pieces each are 6, one fewer would be 3
        (1, 16, 8, 5, 5),
        (1, 20, 8, 16, 16),
        (9, 1, 8, 4, 4),
        (2, 16, 8, 2, 2),
        (3, 2, 8, 100, 6),
        (0, 3, 8, 4, 0),
    ],
)
def test_there_are_as_many_orders_as_are_planned_for_or_one_for_each_problem(
    episodes, configurations, shard, parallel, expected
):
    made = orders(episodes, configurations, shard, parallel)
    assert len(made) >= expected
    assert sorted((episode, name) for own, part in made for episode in own for name in part) == [
        (episode, name) for episode in range(episodes) for name in NAMES[:configurations]
    ]
    if made:
        sizes = sorted({len(part) for _, part in made})
        assert all(after - before == 1 for before, after in pairwise(sizes))  # as even as can be


def test_what_lacks_does_not_change_who_goes_with_whom():
    _, part_of = cut([0], NAMES[:6], 8, 3)
    assert list(parts(NAMES[:6], part_of, 0)) == [["00", "01"], ["02", "03"], ["04", "05"]]
    assert list(parts(["00", "03", "04"], part_of, 0)) == [["00"], ["03"], ["04"]]


def test_an_order_holds_no_more_than_it_may():
    _, part_of = cut([0], NAMES[:5], 8, 1)
    assert list(parts(NAMES[:5], part_of, 2)) == [["00", "01"], ["02", "03"], ["04"]]
