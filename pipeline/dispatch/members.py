"""Workers of a pool, one by one: where each is, what it has in hand, and how it opens."""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayTaskError

from fpt.failures import DeviceFailedError
from pipeline.dispatch.queues import Pending
from pipeline.identity import Found
from pipeline.orders import Place


class DifferentWorkerError(RuntimeError):
    """A worker has images, weights or a precision that are not those of its session."""


class BarredNodeError(RuntimeError):
    """A worker is on a node that breaks workers."""


@dataclass(frozen=True)
class Sent:
    pending: Pending
    answer: Any


@dataclass(eq=False)
class Member:
    name: str
    handle: Any
    task: "asyncio.Task[None] | None" = None
    ahead: Sent | None = None  # what it begins as soon as it has done what it is at
    place: Place | None = None
    wakes: "asyncio.Future[Pending | None] | None" = None  # the next order, or None to end
    idle_since: float = 0.0
    began: float = 0.0  # when it was sent what it is at
    leaves: str = "the session ends"  # why it is dismissed

    @property
    def node(self) -> str:
        """Returns the id of its node, which has none before the worker has a place."""
        return self.place.node if self.place else ""

    @property
    def where(self) -> dict[str, str]:
        """Returns the worker's node and host, as events name them."""
        return {"node": self.place.node, "host": self.place.host} if self.place else {}


class Entrance:
    """Workers open at an entrance. The first tells what all others must find: until that is known,
    they open in turn. Who is on a node that is `barred` does not open.
    """

    def __init__(self, found: Found | None, barred: Collection[str] = ()) -> None:
        self.barred = barred
        self.found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        if found is not None:
            self.found.set_result(found)
        self.in_turn = asyncio.Lock()

    def narrow(self, found: Found, opened: Iterable[Member]) -> None:
        """Has workers that have opened let go of all backbones but those that `found` is of, and those to come load no
        others.
        """
        self.found = asyncio.get_running_loop().create_future()
        self.found.set_result(found)
        for member in opened:
            member.handle.keep.remote(found)

    async def admit(self, member: Member, patience: float) -> Found:
        """Has a worker load and open, within `patience` seconds for each, once there is room for it. Returns what it
        found.

        Raises DifferentWorkerError where it finds other images, weights or another precision than the first, and
        BarredNodeError where its node has broken others.
        """
        member.place = await answer(member.handle.place.remote())
        if member.node in self.barred:
            raise BarredNodeError(f"{member.place.host} breaks workers")
        await asyncio.wait_for(answer(member.handle.load.remote()), patience)
        if not self.found.done():
            async with self.in_turn:
                if not self.found.done():
                    found: Found = await asyncio.wait_for(answer(member.handle.open.remote(None)), patience)
                    if not self.found.done():
                        self.found.set_result(found)
                    return found
        expected = self.found.result()
        found = await asyncio.wait_for(answer(member.handle.open.remote(expected)), patience)
        if differences := expected.differences(found):
            said = ", ".join(f"{name} {theirs!r}, not {ours!r}" for name, (ours, theirs) in differences.items())
            raise DifferentWorkerError(f"it has {said}, so its results would not be those of this session")
        return found


async def answer(reference: Any) -> Any:
    """Waits for what a call of an actor returns, and returns that."""
    return await reference


def cause_of(error: RayTaskError) -> Exception:
    """Returns what the worker itself raised, without Ray's account of where."""
    cause = error.cause
    if isinstance(cause, Exception):
        return cause
    said = str(error).strip().splitlines()  # its traceback, whose last line is what was raised
    return RuntimeError(said[-1] if said else type(error).__name__)


def card_of(error: Exception, node: str) -> str:
    """Returns which card a failure is of, as far as that is known: a node's, at least."""
    return f"{error.card} on {node}" if isinstance(error, DeviceFailedError) else node


def first_line(error: BaseException) -> str:
    """Returns the first line of what an error says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
