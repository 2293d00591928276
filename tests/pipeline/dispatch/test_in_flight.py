"""Questions that are asked of the dispatcher while others are in flight."""

import asyncio

from ray.exceptions import RayTaskError

from tests.pipeline.dispatch.staff import FOUND, accuracy_of
from tests.pipeline.dispatch.test_dispatcher import CONTEXT, going, with_alpha


def test_two_questions_in_flight_compute_what_they_share_once(made, run):
    dispatcher, staff = made(faults=[0.05] * 9)
    first, second = with_alpha(run, 1, 2)

    async def scenario():
        asked = (dispatcher.solve(CONTEXT, [first], range(8)), dispatcher.solve(CONTEXT, [second, first], range(6)))
        rows = await asyncio.gather(*asked)
        return rows, await dispatcher.status()

    (one, both), status = going(dispatcher, scenario)
    assert (status.computed, status.reused) == (8 + 6, 6)
    assert sum(order.problems for order in staff.orders) == 8 + 6
    assert both[1] == one[0][:6]
    assert [row["accuracy"] for row in both[0]] == [accuracy_of(second, i) for i in range(6)]
    assert dispatcher.in_flight == {}


def test_what_fails_fails_for_all_that_wait_for_it_and_is_tried_anew_by_the_next(made, run):
    fault = RayTaskError("solve", "no masks", ValueError("no masks"))
    dispatcher, staff = made(faults=[fault])

    async def scenario():
        asked = [dispatcher.solve(CONTEXT, [run], range(4)) for _ in range(2)]
        failed = await asyncio.gather(*asked, return_exceptions=True)
        return failed, await dispatcher.solve(CONTEXT, [run], range(4))

    failed, rows = going(dispatcher, scenario)
    assert [str(error) for error in failed] == ["no masks", "no masks"]
    assert len(rows[0]) == 4
    assert len(staff.orders) == 2


def test_a_dispatcher_that_took_the_place_of_another_hires_for_what_was_found(made, run):
    dispatcher, staff = made()

    async def all_of_it():
        try:
            return await dispatcher.solve(CONTEXT, [run], range(2))
        finally:
            await dispatcher.close()

    (rows,) = asyncio.run(all_of_it())
    assert [row["episode"] for row in rows] == [0, 1]
    assert staff.expected == [FOUND]
    assert dispatcher.run.backbone.precision == "float32"
