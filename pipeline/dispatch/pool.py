"""The pool of workers: hired where orders wait, let go where none do, replaced when they die or hang.

It knows nothing of Ray but the errors that its workers' calls end with: `hire` makes a worker.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from fpt.failures import Failure, failure_of
from pipeline.dispatch.actors import Staffing
from pipeline.dispatch.health import NodeHealth
from pipeline.dispatch.hours import Hours
from pipeline.dispatch.idle import IdleWorkers
from pipeline.dispatch.members import (
    BarredNodeError,
    DifferentWorkerError,
    Entrance,
    Member,
    Sent,
    answer,
    card_of,
    cause_of,
    first_line,
)
from pipeline.dispatch.queues import STRIKES, OrderQueue, Pending
from pipeline.events import tell, warn
from pipeline.identity import Found
from pipeline.orders import Solved, WorkOrder
from pipeline.storage.folder import NoRoomError

LOG = logging.getLogger(__name__)
# An order has this many times what the slowest problem so far would have taken, and at least so many seconds.
TIMES_THE_SLOWEST = 20
LEAST_ORDER_SECONDS = 60.0
# A worker is sent an order ahead while so many wait for each worker: what it has in hand no other can take.
WAITING_EACH = 2
TICK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


class Pool:
    """A pool keeps workers: `hire` makes one by its name, `dismiss` ends it, busy or not; `node_lives` tells of a node.

    `found` is what the first worker finds when it opens, or what an earlier pool of the session has found: who finds
    something else is refused. `room_beside` tells whether other nodes than some could have workers.
    """

    def __init__(
        self,
        hire: Callable[[str], Any],
        dismiss: Callable[[Any], None],
        staffing: Staffing,
        node_lives: Callable[[str], bool] = lambda node: True,
        found: Found | None = None,
        room_beside: Callable[[Collection[str]], bool] = lambda nodes: False,
    ) -> None:
        self.hire, self.dismiss, self.staffing, self.node_lives = hire, dismiss, staffing, node_lives
        self.room_beside, self.health, self.hours = room_beside, NodeHealth(), Hours()
        self.queue = OrderQueue()
        self.members: dict[str, Member] = {}
        self.idle = IdleWorkers(self.queue)
        self.entrance = Entrance(found, self.health.barred)
        self.found = self.entrance.found
        self.vacancy = asyncio.Event()
        self.named = 0  # workers so far
        self.false_starts = 0  # workers in a row that did not open
        self.pause_until = 0.0
        self.complaint: str | None = None
        self.refused = 0  # workers that found something else
        self.to_replace: deque[str] = deque()  # workers that died or hung
        self.last_asked = time.monotonic()
        self.closed = False
        self.opened = self.hours.opened
        self.manager = asyncio.create_task(self._manage())

    @property
    def alive(self) -> int:
        """Returns how many workers have opened and not ended."""
        return len(self.opened)

    async def submit(self, order: WorkOrder, shard: Any) -> Solved:
        """Returns the rows of an order, which are in the ledger already.

        An order that has taken three workers with it is tried episode by episode; an episode that does so alone is
        lost. Raises what a worker raises about it.
        """
        solved = await self._place(Pending(order, shard, asyncio.get_running_loop().create_future()))
        if not solved.lost or len(order.episodes) == 1:
            return solved
        alone = await asyncio.gather(*(self.submit(order.of_episode(episode), shard) for episode in order.episodes))
        return Solved(
            [row for part in alone for row in part.rows], tuple(episode for part in alone for episode in part.lost)
        )

    async def close(self) -> None:
        """Ends all workers."""
        self.closed = True  # wait_for may swallow a cancellation that comes with what it waits for
        tasks = [self.manager, *(member.task for member in self.members.values() if member.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _place(self, pending: Pending) -> Solved:
        self.queue.put(pending)
        self.last_asked = time.monotonic()
        self.idle.match_soon()
        return await pending.done

    async def _manage(self) -> None:
        """Keeps as many workers as there is work for."""
        self._hire_up_to(min(self.staffing.most(), self.staffing.at_once))
        while not self.closed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.vacancy.wait(), TICK_SECONDS)
            self.vacancy.clear()
            needed = self.hours.busy + len(self.queue) if self.found.done() else 1
            if needed > len(self.members) and time.monotonic() >= self.pause_until:
                self._hire_up_to(min(self.staffing.most(), needed))
            self._let_go()
            self._give_up_where_no_node_is_left()

    def _hire_up_to(self, wanted: int) -> None:
        while len(self.members) < wanted:
            name, self.named = f"worker-{self.named}", self.named + 1
            tell(LOG, "hired", worker=name)
            if self.to_replace:
                tell(LOG, "replaced", worker=self.to_replace.popleft(), by=name)
            member = self.members[name] = Member(name, self.hire(name))
            member.task = asyncio.create_task(self._employ(member))

    def _let_go(self) -> None:
        """Lets workers go that have waited too long for an order, or for a place while nobody waits for them."""
        before = time.monotonic() - self.staffing.idle_seconds
        self.idle.let_go(before)
        if self.found.done() and not self.queue and self.last_asked < before:
            self._dismiss_unplaced("there was no room for it, and nothing to do")

    async def _employ(self, member: Member) -> None:
        """Goes with a worker from its opening, from order to order, to its end."""
        try:
            began = time.monotonic()
            found = await self.entrance.admit(member, self.staffing.order_seconds)
            self._has_opened(member, found, time.monotonic() - began)
            while not self.closed and (sent := await self._next(member)) is not None:
                if not await self._work(member, sent):
                    break
        except RayTaskError as error:
            self._did_not_open(member, cause_of(error))
        except BarredNodeError as error:
            member.leaves = first_line(error)
            self.pause_until = time.monotonic() + TICK_SECONDS
        except DifferentWorkerError as error:
            self.refused += 1
            self._did_not_open(member, error, "refused")
        except ValueError as error:  # no worker could open, as the first has said by now
            self._did_not_open(member, error)
        except (RayError, TimeoutError) as error:
            self._did_not_open(member, RuntimeError(f"a worker ended while it was starting: {first_line(error)}"))
        finally:
            del self.members[member.name]
            self.idle.members.pop(member.name, None)
            if member.ahead is not None:
                self._struck(member.ahead.pending, blamed=False)
            self.hours.goes(member.name)
            self.queue.forget(member.name)
            self.idle.match_soon()
            self.vacancy.set()
            self._say("dismissed", member, why=member.leaves)
            with suppress(Exception):
                self.dismiss(member.handle)

    def _has_opened(self, member: Member, found: Found, seconds: float) -> None:
        self.false_starts, self.complaint = 0, None
        self.opened[member.name] = time.monotonic()
        self._say("opened", member, device=found.device, seconds=round(seconds, 3))

    def _say(self, event: str, member: Member, **facts: Any) -> None:
        tell(LOG, event, worker=member.name, **member.where, **facts)

    async def _next(self, member: Member) -> Sent | None:
        if (sent := member.ahead) is not None:
            member.ahead = None
            return sent
        pending = await self.idle.next_for(member)
        return None if pending is None else self._send(member, pending)

    def _send(self, member: Member, pending: Pending) -> Sent:
        return Sent(pending, member.handle.solve.remote(pending.order, pending.attempt, pending.smaller))

    async def _work(self, member: Member, sent: Sent) -> bool:
        """Has an order solved, and the next one sent ahead. Returns False where the worker is of no more use."""
        pending, order = sent.pending, sent.pending.order
        asked = {"order": order.name, "problems": order.problems, "configurations": sorted(order.configurations)}
        self._say("ordered", member, **asked, attempt=pending.attempt)
        began = member.began = self.hours.begins()
        if len(self.queue) > WAITING_EACH * len(self.members):
            following = self.queue.take_own(member.name) or self.queue.take_any(member.name)
            member.ahead = self._send(member, following) if following else None
        try:
            rows = await asyncio.wait_for(answer(sent.answer), self._patience(order))
        except RayTaskError as error:
            cause = cause_of(error)
            if failure := failure_of(cause):
                self._device_failed(member, pending, failure, cause)
                return False
            self._declined(pending, cause, member)
            return True
        except OutOfMemoryError:
            self._died(member, pending, "its node ran out of memory")
            self._struck(pending, smaller=True)
            return False
        except (RayError, TimeoutError) as error:
            lives = self.node_lives(member.node)
            hung = f"no answer after {self._patience(order):.0f} s" if isinstance(error, TimeoutError) else ""
            self._died(member, pending, hung or (first_line(error) if lives else "its node is gone"))
            self._struck(pending, blamed=lives)
            return False
        except asyncio.CancelledError:
            pending.done.cancel()
            if member.ahead is not None:
                member.ahead.pending.done.cancel()
                member.ahead = None
            raise
        finally:
            seconds = self.hours.ends(began)
        self.hours.answered(seconds, len(rows))
        self.health.answered(member.node)
        self._say("answered", member, order=order.name, problems=len(rows), seconds=round(seconds, 3))
        if not pending.done.done():
            pending.done.set_result(Solved(rows))
        return True

    def _patience(self, order: WorkOrder) -> float:
        """Returns the seconds that a worker may take for an order before it is held to hang."""
        if not self.hours.slowest:
            return self.staffing.order_seconds
        usual = TIMES_THE_SLOWEST * self.hours.slowest * order.problems
        return min(self.staffing.order_seconds, max(LEAST_ORDER_SECONDS, usual))

    def _struck(self, pending: Pending, blamed: bool = True, smaller: bool = False) -> None:
        self.queue.again(pending, blamed, smaller)
        self.idle.match_soon()

    def _died(self, member: Member, pending: Pending, why: str) -> None:
        order, attempt = pending.order.name, pending.attempt
        lost = round(time.monotonic() - member.began, 3)
        warn(LOG, "died", worker=member.name, **member.where, order=order, attempt=attempt, seconds=lost, why=why)
        self.to_replace.append(member.name)
        member.leaves = "it died"

    def _device_failed(self, member: Member, pending: Pending, failure: Failure, error: Exception) -> None:
        """Ends a worker whose device has failed it, before it draws more orders, and strikes its node. Others try the
        order again, in smaller stacks where memory ran out; a card gives an order one strike, however often it fails.
        """
        blamed = pending.fails_anew(card_of(error, member.node)) or failure == "smaller"
        self._died(member, pending, first_line(error))
        member.leaves = "its device has failed"
        self._strike_node(member, failure, error)
        if failure == "smaller" and pending.strikes + 1 == STRIKES:
            pending.done.set_exception(error)
        else:
            self._struck(pending, blamed, smaller=failure == "smaller")

    def _strike_node(self, member: Member, failure: Failure, error: Exception) -> bool:
        """Returns whether a node gets no more workers from now on. Those that have no place yet are asked for anew."""
        if failure == "smaller":
            self.pause_until = time.monotonic() + TICK_SECONDS  # who has taken the memory may give it back
        barred = self.health.failed(member, failure, error)
        if barred:
            self._dismiss_unplaced("it might be placed on a node that breaks workers")
        return barred

    def _dismiss_unplaced(self, why: str) -> None:
        for member in self.members.values():
            if member.place is None and member.task:
                member.leaves = why
                member.task.cancel()

    def _give_up_where_no_node_is_left(self) -> None:
        """Fails what waits where every node breaks workers."""
        error, staffed = self.health.said, any(member.place for member in self.members.values())
        if error is None or staffed or not self.health.barred or self.room_beside(self.health.barred):
            return
        if not self.found.done():
            self.found.set_exception(error)
        self.queue.fail_all(error)

    def _declined(self, pending: Pending, error: Exception, member: Member) -> None:
        """Tries an order again that failed on a disk or network, which may do better next time; a mistake ends it."""
        again = isinstance(error, OSError) and not isinstance(error, NoRoomError) and pending.attempt < STRIKES
        note = warn if again else tell  # the command itself says what ends it
        facts = {"order": pending.order.name, "attempt": pending.attempt, "why": first_line(error)}
        note(LOG, "declined an order", worker=member.name, **member.where, **facts)
        self.queue.later(pending) if again else pending.done.set_exception(error)
        self.idle.match_soon()

    def _did_not_open(self, member: Member, error: Exception, event: str = "did not open") -> None:
        """Lets others try to open: a node may lack what the others have. Where none does, all that waits fails."""
        warn(LOG, event, worker=member.name, **member.where, why=first_line(error))
        member.leaves = f"it {event if event.startswith('did') else 'was ' + event}"
        self.false_starts += 1
        self.complaint = first_line(error)
        self.pause_until = time.monotonic() + min(LONGEST_PAUSE_SECONDS, 2.0 ** (self.false_starts - 1))
        failure = failure_of(error)
        if failure and self._strike_node(member, failure, error) and self.room_beside(self.health.barred):
            self.false_starts = 0
            return
        opening = any(other.place and other is not member for other in self.members.values())
        if opening or (self.false_starts < STRIKES and not isinstance(error, ValueError)):
            return
        if not self.found.done():
            self.found.set_exception(error)
        self.queue.fail_all(error)
