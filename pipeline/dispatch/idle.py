"""The workers of a pool that have nothing to do, and how orders come to them."""

import asyncio
import time

from pipeline.dispatch.members import Member
from pipeline.dispatch.queues import OrderQueue, Pending


class IdleWorkers:
    """Workers wait here for orders of a queue."""

    def __init__(self, queue: OrderQueue) -> None:
        self.queue = queue
        self.members: dict[str, Member] = {}
        self.matching = False

    async def next_for(self, member: Member) -> Pending | None:
        """Returns the next order for a worker, None where it is to end."""
        member.idle_since = time.monotonic()
        member.wakes = asyncio.get_running_loop().create_future()
        self.members[member.name] = member
        self.match_soon()
        return await member.wakes

    def match_soon(self) -> None:
        """Matches orders once all that was placed together is there, so that they find who holds their images."""
        if not self.matching:
            self.matching = True
            asyncio.get_running_loop().call_soon(self._match)

    def let_go(self, before: float) -> None:
        """Lets workers go that have had no order since before a time."""
        for member in list(self.members.values()):
            if member.idle_since < before:
                member.leaves = "it had nothing to do"
                self._wake(member, None)

    def _match(self) -> None:
        self.matching = False
        for take in (self.queue.take_own, self.queue.take_any):
            if not self.queue:
                return
            for member in list(self.members.values()):
                if (pending := take(member.name)) is not None:
                    self._wake(member, pending)

    def _wake(self, member: Member, pending: Pending | None) -> None:
        del self.members[member.name]
        assert member.wakes is not None
        member.wakes.set_result(pending)
