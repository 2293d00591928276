"""How fast orders reach workers, and how soon new nodes have some, with workers that sleep instead of computing.

`python -m benchmarks.dispatch`: 1,000 workers simulated in one process; 2 to 64 real ones on 1-second orders; a node
that joins and one that leaves (several raylets on this machine).
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray.cluster_utils import Cluster

from pipeline.config import Compute, Run, with_hyper_parameters
from pipeline.data.store import PackedImages
from pipeline.dispatch import dispatcher as dispatching
from pipeline.dispatch.actors import Wanted
from pipeline.dispatch.dispatcher import Dispatcher
from pipeline.identity import Found
from pipeline.opening import connected, start_dispatcher
from pipeline.orders import Context, Place, WorkOrder
from pipeline.storage.ledger import Ledger, Row

SHARD = 8
SETTINGS = 8  # trials that share an order
FOUND = Found("none", "none", "float32", "cpu", 64, 6, True, {"novel": 10})
CONTEXT = Context(FOUND)
IMAGES = {Run().backbone: PackedImages("none", "none.arrow", "none")}


def rows_of(order: WorkOrder, worker: str, attempt: int) -> list[Row]:
    """Rows as a worker would give them, with made-up figures."""
    figures = {"accuracy": 0.5, "correct": 25, "queries": 50, "class_hits": [2, 3] * 5, "failed": False, "seconds": 0.1}
    return [
        {"config_hash": one, "episode": episode, "worker": worker, "attempt": attempt, **figures}
        for one in order.configurations
        for episode in order.episodes
    ]


def settings(count: int) -> list[Run]:
    base = Run(compute=Compute(shard=SHARD))
    return [with_hyper_parameters(base, {"alpha": 1 + number}) for number in range(count)]


class Sleeper:
    """A worker that sleeps, and then writes to the ledger as a real one does."""

    seconds = 1.0

    def __init__(self, name: str, run: Run, images: PackedImages, ledger: str) -> None:
        self.name, self.ledger = name, Ledger(ledger)

    def place(self) -> Place:
        self.here: str = ray.get_runtime_context().get_node_id()
        return Place(self.here, self.here)

    def load(self) -> None:
        """A sleeper has nothing to load."""

    def open(self, found: Found | None) -> Found:
        return FOUND

    def solve(self, order: WorkOrder, attempt: int, smaller: int) -> list[Row]:
        time.sleep(self.seconds)
        rows = rows_of(order, self.here, attempt)
        self.ledger.write(order.name, rows)
        return rows


class _Remote:
    def __init__(self, function: Any) -> None:
        self.remote = function


class _Simulated:
    """The same within this process, without Ray and without a disk."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds = name, seconds
        self.place, self.load = _Remote(self._place), _Remote(self._load)
        self.open, self.solve = _Remote(self._open), _Remote(self._solve)

    async def _place(self) -> Place:
        return Place(self.name, self.name)

    async def _load(self) -> None:
        return None

    async def _open(self, found: Found | None) -> Found:
        return FOUND

    async def _solve(self, order: WorkOrder, attempt: int, smaller: int) -> list[Row]:
        await asyncio.sleep(self.seconds)
        return rows_of(order, self.name, attempt)


def simulated(workers: int, seconds: float, shards: int) -> float:
    """Orders a second with so many workers that take so many seconds for each."""
    dispatching.hire = lambda *described: _Simulated(described[-1], seconds)
    dispatching.dismiss = lambda worker: None

    async def scenario(folder: str) -> float:
        made = Dispatcher(settings(1)[0], IMAGES, folder, Wanted(0.0, workers, workers), None)
        await made.start()
        assert made.pool is not None
        while made.pool.alive < workers:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        await made.solve(CONTEXT, settings(SETTINGS), range(SHARD * shards))
        took = time.monotonic() - began
        await made.pool.close()
        return shards / took

    with TemporaryDirectory() as folder:
        return asyncio.run(scenario(folder))


@contextmanager
def dispatcher(folder: str, wanted: Wanted) -> Iterator[Any]:
    """A dispatcher actor, as a session makes it, with sleepers."""
    actor = start_dispatcher(settings(1)[0], IMAGES, folder, wanted, None, Sleeper)
    ray.get(actor.start.remote())
    try:
        yield actor
    finally:
        ray.kill(actor)


