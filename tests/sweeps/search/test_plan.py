import re

import pytest

from sweeps.schema.sweep import Search
from sweeps.search.plan import Plan, least_problems, orders_at_a_time, plan_of
from tests.sweeps.search.spaces import FIRST, SPACE


def plan(**fields):
    return plan_of(Search(**{"space": SPACE, **fields}))


def test_a_third_of_the_problems_is_for_the_race_by_hand():
    """8 settings on 62 episodes are 496 of 1500; a third of 502 looks is 167, which 11 generations of 16 hold."""
    found = plan()
    assert found.rungs == (10, 15, 20, 30, 40, 62)
    assert (found.looks, found.racers, found.problems) == (502, 8, 1500)
    assert (found.generations, found.filling) == ((*[16] * 31, 6), 11)


def test_a_small_plan_by_hand():
    """2 settings on 20 episodes, and 80 looks of one, of which 27 are a third. Rungs are 4 episodes apart, on which 2
    workers solve 2 settings in 4 rounds: of 3.2, 4.8, 6.4, 9.6, 12.8 and 20 that leaves 4.8, 9.6 and 20.
    """
    assert plan(problems=120, finalists=2) == Plan((16,) * 5, 2, (5, 10, 20), 1, filling=2)


@pytest.mark.parametrize("problems", [40, 41, 100, 777, 1501, 5000])
@pytest.mark.parametrize("finalists", [1, 3, 8])
def test_a_plan_takes_its_problems_and_no_more(problems, finalists):
    found = plan(problems=problems, finalists=finalists)
    assert found.look == (1 if problems < 1000 else 2)
    assert found.problems == found.look * sum(found.generations) + finalists * found.rungs[-1]
    assert problems - 1 <= found.problems <= problems
    race = finalists * found.rungs[-1]
    assert abs(race - problems / 3) <= finalists
    assert list(found.rungs) == sorted(set(found.rungs))


def test_those_that_are_named_race_beside_the_finalists():
    found = plan(problems=120, finalists=2, first=FIRST)
    assert (found.racers, found.rungs[-1], found.looks) == (4, 10, 80)


def test_a_race_is_of_two_episodes_at_least():
    assert plan(problems=12, finalists=4) == Plan((4,), 4, (2,), 1)


def test_rungs_that_are_given_leave_the_other_problems_to_looks():
    assert plan(problems=100, finalists=2, rungs=(2, 4)) == Plan((16, 16, 16, 16, 16, 12), 2, (2, 4), 1, filling=2)


def test_looks_that_are_given_have_a_race_of_half_as_many_problems():
    assert plan(trials=40, finalists=2) == Plan((16, 16, 8), 2, (5, 10))
    assert plan(trials=20, finalists=2, rungs=(3,)) == Plan((16, 4), 2, (3,))
    assert plan(trials=2, finalists=2, rungs=(3,)) == Plan((2,), 2, (3,))


@pytest.mark.parametrize("more", [1, 16, 40])
def test_more_looks_leave_those_before_as_they_are(more):
    few, many = plan(problems=300), plan(problems=300, more=more)
    kept = len(few.generations)
    assert many.generations[:kept] == few.generations
    assert sum(many.generations[kept:]) == more
    assert max(many.generations[kept:]) <= 16
    assert (many.racers, many.rungs) == (few.racers, few.rungs)


@pytest.mark.parametrize(
    ("parallel", "batch"), [(1, 16), (2, 16), (3, 18), (5, 20), (7, 21), (15, 30), (16, 16), (17, 17), (64, 64)]
)
def test_a_generation_occupies_all_workers(parallel, batch):
    found = plan(trials=1000, parallel=parallel)
    start, (*others, last) = sum(found.generations[: found.filling]), found.generations[found.filling :]
    assert set(others) == {batch}
    assert 0 < last <= batch
    assert start % batch == 0
    assert start - batch < 1000 / 3 <= start


def test_no_look_is_at_an_episode_of_the_race_or_of_another_generation():
    found = plan(trials=50, finalists=2, rungs=(2, 4))
    episodes = [list(found.episodes(generation)) for generation in range(len(found.generations))]
    assert episodes == [[4], [5], [6], [7]]
    assert [list(plan().episodes(i)) for i in range(2)] == [[62, 63], [64, 65]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"problems": 23},
            "search.problems must be at least 24 for a race of 8 settings on 2 episodes but is 23; fewer "
            "search.finalists or search.rungs need fewer",
        ),
        (
            {"problems": 100, "finalists": 4, "rungs": (5, 30)},
            "search.problems must be at least 124 for a race of 4 settings on 30 episodes but is 100; ",
        ),
        ({"trials": 7}, "search.trials must be at least 8 for a race of 8 settings on 2 episodes but is 7; "),
    ],
)
def test_a_race_needs_settings_that_were_looked_at(fields, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        plan(**fields)


@pytest.mark.parametrize(
    ("fields", "least"), [({}, 24), ({"finalists": 4, "rungs": (5, 30)}, 124), ({"finalists": 1, "first": FIRST}, 9)]
)
def test_the_fewest_problems_are_enough_and_one_fewer_is_not(fields, least):
    search = Search(space=SPACE, problems=least, **fields)
    assert least_problems(search) == least == plan_of(search).problems
    with pytest.raises(ValueError, match=f"must be at least {least} "):
        plan(problems=least - 1, **fields)


def test_as_few_looks_as_race_are_enough():
    assert plan(trials=8).looks == 8


def test_rungs_are_as_far_apart_as_many_workers_need():
    """64 workers solve 8 settings on 64 episodes in 8 rounds."""
    assert plan(parallel=64, problems=1500).rungs == (62,)
    assert plan(parallel=64, problems=5000).rungs == (67, 133, 208)
    assert plan(parallel=64, rungs=(1, 2, 62)).rungs == (1, 2, 62)


@pytest.mark.parametrize(("parallel", "problems"), [(1, 1500), (37, 1500), (64, 2560), (100, 4000)])
def test_many_workers_have_more_problems_unless_told_how_many(parallel, problems):
    assert problems - 1 <= plan(parallel=parallel).problems <= problems
    assert 299 <= plan(parallel=parallel, problems=300, finalists=2).problems <= 300


@pytest.mark.parametrize(("parallel", "orders"), [(1, 1), (2, 2), (4, 4), (5, 20), (64, 256)])
def test_many_workers_have_smaller_orders(parallel, orders):
    assert orders_at_a_time(Search(space=SPACE, parallel=parallel)) == orders


def test_a_generation_follows_from_all_but_the_one_before():
    found = plan()
    assert found.filling == 11
    assert [found.follows_from(generation) for generation in range(10, 15)] == [0, 10, 11, 12, 13]


def test_the_second_follows_from_the_first_where_that_fills_the_space_alone():
    found = plan(trials=40, finalists=2)
    assert found.filling == 1
    assert [found.follows_from(generation) for generation in range(3)] == [0, 1, 1]


def test_the_space_is_filled_in_generations_that_follow_from_none():
    """A third of 500 looks is three generations of 64."""
    found = plan(parallel=64, trials=500)
    assert (found.generations[:3], found.filling) == ((64, 64, 64), 3)
    assert [found.follows_from(generation) for generation in range(6)] == [0, 0, 0, 2, 3, 4]
