"""What broken cards do to a pool: its workers are stand-ins, whose cards fail as told."""

import asyncio

import pytest
import torch
from ray.exceptions import RayTaskError

from fpt.failures import DeviceFailedError
from pipeline.dispatch.actors import Staffing
from pipeline.dispatch.health import NodeHealth
from pipeline.dispatch.members import Member
from pipeline.dispatch.pool import Pool
from pipeline.orders import Place, WorkOrder
from tests.pipeline.dispatch.staff import Remote, Staff

ECC = torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors might be reported")
RAN_OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def raised(error):
    return RayTaskError("solve", str(error), error)


def broken(card="NVIDIA H200 (GPU 3)", failure="another worker"):
    return raised(DeviceFailedError(failure, card, "box-7", "CUDA error: uncorrectable ECC error encountered"))


class Cards(Staff):
    """Stand-ins that are placed on `nodes` in turn (of those that are not barred), and of which those on a node among
    `fails` meet that fault, at once, in as many orders as it says.
    """

    def __init__(self, nodes, fails, seconds=0.002, opens=True):
        super().__init__()
        self.nodes, self.fails, self.seconds, self.opens = nodes, fails, seconds, opens
        self.placed, self.pool, self.tried = {}, None, []

    def hire(self, name):
        worker = super().hire(name)
        taken = [self.placed[other] for other in self.placed if other not in self.dismissed]
        free = [node for node in self.nodes if node not in self.pool.health.barred and node not in taken]
        self.placed[name] = (free or self.nodes)[0]
        worker.place = Remote(lambda: self.place(self.placed[name]))
        worker.open = Remote(lambda expected: asyncio.ensure_future(self.opened(name, expected)))
        return worker

    async def opened(self, name, expected):
        if not self.opens and self.fails.get(self.placed[name], (None, 0))[1] > 0:
            raise self.fails[self.placed[name]][0]
        return await self.open(expected)

    async def solve(self, name, order, attempt, smaller):
        node = self.placed[name]
        self.tried.append((node, name))
        fault, times = self.fails.get(node, (None, 0))
        if times > 0:
            self.fails[node] = fault, times - 1
            raise fault
        await asyncio.sleep(self.seconds)
        return await super().solve(name, order, attempt, smaller)


def going(staff, run, orders=40, workers=4):
    """What a pool of stand-ins makes of so many orders of one episode, and the pool."""

    async def all_of_it():
        beside = lambda nodes: bool(set(staff.nodes) - set(nodes))  # noqa: E731
        pool = staff.pool = Pool(
            staff.hire, staff.dismiss, Staffing(lambda: workers, workers, 60.0, 60.0), room_beside=beside
        )
        asked = [pool.submit(WorkOrder(f"order {i}", {"a": run}, (i,)), i) for i in range(orders)]
        try:
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 20.0), pool
        finally:
            await pool.close()

    return asyncio.run(all_of_it())


def rows(solved):
    """What the ledger would hold, but for who computed it."""
    assert [one for one in solved if isinstance(one, BaseException)] == []
    assert [one.lost for one in solved] == [()] * len(solved)
    return [{name: value for name, value in row.items() if name != "attempt"} for one in solved for row in one.rows]


@pytest.mark.parametrize("fault", [broken(), raised(ECC)])
def test_a_broken_card_among_four_changes_nothing_but_the_time(run, fault):
    nodes = ["a", "b", "c", "d"]
    expected = rows(going(Cards(nodes, {}), run)[0])
    staff = Cards(nodes, {"c": (fault, 1000)})
    solved, pool = going(staff, run)
    assert rows(solved) == expected
    assert sum(node == "c" for node, _ in staff.tried) <= 6  # three workers, each with one in hand: not 38 of 40
    assert pool.hours.lost_seconds < pool.hours.busy_seconds


def test_a_node_that_has_broken_three_workers_gets_none(run):
    staff = Cards(["a", "b"], {"a": (broken(), 1000)}, seconds=0.05)
    solved, pool = going(staff, run, 20, 2)
    assert len(rows(solved)) == 20
    assert len({name for node, name in staff.tried if node == "a"}) == 3
    assert pool.health.barred == {"a"}
    assert set(staff.placed.values()) == {"a", "b"}


@pytest.mark.parametrize("opens", [True, False])
def test_where_every_card_is_broken_the_reason_is_said_with_card_and_host(run, opens):
    solved, _ = going(Cards(["a", "b"], {node: (broken(), 1000) for node in "ab"}, opens=opens), run, 4, 2)
    assert all(isinstance(one, DeviceFailedError) for one in solved)
    assert str(solved[0]).startswith("NVIDIA H200 (GPU 3) on box-7 has failed: CUDA error: uncorrectable ECC error")


def test_a_card_that_torch_does_not_fit_is_tried_once(run):
    staff = Cards(["a", "b", "c"], {"b": (broken(failure="fatal"), 1000)}, opens=False)
    solved, pool = going(staff, run, 20, 3)
    assert len(rows(solved)) == 20
    assert pool.health.barred == {"b"}
    assert list(staff.placed.values()).count("b") == 1


def test_memory_that_runs_out_once_is_forgiven(run):
    """The order is tried again in a smaller stack, by a worker that has begun anew."""
    staff = Cards(["a", "b"], {"a": (raised(RAN_OUT), 2)})
    solved, pool = going(staff, run, 20, 2)
    assert len(rows(solved)) == 20
    assert (pool.health.barred, max(staff.smaller)) == (set(), 1)


def test_an_order_that_no_memory_holds_is_named_and_ends(run):
    fault = broken("NVIDIA T4 (GPU 0)", "smaller")
    solved, _ = going(Cards(["a", "b", "c", "d"], dict.fromkeys("abcd", (fault, 1000))), run, 1, 4)
    assert str(solved[0]).startswith("memory of NVIDIA T4 (GPU 0) on box-7 ran out with one problem alone")


def test_want_of_memory_is_forgotten_with_an_answer():
    health, member = NodeHealth(), Member("worker-0", None, place=Place("a", "host"))
    for _ in range(5):
        assert not health.failed(member, "smaller", RAN_OUT)
        assert not health.failed(member, "smaller", RAN_OUT)
        health.answered("a")
    assert not health.failed(member, "another worker", ECC)
    health.answered("a")
    assert not health.failed(member, "another worker", ECC)
    assert health.failed(member, "another worker", ECC)
    assert health.barred == {"a"}