def efficiency(workers: int, each: int) -> float:
    """Share of the ideal at which so many real workers do so many 1-second orders each."""
    with TemporaryDirectory() as folder, dispatcher(folder, Wanted(0.0, workers, workers)) as actor:
        while ray.get(actor.status.remote()).workers < workers:
            time.sleep(0.1)
        began = time.monotonic()
        ray.get(actor.solve.remote(CONTEXT, settings(SETTINGS), range(SHARD * workers * each)))
        return each * Sleeper.seconds / (time.monotonic() - began)


def joining_and_leaving() -> dict[str, Any]:
    """Seconds until a node that joins has had its first order done, and what one that leaves costs."""
    node = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0})
    first = cluster.add_node(**node)
    try:
        with (
            connected(cluster.address),
            TemporaryDirectory() as folder,
            dispatcher(folder, Wanted(0.0, None, 2)) as actor,
        ):
            known = {one["NodeID"] for one in ray.nodes()}
            asked = actor.solve.remote(CONTEXT, settings(1), range(SHARD * 160))
            _wait_for(folder, lambda rows: len(rows) > SHARD * 6)
            cluster.add_node(**node)
            joined = time.monotonic()
            (new,) = {one["NodeID"] for one in ray.nodes()} - known
            _wait_for(folder, lambda rows: any(row["worker"] == new for row in rows))
            seconds = time.monotonic() - joined
            before = len(_rows(folder))
            cluster.remove_node(first, allow_graceful=False)
            _wait_for(folder, lambda rows: len(rows) > before + SHARD * 20)
            ray.get(asked)
            rows = _rows(folder)
        sent_again = {row["episode"] // SHARD for row in rows if row["attempt"] > 1}
        return {
            "seconds until a node that joined had an order done, of which the order takes 1": round(seconds, 1),
            "orders sent again after a node of two workers left": len(sent_again),
            "rows": len(rows),
            "rows on each node": sorted(Counter(row["worker"] for row in rows).values()),
        }
    finally:
        cluster.shutdown()


def ledger_costs(files: int) -> dict[str, Any]:
    """What a ledger of small files costs, and what is left of that when they are one."""
    runs = settings(SETTINGS)
    hashes = [f"{number:012x}" for number in range(SETTINGS)]
    with TemporaryDirectory() as folder:
        ledger = Ledger(folder)
        began = time.monotonic()
        for number in range(files):
            episodes = tuple(range(number * SHARD, (number + 1) * SHARD))
            order = WorkOrder(f"{number:06d}", dict(zip(hashes, runs, strict=True)), episodes)
            ledger.write(order.name, rows_of(order, "worker-0", 1))
        written = time.monotonic()
        table = ledger.read()
        read = time.monotonic()
        ledger.compact(most_files=1)
        compacted = time.monotonic()
        assert ledger.read().num_rows == table.num_rows == files * SHARD * SETTINGS
        again = time.monotonic()
    size = table.combine_chunks().nbytes
    return {
        "ledger: files of 64 rows written a second, one writer": round(files / (written - began)),
        "ledger: files read a second": round(files / (read - written)),
        "ledger: seconds to make them one": round(compacted - read, 1),
        "ledger: rows read a second from one": round(table.num_rows / (again - compacted)),
        "ledger: MB of memory for a million rows, packed": round(size / table.num_rows),
    }


def _rows(folder: str) -> list[Row]:
    rows: list[Row] = Ledger(folder).read().to_pylist()
    return rows


def _wait_for(folder: str, condition: Any) -> None:
    until = time.monotonic() + 120
    while not condition(_rows(folder)):
        if time.monotonic() > until:
            raise RuntimeError("nothing happened for 120 s")
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8, 16, 64])
    parser.add_argument("--orders", type=int, default=20, help="1-second orders for each real worker")
    parser.add_argument("--files", type=int, default=4000, help="in the ledger that is read and made one")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    result: dict[str, Any] = {}

    def say(name: str, value: Any) -> None:
        result[name] = value
        print(f"{name}: {value}", flush=True)

    for seconds, shards in ((1.0, 10_000), (0.0, 5_000)):
        speeds = sorted(simulated(1000, seconds, shards) for _ in range(3))
        say(
            f"orders a second, 1000 simulated workers, {seconds:g} s each (least, median, most)",
            [round(s) for s in speeds],
        )
    for name, value in ledger_costs(asked.files).items():
        say(name, value)
    ray.init("local", num_cpus=max(asked.workers) + 1, include_dashboard=False, log_to_driver=False)
    for workers in asked.workers:
        say(f"share of ideal, {workers} real workers, 1 s each", round(efficiency(workers, asked.orders), 3))
    ray.shutdown()
    for name, value in joining_and_leaving().items():
        say(name, value)
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
