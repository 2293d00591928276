"""How the nodes of workers are, asked of one worker of each node; nobody waits for a worker that is busy."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ray.exceptions import RayError

PATIENCE_SECONDS = 0.5  # for workers that have nothing to do


class NodeWatch:
    """A watch is the dispatcher's: it asks a worker of each node that has any, unless the node still owes an answer."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, float]] = {}
        self.asked: dict[str, asyncio.Task[None]] = {}

    async def ask(self, workers: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        """Returns what nodes have said since the last time, by node. `workers` holds a worker's
        handle for each node.
        """
        for node, worker in workers.items():
            metrics = getattr(worker, "node_metrics", None)  # stand-ins have none
            if metrics is not None and node not in self.asked:
                self.asked[node] = asyncio.ensure_future(self._hear(node, metrics))
        if self.asked:
            await asyncio.wait(list(self.asked.values()), timeout=PATIENCE_SECONDS)
        said, self.said = self.said, {}
        return {node: own for node, own in said.items() if own}

    async def _hear(self, node: str, metrics: Any) -> None:
        try:
            with suppress(RayError):  # it has died, or was let go
                self.said[node] = await metrics.remote()
        finally:
            del self.asked[node]
