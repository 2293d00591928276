import asyncio

import pytest

from pipeline.dispatch.queues import OrderQueue, Pending
from pipeline.orders import WorkOrder


@pytest.fixture
def order():
    loop = asyncio.new_event_loop()
    yield lambda shard, name="": Pending(WorkOrder(name or str(shard), {}, (0,)), shard, loop.create_future())
    loop.close()


def names(*taken):
    return [one and one.order.name for one in taken]


def test_what_nobody_holds_comes_in_turn(order):
    queue = OrderQueue()
    for shard in range(3):
        queue.put(order(shard))
    assert names(queue.take_own("a")) == [None]
    assert names(*(queue.take_any(worker) for worker in "aba")) == ["0", "1", "2"]
    assert (len(queue), queue.take_any("a")) == (0, None)


def test_an_order_waits_for_who_holds_its_shard(order):
    queue = OrderQueue()
    for shard, worker in ((0, "a"), (1, "b")):
        queue.put(order(shard))
        queue.take_any(worker)
    for shard, name in ((1, "b first"), (0, "a first"), (1, "b second"), (2, "new")):
        queue.put(order(shard, name))
    queue.put(order(1, "b urgent"), first=True)
    assert len(queue) == 5
    assert names(*(queue.take_own("b") for _ in range(4))) == ["b urgent", "b first", "b second", None]
    assert names(queue.take_any("b")) == ["new"]


def test_who_has_nothing_takes_the_newest_of_who_has_most_and_holds_it_then(order):
    queue = OrderQueue()
    for shard, worker in ((0, "a"), (1, "b"), (2, "b")):
        queue.put(order(shard))
        queue.take_any(worker)
    for shard in (0, 1, 2):
        queue.put(order(shard))
    assert names(queue.take_any("c")) == ["2"]
    queue.put(order(2, "again"))
    assert names(queue.take_own("b"), queue.take_own("b"), queue.take_own("c")) == ["1", None, "again"]


def test_who_is_gone_holds_nothing(order):
    queue = OrderQueue()
    queue.put(order(0))
    queue.take_any("a")
    queue.put(order(1, "nobody's"))
    queue.put(order(0, "first"))
    queue.put(order(0, "second"))
    queue.forget("a")
    queue.put(order(0, "later"))
    assert names(*(queue.take_any("b") for _ in range(4))) == ["first", "second", "nobody's", "later"]
    assert len(queue) == 0
