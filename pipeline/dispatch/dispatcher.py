"""The dispatcher: one Ray actor that turns what trials ask for into orders, and has a pool of workers solve them.

Which problems share an order follows from what was asked (generation, rung, shard), never from timing or the number of
workers, so that a rerun computes the same bits. Each question carries all that it takes to answer it, and what was
computed is in the ledger: a dispatcher that died is started again by Ray, and knows at the next question what it knew.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ray

from pipeline.backbones import BackboneName
from pipeline.config import Run
from pipeline.data.store import PackedImages
from pipeline.dispatch.actors import Wanted, dismiss, hire, node_lives, room_beside, staffing
from pipeline.dispatch.cutting import cut, parts
from pipeline.dispatch.generations import Generation, GenerationSpec, StoppingRule
from pipeline.dispatch.node_watch import NodeWatch
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.status import Status
from pipeline.events import OPENED, Story, tell, warn
from pipeline.identity import Found, hash_of, identity, with_precision
from pipeline.orders import Context, WorkOrder
from pipeline.storage.folder import Folder
from pipeline.storage.ledger import KnownRows, Ledger, Row
from pipeline.storage.masking import masked
from pipeline.workers.process import WorkerProcess

LOG = logging.getLogger(__name__)
PROGRESS_SECONDS = 30.0  # between events that say how far the work is
Problem = tuple[str, int]  # configuration hash, episode


class Dispatcher:
    """A dispatcher is made into an actor by opening.py, and asked through session.py. `stopping` says which trials of a
    generation go on; a question becomes as many orders as there are shards, and at least `parallel` where it can. A
    dispatcher that was started again learns from the context of the next question what kind of workers to hire.
    `images` are those of each backbone that workers hold.
    """

    def __init__(
        self,
        run: Run,
        images: Mapping[BackboneName, PackedImages],
        ledger: str,
        wanted: Wanted,
        stopping: StoppingRule | None,
        worker: type = WorkerProcess,
        parallel: int = 1,
    ) -> None:
        self.run, self.images, self.wanted, self.stopping, self.worker = run, images, wanted, stopping, worker
        self.parallel = parallel
        self.story = Story()
        parent = logging.getLogger("pipeline")
        parent.setLevel(logging.INFO)
        parent.addHandler(self.story)
        self.ledger = Ledger(ledger)
        self.ledger.compact()
        self.known = KnownRows(self.ledger.read())
        self.generations: dict[int, Generation] = {}
        self.pool: Pool | None = None
        self.found: Found | None = None
        self.opening = asyncio.Lock()
        self.watch = NodeWatch()
        self.computed, self.reused, self.started = 0, 0, time.monotonic()
        self.in_flight: dict[Problem, asyncio.Task[None]] = {}
        self.lost: dict[Problem, str] = {}  # (what is drawn, episode): its name
        self.heart: asyncio.Task[None] | None = None

    async def start(self, context: Context | None = None) -> Found:
        """Starts the workers, once. Returns what the first of them found, or what was found according to `context`."""
        if context and context.story:
            uri, name = context.story
            self.story.write_to(Folder(uri), name)
        async with self.opening:
            if self.pool is None:
                if self._restarted():
                    warn(LOG, "dispatcher restarted", why="the process of the one before died; the ledger has its rows")
                else:
                    tell(LOG, OPENED)
                found = context.found if context else None
                self._leave_out(found)
                beside = partial(room_beside, self.wanted)
                own = staffing(self.wanted, self.run.compute)
                self.pool = Pool(self._hire, dismiss, own, node_lives, found, beside)
                self.heart = asyncio.create_task(self._beat())
            if self.found is None:
                self.found = await asyncio.shield(self.pool.found)
                self.run = with_precision(self.run, self.found.precision)  # that of all workers, on whatever device
        return self.found

    def _leave_out(self, found: Found | None) -> None:
        """Leaves out the images of backbones that are not needed any more."""
        if found is not None and found.each:
            self.images = {backbone: self.images[backbone] for backbone in found.each}

    async def narrow(self, context: Context) -> None:
        """Has workers hold no other backbones than those of the context from now on."""
        await self.start(context)
        if self.pool is not None and self.images.keys() != context.found.each.keys():
            self.found = context.found
            self._leave_out(context.found)
            self.pool.entrance.narrow(context.found, [self.pool.members[name] for name in self.pool.opened])

    async def note(self, context: Context, event: str, facts: Mapping[str, object]) -> None:
        """Adds an event of the command itself to the story."""
        await self.start(context)
        tell(LOG, event, **facts)

    async def keep(self, context: Context) -> int:
        """Writes again what the ledger has lost of what was asked for, and returns how many rows that are."""
        await self.start(context)
        if rows := await asyncio.to_thread(self.known.keep, self.ledger):
            warn(LOG, "rows written again", rows=rows, why="a file of the ledger was damaged or removed")
        return rows

    async def close(self) -> None:
        """Ends all workers and the story. What is in the ledger by then stays."""
        if self.heart is not None:
            self.heart.cancel()
        if self.pool is not None:
            await self.pool.close()
            self._tell_progress()
        logging.getLogger("pipeline").removeHandler(self.story)
        self.story.close()

    async def status(self) -> Status:
        """Returns how the work stands now."""
        pool = self.pool
        return Status(
            computed=self.computed,
            reused=self.reused,
            waiting=len(pool.queue) if pool else 0,
            workers=pool.alive if pool else 0,
            wanted=self.wanted.now,
            refused=pool.refused if pool else 0,
            seconds=time.monotonic() - self.started,
            busy_seconds=pool.hours.busy_seconds if pool else 0.0,
            lost_seconds=pool.hours.lost_seconds if pool else 0.0,
            staffed_seconds=pool.hours.staffed_seconds if pool else 0.0,
            first_order=pool.hours.first_order if pool else None,
            lost=tuple(sorted(self.lost.values())),
            complaint=masked(pool.complaint) if pool else None,
            restarted=self._restarted(),
            warned=self.story.warned,
            warnings=tuple(self.story.warnings),
        )

    async def node_metrics(self) -> dict[str, dict[str, float]]:
        """Returns what each node that has workers has said of itself since the last time, if anything, by node id."""
        members = self.pool.members if self.pool else {}
        # Of each node the worker that has been there longest.
        handles = {member.place.node: member.handle for member in reversed(members.values()) if member.place}
        return await self.watch.ask(handles)

    async def solve(self, context: Context, runs: Sequence[Run], episodes: Sequence[int]) -> list[list[Row]]:
        """Returns the rows of each run on each episode. What the ledger lacks is computed, all runs of a shard in one
        order; what another question has asked for already is waited for.

        Episodes that were lost are left out for all runs.
        """
        await self.start(context)
        hashes = [_hash(run, context) for run in runs]
        for config_hash, run in zip(hashes, runs, strict=True):
            self.ledger.describe(config_hash, identity(run, context.found.of(run.backbone).inputs))
        asked = {(own, episode) for own in hashes for episode in episodes if episode not in self.known.of(own)}
        shared = asked & self.in_flight.keys()
        work = {self.in_flight[problem] for problem in shared}
        work |= {self._begin(order, drawn, shard) for order, drawn, shard in self._orders(hashes, runs, episodes)}
        if work:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_EXCEPTION)  # others may wait for the rest
            for task in done:
                task.result()
        self.reused += len(shared)
        there = self._there(runs, episodes)
        return [self._rows(context, run, there) for run in runs]

    async def begin(self, context: Context, spec: GenerationSpec) -> None:
        """Starts a generation of trials, whether they have asked for anything or not."""
        await self.start(context)
        if spec.number not in self.generations:
            self.generations[spec.number] = self._generation(context, spec)
            tell(LOG, "generation begun", generation=spec.number, trials=sorted(spec.runs))

    async def next_rung(
        self, context: Context, spec: GenerationSpec, trials: Sequence[str], rung: int
    ) -> list[list[Row] | None]:
        """Returns all rows of each trial up to the end of a rung; None where it was stopped after the rung before."""
        await self.start(context)
        await self.begin(context, spec)
        generation = self.generations[spec.number]
        going = await asyncio.gather(*(generation.ask(trial, rung) for trial in trials))
        past = [episode for part in spec.episodes[: rung + 1] for episode in part]
        asked = [spec.runs[trial] if goes_on else None for trial, goes_on in zip(trials, going, strict=True)]
        return [self._rows(context, run, self._there([run], past)) if run is not None else None for run in asked]

    async def accuracies(self, context: Context, asked: Sequence[tuple[Run, int]]) -> list[list[float | None]]:
        """Returns the accuracies of each run on as many of the first episodes as are asked for, all of which it must
        have done; episodes that any run has lost are left out.
        """
        await self.start(context)
        there = self._there([run for run, _ in asked], range(max((count for _, count in asked), default=0)))
        return [
            [row["accuracy"] for row in self._rows(context, run, [one for one in there if one < count])]
            for run, count in asked
        ]

    def _rows(self, context: Context, run: Run, episodes: Sequence[int]) -> list[Row]:
        rows = self.known.of(_hash(run, context))
        return [rows[episode] for episode in episodes]

    def _hire(self, name: str) -> Any:
        """Returns the handle of a new worker, which is placed on a node that breaks none."""
        assert self.pool is not None
        wanted = replace(self.wanted, barred=frozenset(self.pool.health.barred))
        return hire(self.worker, wanted, self.run, self.images, self.ledger.folder.uri, name)

    def _generation(self, context: Context, spec: GenerationSpec) -> Generation:
        async def solve(rung: int, going: Sequence[str]) -> None:
            await self.solve(context, [spec.runs[trial] for trial in going], spec.episodes[rung])

        def select(rung: int, left: set[str]) -> set[str]:
            if self.stopping is None:
                return left
            past = [episode for part in spec.episodes[:rung] for episode in part]
            there = self._there(list(spec.runs.values()), past)
            rows = {trial: self._rows(context, spec.runs[trial], there) for trial in left}
            going = self.stopping(rung, {trial: [row["accuracy"] for row in own] for trial, own in rows.items()})
            if stopped := sorted(left - going):
                tell(LOG, "trials stopped", generation=spec.number, rung=rung, trials=stopped)
            return going

        return Generation(spec.runs, len(spec.episodes), solve, select)

    def _orders(
        self, hashes: Sequence[str], runs: Sequence[Run], episodes: Sequence[int]
    ) -> list[tuple[WorkOrder, str, int]]:
        """Returns orders for what the ledger lacks and nobody computes yet, shard by shard; configurations that lack
        the same episodes go together. Where these are fewer than `parallel`, shards are cut into fewer episodes, and
        then orders into fewer configurations. Each order comes with what is drawn in it, and with its shard.
        """
        orders = []
        drawn_by = [_drawn(run) for run in runs]
        pieces, part_of = cut(sorted(set(episodes)), sorted(set(hashes)), self.run.compute.shard, self.parallel)
        for shard, inside in pieces:
            together: dict[tuple[str, BackboneName, int, tuple[int, ...]], dict[str, Run]] = {}
            for config_hash, run, drawn in zip(hashes, runs, drawn_by, strict=True):
                known = self.known.of(config_hash)
                lacking = [e for e in inside if e not in known and (drawn, e) not in self.lost]
                self.reused += len(inside) - len(lacking)
                missing = tuple(e for e in lacking if (config_hash, e) not in self.in_flight)
                if missing:
                    alike = (drawn, run.backbone, run.solver.adapted, missing)
                    together.setdefault(alike, {})[config_hash] = run
            for (drawn, _, _, missing), members in together.items():
                for part in parts(sorted(members), part_of, self.run.compute.settings):
                    digest = hashlib.sha256(repr((part, missing)).encode()).hexdigest()[:16]
                    order = WorkOrder(f"{missing[0]:06d}-{digest}", {name: members[name] for name in part}, missing)
                    orders.append((order, drawn, shard))
        return orders

    def _begin(self, order: WorkOrder, drawn: str, shard: int) -> asyncio.Task[None]:
        """Returns the task of having an order solved, which whoever asks for one of its problems waits for."""
        task = asyncio.create_task(self._solve(order, drawn, shard))
        keys = [(config_hash, episode) for config_hash in order.configurations for episode in order.episodes]
        self.in_flight |= dict.fromkeys(keys, task)

        def landed(task: asyncio.Task[None]) -> None:
            for key in keys:
                del self.in_flight[key]
            if not task.cancelled():
                task.exception()  # it is looked at, should nobody wait for it any more

        task.add_done_callback(landed)
        return task

    async def _solve(self, order: WorkOrder, drawn: str, shard: int) -> None:
        assert self.pool is not None, "start() comes first"
        solved = await self.pool.submit(order, (drawn, order.backbone, shard))
        self.known.add(solved.rows)
        self.computed += len(solved.rows)
        wanted = next(iter(order.configurations.values())).episodes
        for episode in solved.lost:
            name = f"episode {episode} of {wanted.split} ({wanted.way}-way {wanted.shot}-shot, seed {wanted.seed})"
            self.lost[drawn, episode] = name
            warn(LOG, "episode lost", episode=episode, why=f"every worker that tried {name} died")

    async def _beat(self) -> None:
        """Says now and then how far the work is, and thereby that the session lives."""
        while True:
            self._tell_progress()
            await asyncio.sleep(PROGRESS_SECONDS)

    def _tell_progress(self) -> None:
        workers = self.pool.alive if self.pool else 0
        tell(LOG, "progress", computed=self.computed, reused=self.reused, workers=workers)

    def _there(self, runs: Sequence[Run], episodes: Sequence[int]) -> list[int]:
        """Returns the episodes that no run has lost."""
        all_drawn = {_drawn(run) for run in runs} if self.lost else set()
        return [episode for episode in episodes if not any((drawn, episode) in self.lost for drawn in all_drawn)]

    def _restarted(self) -> bool:
        return ray.is_initialized() and bool(ray.get_runtime_context().was_current_actor_reconstructed)


def _hash(run: Run, context: Context) -> str:
    return hash_of(run, context.found.of(run.backbone).inputs)


def _drawn(run: Run) -> str:
    """Returns what decides which images an episode holds."""
    return repr(run.episodes.model_copy(update={"count": 0}))
