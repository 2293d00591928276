"""The process of a worker, as the dispatcher hires it. What it computes with is imported in that process alone."""

import socket
from pathlib import Path

import ray

from pipeline.config import Run
from pipeline.data.store import PackedImages
from pipeline.identity import Found, with_precision
from pipeline.orders import Place, WorkOrder
from pipeline.storage.ledger import Row
from pipeline.storage.private import keep_private
from pipeline.workers.node_sampler import NodeSampler


class WorkerProcess:
    """A worker's process is made into an actor by the dispatcher. It can be asked for its place at once, then to load
    what it computes with, then to open, and from then on to solve orders.
    """

    def __init__(self, name: str, run: Run, images: PackedImages, ledger: str) -> None:
        self.name, self.run, self.images, self.ledger = name, run, images, ledger
        self.sampler: NodeSampler | None = None
        keep_private(Path.cwd())

    def place(self) -> Place:
        """Returns where the worker is, as soon as there is room for it."""
        return Place(str(ray.get_runtime_context().get_node_id()), socket.gethostname())

    def load(self) -> None:
        """Imports torch and the method, which takes seconds and needs nothing of other workers."""
        import pipeline.workers.worker  # noqa: F401

    def open(self, found: Found | None) -> Found:
        """Loads backbone and images, and returns what they are. `found` is what the first worker of the session found:
        its precision is taken as it is; None has this worker choose.
        """
        from pipeline.data.packed import on_this_node
        from pipeline.workers.worker import Worker

        run = self.run if found is None else with_precision(self.run, found.precision)
        self.worker = Worker(self.name, run, on_this_node(self.images), self.ledger)
        return self.worker.found()

    def solve(self, order: WorkOrder, attempt: int, smaller: int) -> list[Row]:
        """Returns the rows of an order, which are in the ledger by then; its stacks are halved `smaller` times."""
        return self.worker.solve(order, attempt, smaller)

    def node_metrics(self) -> dict[str, float]:
        """Returns how the node has been since this was last asked; nothing the first time."""
        if self.sampler is None:
            self.sampler = NodeSampler()
        return self.sampler.said()
