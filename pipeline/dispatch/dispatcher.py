"""The dispatcher: one Ray actor that turns what trials ask for into orders, and has a pool of workers solve them.

Which problems share an order follows from what was asked (generation, rung, shard), never from timing or the number of
workers, so that a rerun computes the same bits. Each question carries all that it takes to answer it, and what was
computed is in the ledger: a dispatcher that died is started again by Ray, and knows at the next question what it knew.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray

from pipeline import config
from pipeline.data.store import PackedImages
from pipeline.dispatch.actors import Wanted, dismiss, hire, node_lives, staffing
from pipeline.dispatch.generations import Generation
from pipeline.dispatch.pool import Pool
from pipeline.orders import Order, WorkerProcess
from pipeline.storage.ledger import KnownRows, Ledger, Row
from pipeline.workers.node_sampler import Watch

# Which trials go on after a rung: by their accuracies, and the incumbent's on the same episodes, where there is one.
Halve = Callable[[int, dict[str, list[float | None]], list[float] | None], set[str]]


@dataclass(frozen=True)
class GenerationOf:
    """A generation of trials: its number, each trial's run by name, the episodes that each rung adds, and the best run
    of the generations before, which has done all of them.
    """

    number: int
    runs: Mapping[str, config.Run]
    episodes: Sequence[Sequence[int]]
    incumbent: config.Run | None = None


class Dispatcher:
    """Made into an actor by session.py. `halve` says which trials of a generation go on, by their accuracies."""

    def __init__(
        self,
        run: config.Run,
        images: PackedImages,
        ledger: str,
        wanted: Wanted,
        halve: Halve | None,
        worker: type = WorkerProcess,
    ) -> None:
        self.run, self.images, self.wanted, self.halve, self.worker = run, images, wanted, halve, worker
        self.ledger = Ledger(ledger)
        self.ledger.compact()
        self.known = KnownRows(self.ledger.read())
        self.generations: dict[int, Generation] = {}
        self.pool: Pool | None = None
        self.limits: dict[str, Any] = {}
        self.opening = asyncio.Lock()
        self.watch = Watch()
        self.computed, self.reused, self.started = 0, 0, time.monotonic()
        self.lost: dict[tuple[str, int], str] = {}  # (what is drawn, episode): its name

    async def start(self) -> dict[str, Any]:
        """Starts the workers, once. Returns the limits that only a loaded backbone and its images can tell."""
        async with self.opening:
            if self.pool is None:
                making = partial(hire, self.worker, self.wanted, self.run, self.images, self.ledger.folder.uri)
                self.pool = Pool(making, dismiss, staffing(self.wanted, self.run.compute), node_lives)
            if not self.limits:
                self.limits = await asyncio.shield(self.pool.limits)
                # That of all workers, on whatever device.
                self.run = config.with_precision(self.run, self.limits["precision"])
        return self.limits

    async def status(self) -> dict[str, Any]:
        """Problems computed and found in the ledger, orders waiting, workers alive and wanted, seconds since the start,
        those that workers were at work and there (all together), when the first order was sent, by the clock, episodes
        that were lost, by name, why a worker could not be started, where that was so last, and whether this dispatcher
        took the place of one that died.
        """
        pool = self.pool
        return {
            "computed": self.computed,
            "reused": self.reused,
            "waiting": len(pool.queue) if pool else 0,
            "workers": pool.alive if pool else 0,
            "wanted": self.wanted.now,
            "seconds": time.monotonic() - self.started,
            "busy_seconds": pool.busy_seconds if pool else 0.0,
            "staffed_seconds": pool.staffed_seconds if pool else 0.0,
            "first_order": pool.first_order if pool else None,
            "lost": sorted(self.lost.values()),
            "complaint": pool.complaint if pool else None,
            "restarted": ray.is_initialized() and ray.get_runtime_context().was_current_actor_reconstructed,
        }

    async def vitals(self) -> dict[str, dict[str, float]]:
        """How the nodes are that have workers, by node id: what each has said since the last time, if anything."""
        members = self.pool.members if self.pool else {}
        # Of each node the worker that has been there longest.
        return await self.watch.ask({one.node: one.handle for one in reversed(members.values()) if one.node})

    async def solve(self, runs: Sequence[config.Run], episodes: Sequence[int]) -> list[list[Row]]:
        """Rows of each run on each episode: what the ledger lacks is computed, all runs of a shard in one order.

        Episodes that were lost are left out for all runs.
        """
        await self.start()
        hashes = [self.hash_of(run) for run in runs]
        for config_hash, run in zip(hashes, runs, strict=True):
            self.ledger.describe(config_hash, self._identity(run))
        orders = self._orders(hashes, runs, episodes)
        await asyncio.gather(*(self._solve(order, drawn, shard) for order, drawn, shard in orders))
        there = self._there(runs, episodes)
        return [[self.known.of(config_hash)[episode] for episode in there] for config_hash in hashes]

    async def begin(self, generation: GenerationOf) -> None:
        """Starts a generation of trials: its first rung is computed whether they have asked for it or not."""
        await self.start()
        if generation.number not in self.generations:
            self.generations[generation.number] = self._generation(generation)
            self.generations[generation.number].begin()

    async def next_rung(self, generation: GenerationOf, trial: str, rung: int) -> list[Row] | None:
        """All rows of a trial up to the end of a rung; None where the trial was stopped after the rung before.

        Waits until all trials of the generation that are left have asked; for the first rung they need not.
        """
        await self.begin(generation)
        if not await self.generations[generation.number].ask(trial, rung):
            return None
        run = generation.runs[trial]
        rows = self.known.of(self.hash_of(run))
        past = [episode for part in generation.episodes[: rung + 1] for episode in part]
        return [rows[episode] for episode in self._there([run], past)]

    async def accuracies(self, asked: Sequence[tuple[config.Run, int]]) -> list[list[float]]:
        """Of each run on so many of the first episodes, which it must have done; those lost to any are left out."""
        await self.start()
        there = self._there([run for run, _ in asked], range(max(count for _, count in asked)))
        found = []
        for run, count in asked:
            rows = self.known.of(self.hash_of(run))
            found.append([rows[episode]["accuracy"] for episode in there if episode < count])
        return found

    def hash_of(self, run: config.Run) -> str:
        """The configuration hash of a run on the images and weights of this session."""
        return config.configuration_hash(self._identity(run))

    async def hashes_of(self, runs: Sequence[config.Run]) -> list[str]:
        await self.start()
        return [self.hash_of(run) for run in runs]

    def _identity(self, run: config.Run) -> dict[str, Any]:
        return config.identity(run, *(self.limits[name] for name in config.FOUND))

    def _generation(self, asked: GenerationOf) -> Generation:
        async def solve(rung: int, going: Sequence[str]) -> None:
            await self.solve([asked.runs[trial] for trial in going], asked.episodes[rung])

        def select(rung: int, left: set[str]) -> set[str]:
            if self.halve is None:
                return left
            past = [episode for part in asked.episodes[:rung] for episode in part]
            there = self._there(list(asked.runs.values()), past)

            def of(run: config.Run) -> list[float | None]:
                rows = self.known.of(self.hash_of(run))
                return [rows[episode]["accuracy"] for episode in there]

            incumbent = [value for value in of(asked.incumbent) if value is not None] if asked.incumbent else None
            return self.halve(rung, {trial: of(asked.runs[trial]) for trial in left}, incumbent)

        return Generation(asked.runs, solve, select)

    def _orders(
        self, hashes: Sequence[str], runs: Sequence[config.Run], episodes: Sequence[int]
    ) -> list[tuple[Order, str, int]]:
        """What the ledger lacks, shard by shard; configurations that lack the same episodes go together.

        With each order what is drawn in it, and the shard.
        """
        orders = []
        drawn_by = [_drawn(run) for run in runs]
        shards: dict[int, list[int]] = {}
        for episode in sorted(set(episodes)):
            shards.setdefault(episode // self.run.compute.shard, []).append(episode)
        for shard, inside in shards.items():
            together: dict[tuple[str, int, tuple[int, ...]], dict[str, config.Run]] = {}
            for config_hash, run, drawn in zip(hashes, runs, drawn_by, strict=True):
                known = self.known.of(config_hash)
                missing = tuple(e for e in inside if e not in known and (drawn, e) not in self.lost)
                self.reused += len(inside) - len(missing)
                if missing:
                    together.setdefault((drawn, run.solver.blocks, missing), {})[config_hash] = run
            for (drawn, _, missing), members in together.items():
                names, most = sorted(members), self.run.compute.settings or len(members)
                for first in range(0, len(names), most):
                    part = names[first : first + most]
                    digest = hashlib.sha256(repr((part, missing)).encode()).hexdigest()[:16]
                    order = Order(f"{missing[0]:06d}-{digest}", {name: members[name] for name in part}, missing)
                    orders.append((order, drawn, shard))
        return orders

    async def _solve(self, order: Order, drawn: str, shard: int) -> None:
        assert self.pool is not None, "start() comes first"
        solved = await self.pool.submit(order, (drawn, shard))
        self.known.add(solved.rows)
        self.computed += len(solved.rows)
        wanted = next(iter(order.configurations.values())).episodes
        for episode in solved.lost:
            self.lost[drawn, episode] = (
                f"episode {episode} of {wanted.split} ({wanted.way}-way {wanted.shot}-shot, seed {wanted.seed})"
            )

    def _there(self, runs: Sequence[config.Run], episodes: Sequence[int]) -> list[int]:
        """The episodes that no run has lost."""
        all_drawn = {_drawn(run) for run in runs} if self.lost else set()
        return [episode for episode in episodes if not any((drawn, episode) in self.lost for drawn in all_drawn)]


def _drawn(run: config.Run) -> str:
    """What decides which images an episode holds."""
    return repr(run.episodes.model_copy(update={"count": 0}))
