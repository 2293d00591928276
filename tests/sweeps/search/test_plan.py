import re

import pytest

from sweeps.schema.sweep import Search
from sweeps.search.plan import Plan, least_problems, plan_of
from tests.sweeps.search.spaces import FIRST, SPACE


def plan(**fields):
    return plan_of(Search(**{"space": SPACE, **fields}))


def test_a_third_of_the_problems_is_for_the_race_by_hand():
    """8 settings on 62 episodes are 496 of 1500; a third of 502 looks is 167, and 11 generations of 16 hold it."""
    found = plan()
    assert found.rungs == (10, 15, 20, 30, 40, 62)
    assert (found.looks, found.racers, found.problems) == (502, 8, 1500)
    assert found.generations == (176, *[16] * 20, 6)


def test_a_small_plan_by_hand():
    """2 settings on 20 episodes, and 40 looks, of which 13 are a third; rungs at 3.2, 4.8, 6.4, 9.6, 12.8 and 20."""
    assert plan(problems=120, finalists=2) == Plan((16, 16, 8), 2, (3, 5, 6, 10, 13, 20))


@pytest.mark.parametrize("problems", [40, 41, 100, 777, 1501, 5000])
@pytest.mark.parametrize("finalists", [1, 3, 8])
def test_a_plan_takes_its_problems_and_no_more(problems, finalists):
    found = plan(problems=problems, finalists=finalists)
    assert found.problems == 2 * sum(found.generations) + finalists * found.rungs[-1]
    assert problems - 1 <= found.problems <= problems
    race = finalists * found.rungs[-1]
    assert abs(race - problems / 3) <= finalists
    assert list(found.rungs) == sorted(set(found.rungs))


def test_those_that_are_named_race_beside_the_finalists():
    found = plan(problems=120, finalists=2, first=FIRST)
    assert (found.racers, found.rungs[-1], found.looks) == (4, 10, 40)


def test_a_race_is_of_two_episodes_at_least():
    assert plan(problems=16, finalists=4) == Plan((4,), 4, (1, 2))


def test_rungs_that_are_given_leave_the_other_problems_to_looks():
    assert plan(problems=100, finalists=2, rungs=(2, 4)) == Plan((16, 16, 14), 2, (2, 4))


def test_looks_that_are_given_have_a_race_of_half_as_many_problems():
    assert plan(trials=20, finalists=2) == Plan((16, 4), 2, (2, 3, 5, 6, 10))  # 1.6, 2.4, 3.2, 4.8, 6.4, 10
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
    start, *others, last = plan(trials=1000, parallel=parallel).generations
    assert set(others) == {batch}
    assert 0 < last <= batch
    assert start % batch == 0
    assert start - batch < 1000 / 3 <= start


def test_no_look_is_at_an_episode_of_the_race_or_of_another_generation():
    found = plan(trials=50, finalists=2, rungs=(2, 4))
    episodes = [list(found.episodes(generation)) for generation in range(len(found.generations))]
    assert episodes == [[4, 5], [6, 7], [8, 9]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"problems": 31},
            "search.problems must be at least 32 for a race of 8 settings on 2 episodes but is 31; fewer "
            "search.finalists or search.rungs need fewer",
        ),
        (
            {"problems": 100, "finalists": 4, "rungs": (5, 30)},
            "search.problems must be at least 128 for a race of 4 settings on 30 episodes but is 100; ",
        ),
        ({"trials": 7}, "search.trials must be at least 8 for a race of 8 settings on 2 episodes but is 7; "),
    ],
)
def test_a_race_needs_settings_that_were_looked_at(fields, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        plan(**fields)


@pytest.mark.parametrize(
    ("fields", "least"), [({}, 32), ({"finalists": 4, "rungs": (5, 30)}, 128), ({"finalists": 1, "first": FIRST}, 12)]
)
def test_the_fewest_problems_are_enough_and_one_fewer_is_not(fields, least):
    search = Search(space=SPACE, problems=least, **fields)
    assert least_problems(search) == least == plan_of(search).problems
    with pytest.raises(ValueError, match=f"must be at least {least} "):
        plan(problems=least - 1, **fields)


def test_as_few_looks_as_race_are_enough():
    assert plan(trials=8).looks == 8
