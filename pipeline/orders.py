"""What the dispatcher sends, and the process that it sends it to. Light: trials and the dispatcher never load torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import config


@dataclass(frozen=True)
class Order:
    """Configurations to try on the same episodes, in stacks. All share dataset, backbone and episodes."""

    name: str
    configurations: dict[str, config.Run]  # by configuration hash
    episodes: tuple[int, ...]


class WorkerProcess:
    """Made into an actor by the dispatcher. What it computes with is imported in its own process alone."""

    def __init__(self, name: str, run: config.Run, store: Path, home: str) -> None:
        from pipeline.worker import Worker

        self.worker = Worker(name, run, store, home)

    def limits(self) -> dict[str, Any]:
        return self.worker.limits()

    def solve(self, order: Order, attempt: int) -> list[dict[str, Any]]:
        return self.worker.solve(order, attempt)
