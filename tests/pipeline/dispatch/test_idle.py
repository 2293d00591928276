"""Idle workers get what is warm with them first, and go when they have waited too long."""

import asyncio

from pipeline.dispatch.idle import IdleWorkers
from pipeline.dispatch.members import Member
from pipeline.dispatch.queues import OrderQueue, Pending
from pipeline.orders import WorkOrder


def test_orders_that_are_placed_together_find_who_holds_their_images(run):
    async def scenario():
        queue = OrderQueue()
        idle, names = IdleWorkers(queue), ("a", "b")
        queue.holder = {"shard of b": "b", "shard of a": "a"}
        waiting = [asyncio.ensure_future(idle.next_for(Member(name, None))) for name in names]
        await asyncio.sleep(0)
        for name in reversed(names):
            done = asyncio.get_running_loop().create_future()
            queue.put(Pending(WorkOrder(name, {"hash": run}, (0,)), f"shard of {name}", done))
            idle.match_soon()
        return [pending.order.name for pending in await asyncio.gather(*waiting)], idle.members

    assert asyncio.run(scenario()) == (["a", "b"], {})


def test_who_has_waited_too_long_is_let_go():
    async def scenario():
        idle = IdleWorkers(OrderQueue())
        member = Member("a", None)
        waiting = asyncio.ensure_future(idle.next_for(member))
        await asyncio.sleep(0)
        idle.let_go(member.idle_since)
        assert not waiting.done()
        idle.let_go(member.idle_since + 1)
        return await waiting, member.leaves

    assert asyncio.run(scenario()) == (None, "it had nothing to do")
