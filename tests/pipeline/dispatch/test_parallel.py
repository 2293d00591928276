"""How many orders a question becomes, so that all workers that were planned for have something to do."""

import asyncio

import pytest

from pipeline.config import with_hyper_parameters
from pipeline.orders import Context
from tests.pipeline.dispatch.staff import FOUND, accuracy_of

CONTEXT = Context(FOUND)


def solved(dispatcher, runs, episodes):
    """Returns the rows of a question that takes seconds at most."""

    async def scenario():
        try:
            return await asyncio.wait_for(dispatcher.solve(CONTEXT, runs, episodes), 10.0)
        finally:
            await dispatcher.close()

    return asyncio.run(scenario())


def with_alphas(run, count):
    return [with_hyper_parameters(run, {"alpha": alpha}) for alpha in range(1, count + 1)]


@pytest.mark.parametrize(
    ("parallel", "episodes", "configurations", "orders"),
    [
        # (episodes, how many configurations); a shard has four episodes.
        (1, 8, 3, [((0, 1, 2, 3), 3), ((4, 5, 6, 7), 3)]),
        (2, 8, 3, [((0, 1, 2, 3), 3), ((4, 5, 6, 7), 3)]),
        (3, 8, 3, [((0, 2), 3), ((1, 3), 3), ((4, 6), 3), ((5, 7), 3)]),  # episodes are cut first
        (4, 4, 3, [((0,), 3), ((1,), 3), ((2,), 3), ((3,), 3)]),
        (6, 4, 3, [((0,), 1), ((0,), 2), ((1,), 1), ((1,), 2), ((2,), 1), ((2,), 2), ((3,), 1), ((3,), 2)]),
        (4, 1, 16, [((0,), 4)] * 4),  # looks of a generation: one episode
        (16, 1, 3, [((0,), 1)] * 3),  # there are no more problems
    ],
)
def test_a_question_makes_as_many_orders_as_are_to_be_solved_at_a_time(
    made, run, parallel, episodes, configurations, orders
):
    runs = with_alphas(run, configurations)
    dispatcher, staff = made(parallel=parallel)
    rows = solved(dispatcher, runs, range(episodes))
    assert sorted((order.episodes, len(order.configurations)) for order in staff.orders) == orders
    assert [[row["accuracy"] for row in own] for own in rows] == [
        [accuracy_of(one, i) for i in range(episodes)] for one in runs
    ]


@pytest.mark.parametrize("parallel", [1, 3, 8])
def test_the_orders_follow_from_the_question_and_not_from_the_workers(made, run, parallel):
    names = []
    for workers in (1, 5):
        dispatcher, staff = made(workers=workers, parallel=parallel)
        solved(dispatcher, with_alphas(run, 4), range(4))
        names.append({order.name for order in staff.orders})
    assert names[0] == names[1]


def test_an_order_holds_no_more_settings_than_asked_however_few_are_cut(made, run):
    dispatcher, staff = made(parallel=2, settings=1)
    solved(dispatcher, with_alphas(run, 3), [0])
    assert [len(order.configurations) for order in staff.orders] == [1, 1, 1]
