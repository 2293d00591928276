"""The process of a worker, as the dispatcher hires it. What it computes with is imported in that process alone."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import ray

from fpt.failures import DeviceFailedError, failure_of
from pipeline.backbones import BackboneName
from pipeline.config import Run
from pipeline.data.store import PackedImages
from pipeline.identity import Found, with_precision
from pipeline.orders import Place, WorkOrder
from pipeline.storage.ledger import Row
from pipeline.storage.private import keep_private
from pipeline.workers.node_sampler import NodeSampler

if TYPE_CHECKING:
    from pipeline.workers.worker import Worker

Done = TypeVar("Done")


def cards_held() -> list[str] | None:
    """Returns which GPUs Ray has given to this process, None outside of Ray. Ray hides no others from one without."""
    if not ray.is_initialized():
        return None
    return list(ray.get_runtime_context().get_accelerator_ids().get("GPU", []))


def gpus_held() -> float:
    """Returns how many GPUs, or which share of one, Ray has given to this process; 1 where it has given none."""
    assigned = ray.get_runtime_context().get_assigned_resources() if ray.is_initialized() else {}
    return float(assigned.get("GPU", 1.0))


class WorkerProcess:
    """A worker's process is made into an actor by the dispatcher. It can be asked for its place at once, then to load
    what it computes with, then to open, and from then on to solve orders. `images` are those of each backbone that it
    is to hold.
    """

    def __init__(self, name: str, run: Run, images: Mapping[BackboneName, PackedImages], ledger: str) -> None:
        self.name, self.run, self.images, self.ledger = name, run, images, ledger
        self.workers: dict[BackboneName, Worker] = {}
        self.sampler = NodeSampler()
        self.card = "the processor"
        keep_private(Path.cwd())

    def place(self) -> Place:
        """Returns where the worker is, as soon as there is room for it."""
        return Place(str(ray.get_runtime_context().get_node_id()), socket.gethostname())

    def load(self) -> None:
        """Imports torch and the method, which takes seconds and needs nothing of other workers."""
        import pipeline.workers.worker  # noqa: F401

    def open(self, found: Found | None) -> Found:
        """Loads backbones and images, and returns what they are. `found` is what the first worker of the session found:
        its precision is taken as it is, and no other backbones are loaded; None has this worker choose.
        """
        from fpt.backbones.loading import best_device, device_held
        from fpt.backbones.memory import own_share
        from pipeline.data.packed import on_this_node
        from pipeline.workers.worker import Worker

        wanted = list(found.each if found is not None and found.each else self.images)
        # What a worker keeps of images is for all of its backbones.
        compute = self.run.compute.model_copy(
            update={"cache_megabytes": max(1, self.run.compute.cache_megabytes // len(wanted))}
        )
        cards = cards_held()

        def opened() -> Found:
            own_share(gpus_held())
            device = best_device() if cards is None else device_held(bool(cards))
            for backbone in wanted:
                run = self.run.model_copy(update={"backbone": backbone, "compute": compute})
                run = run if found is None else with_precision(run, found.of(backbone).precision)
                store = on_this_node(self.images[backbone])
                self.workers[backbone] = Worker(self.name, run, store, self.ledger, device)
            each = {backbone: worker.found() for backbone, worker in self.workers.items()}
            several = len(self.images) > 1 or (found is not None and bool(found.each))
            return Found.of_several(each) if several else each[wanted[0]]

        if cards:
            self.card = f"GPU {', '.join(cards)}"
        held = self._told(opened)
        if cards:
            self.card = f"{held.device} ({self.card})"
        return held

    def keep(self, found: Found) -> None:
        """Lets go of all backbones but those that `found` is of."""
        self.workers = {backbone: worker for backbone, worker in self.workers.items() if backbone in found.each}

    def solve(self, order: WorkOrder, attempt: int, smaller: int) -> list[Row]:
        """Returns the rows of an order, which are in the ledger by then; its stacks are halved `smaller` times."""
        return self._told(lambda: self.workers[order.backbone].solve(order, attempt, smaller))

    def _told(self, work: Callable[[], Done]) -> Done:
        """Returns what work gives. Raises DeviceFailedError, which names the card, where the device fails."""
        try:
            return work()
        except (RuntimeError, MemoryError, AssertionError) as error:
            failure = failure_of(error)
            if failure is None:
                raise
            said = str(error) or type(error).__name__
        raise DeviceFailedError(failure, self.card, socket.gethostname(), said)

    def node_metrics(self) -> dict[str, float]:
        """Returns how the node has been since this was last asked, or since this process began."""
        return self.sampler.said()
