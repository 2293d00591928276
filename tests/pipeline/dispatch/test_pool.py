"""The pool without Ray: its workers are stand-ins that answer at once, hang or die as told."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError

from pipeline.dispatch import pool as pools
from pipeline.dispatch.actors import Staffing
from pipeline.dispatch.pool import Pool
from pipeline.orders import WorkOrder
from pipeline.storage.folder import NoRoomError
from tests.pipeline.dispatch.staff import FOUND, Staff, accuracy_of


def order(run, *episodes):
    return WorkOrder(f"order {episodes[0]}", {"a": run}, episodes)


def going(
    staff, scenario, most=lambda: 1, at_once=1, idle=60.0, patience=60.0, node_lives=lambda node: True, found=None
):
    """Runs a scenario on a pool; what hangs fails."""

    async def all_of_it():
        pool = Pool(staff.hire, staff.dismiss, Staffing(most, at_once, idle, patience), node_lives, found)
        try:
            return await asyncio.wait_for(scenario(pool), 20.0)
        finally:
            await pool.close()

    return asyncio.run(all_of_it())


def submit(*orders):
    async def scenario(pool):
        return await asyncio.gather(*(pool.submit(one, one.episodes[0]) for one in orders))

    return scenario


def episodes(solved):
    return [row["episode"] for row in solved.rows]


def test_orders_are_shared_out_and_each_worker_keeps_its_shards(run):
    staff = Staff(faults=[0.02] * 8)
    orders = [order(run, i) for i in range(4)]

    async def twice(pool):
        await submit(*orders)(pool)
        return await submit(*reversed(orders))(pool)

    solved = going(staff, twice, lambda: 2, 2)
    assert [episodes(one) for one in solved] == [[3], [2], [1], [0]]
    first, second = staff.by_worker[:4], staff.by_worker[4:]
    assert {name for name, _ in first} == {"worker-0", "worker-1"}
    assert sorted(first) == sorted(second)


def test_who_has_nothing_to_do_takes_anothers(run):
    staff = Staff(faults=[0, 0, 0.05, 0.05, 0.05, 0.05])

    async def scenario(pool):
        await submit(order(run, 0))(pool)
        await submit(*(WorkOrder(f"{i}", {"a": run}, (i,)) for i in (1,)))(pool)
        held = [pool.submit(WorkOrder(f"again {i}", {"a": run}, (i,)), 0) for i in range(4)]
        await asyncio.gather(*held)

    going(staff, scenario, lambda: 2, 2)
    assert {name for name, _ in staff.by_worker[2:]} == {"worker-0", "worker-1"}


def test_the_order_of_a_worker_that_died_is_sent_to_another_before_all_others(run):
    staff = Staff(faults=[ActorDiedError()])
    solved = going(staff, submit(order(run, 0, 1), order(run, 2)))
    assert staff.hired == ["worker-0", "worker-1"]
    assert [one.episodes for one in staff.orders] == [(0, 1), (0, 1), (2,)]
    assert [row["attempt"] for one in solved for row in one.rows] == [2, 2, 1]
    assert staff.smaller == [0, 0, 0]


def test_who_works_holds_one_more_order_while_there_are_enough_for_all(run):
    staff = Staff(faults=[0.05] * 8)

    async def scenario(pool):
        asked = asyncio.gather(*(pool.submit(order(run, i), i) for i in range(8)))
        held = []
        while not asked.done():
            await asyncio.sleep(0.01)
            held.append((len(pool.queue), sum(member.ahead is not None for member in pool.members.values())))
        await asked
        return held

    held = going(staff, scenario, lambda: 2, 2)
    assert max(ahead for _, ahead in held) == 2
    assert all(ahead == 0 for waiting, ahead in held[-5:])
    assert len(staff.by_worker) == 8  # none was sent twice


def test_what_a_dead_worker_held_is_sent_to_another_and_not_to_blame(run):
    staff = Staff(faults={0: ActorDiedError()})
    solved = going(staff, submit(*(order(run, i) for i in range(6))))
    assert [one.lost for one in solved] == [(0,), *[()] * 5]
    assert [episodes(one) for one in solved] == [[], *([i] for i in range(1, 6))]
    assert max(row["attempt"] for one in solved for row in one.rows) > 1
    assert {smaller for one, smaller in zip(staff.orders, staff.smaller, strict=True) if one.episodes != (0,)} == {0}


def test_a_worker_that_hangs_is_replaced(run):
    staff = Staff(faults=[3600])
    (solved,) = going(staff, submit(order(run, 0)), patience=0.2)
    assert (staff.hired, staff.dismissed[0]) == (["worker-0", "worker-1"], "worker-0")
    assert solved.rows[0]["attempt"] == 2


def test_patience_follows_from_the_slowest_so_far(run, monkeypatch):
    monkeypatch.setattr(pools, "LEAST_ORDER_SECONDS", 0.0)
    staff = Staff(faults=[0.05, 3600])

    async def scenario(pool):
        await submit(order(run, 0))(pool)
        return await submit(order(run, 1))(pool)

    (solved,) = going(staff, scenario, patience=3600.0)
    assert solved.rows[0]["attempt"] == 2


def test_an_episode_that_kills_every_worker_is_isolated_and_the_rest_goes_on(run):
    staff = Staff(faults={2: ActorDiedError()})
    solved, other = going(staff, submit(order(run, 1, 2, 3), order(run, 7)), lambda: 2, 2)
    assert (episodes(solved), solved.lost) == ([1, 3], (2,))
    assert (episodes(other), other.lost) == ([7], ())
    tried = [one.episodes for one in staff.orders if 2 in one.episodes]
    assert tried == [(1, 2, 3)] * 3 + [(2,)] * 3
    assert len({one.name for one in staff.orders}) == 5
    assert [row["accuracy"] for row in solved.rows] == [accuracy_of(run, 1), accuracy_of(run, 3)]


def test_want_of_memory_makes_the_stack_smaller_at_once_and_other_deaths_the_last_time(run):
    staff = Staff(faults=[OutOfMemoryError("the node runs low on memory")])
    going(staff, submit(order(run, 0)))
    assert staff.smaller == [0, 1]
    staff = Staff(faults=[ActorDiedError()] * 2)
    going(staff, submit(order(run, 0)))
    assert staff.smaller == [0, 0, 1]


def test_an_order_is_not_to_blame_for_its_node(run):
    staff = Staff(faults=[ActorDiedError()] * 5)
    (solved,) = going(staff, submit(order(run, 0, 1)), node_lives=lambda node: False)
    assert ([row["attempt"] for row in solved.rows], solved.lost) == ([6, 6], ())
    assert set(staff.smaller) == {0}


def failing(error):
    return RayTaskError("solve", str(error), error)


def test_a_mistake_reaches_who_asked_and_the_worker_goes_on(run):
    staff = Staff(faults=[failing(ValueError("no masks"))])

    async def scenario(pool):
        with pytest.raises(ValueError, match=r"^no masks$"):
            await submit(order(run, 0))(pool)
        return await submit(order(run, 0))(pool)

    assert episodes(going(staff, scenario)[0]) == [0]
    assert len(staff.hired) == 1


def test_a_disk_that_fails_for_a_while_is_tried_again_but_a_full_one_is_not(run):
    staff = Staff(faults=[failing(OSError("the network is down"))] * 2)
    (solved,) = going(staff, submit(order(run, 0)))
    assert (solved.rows[0]["attempt"], len(staff.hired)) == (3, 1)
    staff = Staff(faults=[failing(NoRoomError("home must have room"))])
    with pytest.raises(NoRoomError, match=r"^home must have room$"):
        going(staff, submit(order(run, 0)))
    assert len(staff.orders) == 1


def test_workers_are_hired_while_orders_wait_and_let_go_when_none_do(run):
    staff = Staff(faults=[0.3] * 6)
    room = [1]

    async def scenario(pool):
        asked = asyncio.create_task(submit(*(order(run, i) for i in range(3)))(pool))
        await asyncio.sleep(0.1)
        assert len(pool.members) == 1
        room[0] = 5  # a node has joined
        await asked
        assert len(staff.hired) == 3  # not more than there is work for
        while pool.members:
            await asyncio.sleep(0.05)
        assert sorted(staff.dismissed) == sorted(staff.hired)
        return await submit(order(run, 9))(pool)

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr(pools, "TICK_SECONDS", 0.05)
        (solved,) = going(staff, scenario, lambda: room[0], 1, idle=0.4)
    assert episodes(solved) == [9]
    assert len(staff.hired) == 4


def test_the_first_worker_may_take_its_time_to_find_a_place(run, monkeypatch):
    monkeypatch.setattr(pools, "TICK_SECONDS", 0.02)
    staff = Staff(seconds_to_place=0.5)

    async def scenario(pool):
        return await pool.found

    assert going(staff, scenario, idle=0.05) == FOUND
    assert len(staff.hired) == 1


def test_who_has_no_place_yet_is_not_waited_for_once_nothing_is_to_be_done(run, monkeypatch):
    monkeypatch.setattr(pools, "TICK_SECONDS", 0.02)
    staff = Staff(faults=[0.3, 0.3])

    async def scenario(pool):
        await pool.found
        staff.seconds_to_place = 3600.0  # no other node has room
        await submit(order(run, 0), order(run, 1))(pool)
        assert len(staff.hired) == 2
        while len(staff.dismissed) < 2:
            await asyncio.sleep(0.02)

    going(staff, scenario, lambda: 2, 1, idle=0.1)


def test_what_no_worker_can_open_is_said_at_once(run):
    staff = Staff(opening=[failing(ValueError("backbone.name must be known"))] * 2)

    async def scenario(pool):
        with pytest.raises(ValueError, match=r"^backbone.name must be known$"):
            await pool.found

    going(staff, scenario, lambda: 2, 2)
    assert len(staff.hired) == 2


def test_a_worker_that_cannot_open_is_none_of_the_others_business(run):
    staff = Staff(opening=[failing(ValueError("this node has no images")), None])
    (solved,) = going(staff, submit(order(run, 0)), lambda: 2, 2)
    assert episodes(solved) == [0]


def test_workers_that_die_while_they_open_are_replaced_but_not_for_ever(run, monkeypatch):
    monkeypatch.setattr(pools, "LONGEST_PAUSE_SECONDS", 0.01)
    staff = Staff(opening=[ActorDiedError(), ActorDiedError(), None])
    (solved,) = going(staff, submit(order(run, 0)))
    assert (episodes(solved), len(staff.hired)) == ([0], 3)
    staff = Staff(opening=[ActorDiedError()] * 9)

    async def scenario(pool):
        with pytest.raises(RuntimeError, match=r"^a worker ended while it was starting: The actor died"):
            await pool.found

    going(staff, scenario)
    assert len(staff.hired) == 3


def test_what_waits_fails_when_the_last_worker_cannot_be_replaced(run, monkeypatch):
    monkeypatch.setattr(pools, "LONGEST_PAUSE_SECONDS", 0.01)
    staff = Staff(faults=[ActorDiedError()], opening=[None, *[failing(ValueError("the images have gone"))] * 9])
    with pytest.raises(ValueError, match=r"^the images have gone$"):
        going(staff, submit(order(run, 0)))


def test_a_pool_that_is_closed_ends_though_an_answer_comes_at_that_moment(run):
    """Until Python 3.12 wait_for may take an answer and swallow the cancellation that comes with it."""
    staff = Staff(faults=[0.05] * 50)

    async def scenario(pool):
        asked = [asyncio.ensure_future(pool.submit(order(run, i), i)) for i in range(20)]
        await asyncio.sleep(0.12)
        pool.closed = True  # as close() says first; a worker that has answered takes no other order then
        await asyncio.sleep(0.2)
        started = len(staff.orders)
        await asyncio.sleep(0.15)
        for one in asked:
            one.cancel()
        return started, len(staff.orders)

    started, later = going(staff, scenario, lambda: 1, 1)
    assert started == later < 20
