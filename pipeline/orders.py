"""What the dispatcher sends, and the process that it sends it to. Light: trials and the dispatcher never load torch."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import ray

from pipeline import config
from pipeline.data.store import PackedImages
from pipeline.storage.ledger import Row


@dataclass(frozen=True)
class Order:
    """Configurations to try on the same episodes, in stacks. All share dataset, backbone and episodes."""

    name: str
    configurations: dict[str, config.Run]  # by configuration hash
    episodes: tuple[int, ...]

    def of_episode(self, episode: int) -> "Order":
        """The part of it that is about one episode."""
        return Order(f"{self.name}-{episode}", self.configurations, (episode,))


@dataclass(eq=False)
class Pending:
    """An order until its rows are in the ledger. `shard` says which images and features it needs, `strikes` how many
    workers it has taken with it, `smaller` how many times its stack is halved before it is tried again.
    """

    order: Order
    shard: Hashable
    done: asyncio.Future["Solved"]
    attempt: int = 1
    strikes: int = 0
    smaller: int = 0


@dataclass(frozen=True)
class Solved:
    """Rows of an order; `lost` are the episodes of it that took every worker with them."""

    rows: list[Row]
    lost: tuple[int, ...] = ()


class WorkerProcess:
    """Made into an actor by the dispatcher. What it computes with is imported in its own process alone."""

    def __init__(self, name: str, run: config.Run, images: PackedImages, ledger: str) -> None:
        self.name, self.run, self.images, self.ledger = name, run, images, ledger
        self.sampler: Any = None

    def node(self) -> str:
        """Answers as soon as there is a place for the worker."""
        return str(ray.get_runtime_context().get_node_id())

    def open(self) -> dict[str, Any]:
        """Loads backbone and images. Returns the limits that only they can tell."""
        from pipeline.data.packed import on_this_node
        from pipeline.workers.worker import Worker

        self.worker = Worker(self.name, self.run, on_this_node(self.images), self.ledger)
        return self.worker.limits()

    def solve(self, order: Order, attempt: int, smaller: int) -> list[Row]:
        return self.worker.solve(order, attempt, smaller)

    def vitals(self) -> dict[str, float]:
        """How its node is, since it was last asked; nothing the first time (vitals.py)."""
        if self.sampler is None:
            from pipeline.workers.node_sampler import Sampler

            self.sampler = Sampler()
        said: dict[str, float] = self.sampler.said()
        return said
