"""The dispatcher: one Ray actor that turns what trials ask for into orders, and keeps workers busy with them.

Which problems share an order follows from what was asked (generation, rung, shard), never from timing or the number of
workers, so that a rerun computes the same bits.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline import config
from pipeline.generations import Generation
from pipeline.ledger import Ledger
from pipeline.orders import Order, WorkerProcess

ATTEMPTS = 3
# Of a core. A little less than one, so that trials and the dispatcher, which compute nothing, fit beside the workers.
WORKER_CPUS = 0.9

Row = dict[str, Any]
Halve = Callable[[int, dict[str, list[float | None]]], set[str]]


@dataclass
class _Pending:
    order: Order
    shard: int
    done: asyncio.Future[None]
    attempt: int = 1


class Dispatcher:
    """Made into an actor by session.py. `halve` says which trials of a generation go on, by their accuracies."""

    def __init__(self, run: config.Run, store: Path, home: str, workers: int, gpus: float, halve: Halve | None) -> None:
        self.run, self.store, self.home, self.halve = run, store, home, halve
        self.workers, self.gpus = workers, gpus
        self.ledger = Ledger(home)
        self.rows: dict[str, dict[int, Row]] = {}
        self._remember(self.ledger.read().to_pylist())
        self.generations: dict[int, Generation] = {}
        self.searched: dict[int, tuple[Mapping[str, config.Run], Sequence[Sequence[int]]]] = {}
        self.queue: deque[_Pending] = deque()
        self.arrived = asyncio.Condition()
        self.limits: dict[str, Any] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.computed, self.reused, self.alive, self.started = 0, 0, 0, time.monotonic()
        self.first_order: float | None = None  # by the clock
        self.busy = 0.0  # seconds that workers were at work, all of them together

    async def start(self) -> dict[str, Any]:
        """Starts the workers. Returns the limits that only a loaded backbone and its images can tell."""
        first = self._hire(0)
        self.limits = await first.limits.remote()
        self.run = config.with_precision(self.run, self.limits["precision"])  # that of all workers, on whatever device
        self.tasks = [
            asyncio.create_task(self._keep_busy(slot, first if slot == 0 else self._hire(slot)))
            for slot in range(self.workers)
        ]
        return self.limits

    async def status(self) -> dict[str, Any]:
        """Problems computed and found in the ledger, orders waiting, workers alive, seconds since the start, those that
        workers were at work (all together), and when the first order was sent, by the clock.
        """
        return {
            "computed": self.computed,
            "reused": self.reused,
            "waiting": len(self.queue),
            "workers": self.alive,
            "seconds": time.monotonic() - self.started,
            "busy_seconds": self.busy,
            "first_order": self.first_order,
        }

    async def solve(self, runs: Sequence[config.Run], episodes: Sequence[int]) -> list[list[Row]]:
        """Rows of each run on each episode: what the ledger lacks is computed, all runs of a shard in one order."""
        hashes = [self.hash_of(run) for run in runs]
        for config_hash, run in zip(hashes, runs, strict=True):
            self.ledger.describe(config_hash, self._identity(run))
        await asyncio.gather(*(self._place(order, shard) for order, shard in self._orders(hashes, runs, episodes)))
        return [[self.rows[config_hash][episode] for episode in episodes] for config_hash in hashes]

    async def begin(self, generation: int, runs: Mapping[str, config.Run], episodes: Sequence[Sequence[int]]) -> None:
        """Starts a generation of trials, by name. The first rung is computed whether they have asked for it or not.

        `episodes` are those that each rung adds.
        """
        self.searched[generation] = runs, episodes
        self.generations[generation] = self._generation(runs, episodes)
        self.generations[generation].begin()

    async def next_rung(self, generation: int, trial: str, rung: int) -> list[Row] | None:
        """All rows of a trial up to the end of a rung; None where the trial was stopped after the rung before.

        Waits until all trials of the generation that are left have asked; for the first rung they need not.
        """
        if not await self.generations[generation].ask(trial, rung):
            return None
        runs, episodes = self.searched[generation]
        rows = self.rows[self.hash_of(runs[trial])]
        return [rows[episode] for past in episodes[: rung + 1] for episode in past]

    async def withdraw(self, generation: int, trial: str) -> None:
        """The trial will ask no more: the others need not wait for it."""
        self.generations[generation].withdraw(trial)

    def hash_of(self, run: config.Run) -> str:
        """The configuration hash of a run on the images and weights of this session."""
        return config.configuration_hash(self._identity(run))

    async def hashes_of(self, runs: Sequence[config.Run]) -> list[str]:
        return [self.hash_of(run) for run in runs]

    def _identity(self, run: config.Run) -> dict[str, Any]:
        found = (self.limits[name] for name in ("dataset_fingerprint", "backbone_fingerprint", "precision"))
        return config.identity(run, *found)

    def _generation(self, runs: Mapping[str, config.Run], episodes: Sequence[Sequence[int]]) -> Generation:
        async def solve(rung: int, going: Sequence[str]) -> None:
            await self.solve([runs[trial] for trial in going], episodes[rung])

        def select(rung: int, left: set[str]) -> set[str]:
            past = [episode for part in episodes[:rung] for episode in part]
            rows = {trial: self.rows[self.hash_of(runs[trial])] for trial in left}
            accuracies = {trial: [rows[trial][episode]["accuracy"] for episode in past] for trial in left}
            return self.halve(rung, accuracies) if self.halve else left

        return Generation(runs, solve, select)

    def _orders(
        self, hashes: Sequence[str], runs: Sequence[config.Run], episodes: Sequence[int]
    ) -> list[tuple[Order, int]]:
        """What the ledger lacks, shard by shard; configurations that lack the same episodes go together."""
        orders = []
        size = self.run.compute.shard
        for shard in sorted({episode // size for episode in episodes}):
            together: dict[tuple[str, int, tuple[int, ...]], dict[str, config.Run]] = {}
            for config_hash, run in zip(hashes, runs, strict=True):
                known = self.rows.get(config_hash, {})
                inside = [episode for episode in episodes if episode // size == shard]
                missing = tuple(episode for episode in inside if episode not in known)
                self.reused += len(inside) - len(missing)
                if missing:
                    drawn = repr(run.episodes.model_copy(update={"count": 0}))
                    together.setdefault((drawn, run.solver.blocks, missing), {})[config_hash] = run
            for (_, _, missing), members in together.items():
                digest = hashlib.sha256(repr((sorted(members), missing)).encode()).hexdigest()[:16]
                orders.append((Order(f"{missing[0]:06d}-{digest}", members, missing), shard))
        return orders

    async def _place(self, order: Order, shard: int) -> None:
        pending = _Pending(order, shard, asyncio.get_running_loop().create_future())
        async with self.arrived:
            self.queue.append(pending)
            self.arrived.notify_all()
        await pending.done

    async def _take(self, slot: int) -> _Pending:
        """The next order for a worker: of a shard whose images it holds, or else the one that has waited longest."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.queue) > 0)
            own = next((pending for pending in self.queue if pending.shard % self.workers == slot), self.queue[0])
            self.queue.remove(own)
            return own

    async def _keep_busy(self, slot: int, worker: Any) -> None:
        """Gives one worker order after order; replaces it when it dies or hangs, and sends its order again."""
        self.alive += 1
        while True:
            pending = await self._take(slot)
            self.first_order, began = self.first_order or time.time(), time.monotonic()
            try:
                rows = await asyncio.wait_for(
                    _as_future(worker.solve.remote(pending.order, pending.attempt)), self.run.compute.order_seconds
                )
                self._remember(rows)
                self.computed += len(rows)
                self.busy += time.monotonic() - began
                pending.done.set_result(None)
            except RayTaskError as error:
                pending.done.set_exception(error.as_instanceof_cause())
            except (RayError, TimeoutError) as error:
                with suppress(Exception):
                    ray.kill(worker)
                worker = self._hire(slot)
                pending.attempt += 1
                if pending.attempt > ATTEMPTS:
                    pending.done.set_exception(
                        RuntimeError(
                            f"episodes {pending.order.episodes} failed {ATTEMPTS} times on "
                            f"{', '.join(pending.order.configurations)}: {error}"
                        )
                    )
                else:
                    async with self.arrived:
                        self.queue.appendleft(pending)
                        self.arrived.notify_all()

    def _hire(self, slot: int) -> Any:
        actor = ray.remote(WorkerProcess).options(num_cpus=WORKER_CPUS, num_gpus=self.gpus)
        return actor.remote(f"worker-{slot}", self.run, self.store, self.home)

    def _remember(self, rows: list[Row]) -> None:
        for row in rows:
            self.rows.setdefault(row["config_hash"], {})[row["episode"]] = row


async def _as_future(reference: Any) -> list[Row]:
    rows: list[Row] = await reference
    return rows
