import asyncio

from ray.exceptions import ActorDiedError

from pipeline.dispatch import node_watch
from pipeline.dispatch.node_watch import NodeWatch


class Worker:
    """Answers when it is told to, as an actor that is at work does; or has died."""

    def __init__(self, dead=False):
        self.dead, self.asked, self.free, self.node_metrics = dead, 0, asyncio.Event(), self

    async def remote(self):
        self.asked += 1
        await self.free.wait()
        if self.dead:
            raise ActorDiedError
        return {"cpu_utilization_percentage": 10.0 * self.asked}


def test_nobody_waits_for_a_worker_that_is_at_work(monkeypatch):
    monkeypatch.setattr(node_watch, "PATIENCE_SECONDS", 0.02)

    async def scenario():
        watch, busy, idle, dead, deaf = NodeWatch(), Worker(), Worker(), Worker(dead=True), object()
        nodes = {"a": busy, "b": idle, "c": dead, "d": deaf}
        idle.free.set()
        dead.free.set()
        said = [await watch.ask(nodes) for _ in range(2)]
        busy.free.set()
        said += [await watch.ask(nodes) for _ in range(2)]
        return said, (busy.asked, idle.asked, dead.asked)

    said, asked = asyncio.run(scenario())
    assert [{node: own["cpu_utilization_percentage"] for node, own in one.items()} for one in said] == [
        {"b": 10.0},
        {"b": 20.0},
        {"a": 10.0, "b": 30.0},  # to the first question, which was not asked again meanwhile
        {"a": 20.0, "b": 40.0},
    ]
    assert asked == (2, 4, 4)
