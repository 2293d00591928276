"""Which order a worker gets next: what is warm with it, then what is warm with nobody, then another's."""

import asyncio
import logging
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from pipeline.events import tell, warn
from pipeline.orders import Solved, WorkOrder

LOG = logging.getLogger(__name__)
STRIKES = 3  # workers that an order may take with it


@dataclass(eq=False)
class Pending:
    """An order is pending until its rows are in the ledger. `shard` says which images and features it needs, `strikes`
    how many workers it has taken with it, `smaller` how many times its stack is halved before it is tried again, and
    `failed_by` which cards have failed over it.
    """

    order: WorkOrder
    shard: Hashable
    done: asyncio.Future[Solved]
    attempt: int = 1
    strikes: int = 0
    smaller: int = 0
    failed_by: set[str] = field(default_factory=set)

    def fails_anew(self, card: str) -> bool:
        """Notes that a card has failed over it, and returns whether that is so for the first time."""
        first = card not in self.failed_by
        self.failed_by.add(card)
        return first


class OrderQueue:
    """A queue holds orders that wait, each behind the worker that holds its shard's images and features. Every step
    takes constant time, but for stealing, which looks at all workers.
    """

    def __init__(self) -> None:
        self.holder: dict[Hashable, str] = {}
        self.own: dict[str, deque[Pending]] = {}
        self.nobodys: deque[Pending] = deque()
        self.length = 0

    def __len__(self) -> int:
        return self.length

    def put(self, order: Pending, first: bool = False) -> None:
        """Adds an order; `first` puts it before all others that wait for the same worker."""
        holder = self.holder.get(order.shard)
        line = self.nobodys if holder is None else self.own.setdefault(holder, deque())
        line.appendleft(order) if first else line.append(order)
        self.length += 1

    def take_own(self, worker: str) -> Pending | None:
        """Returns the oldest order for what this worker holds, None where there is none."""
        return self._taken(self.own.get(worker), worker)

    def take_any(self, worker: str) -> Pending | None:
        """Returns the oldest order that is nobody's, or else the newest order of the worker that
        has the most waiting.
        """
        if self.nobodys:
            return self._taken(self.nobodys, worker)
        return self._taken(max(self.own.values(), key=len, default=None), worker, last=True)

    def forget(self, worker: str) -> None:
        """Forgets a worker that is gone, and what it held. The orders that waited for it come first now."""
        self.nobodys.extendleft(reversed(self.own.pop(worker, deque())))
        self.holder = {shard: holder for shard, holder in self.holder.items() if holder != worker}

    def again(self, order: Pending, blamed: bool = True, smaller: bool = False) -> None:
        """Has an order tried again, before all others, as its worker died, hung or failed; `blamed` is the order unless
        that is told otherwise. One that has three strikes is given up.

        After want of memory, and for a last try, its stacks are smaller: a system short of memory kills without a word.
        They are not so at once, for a stack of another size may change the last bits.
        """
        order.attempt += 1
        order.strikes += blamed
        order.smaller += smaller or (blamed and order.strikes == STRIKES - 1)
        tell(LOG, "struck", order=order.order.name, strikes=order.strikes, smaller=order.smaller)
        if order.strikes < STRIKES:
            self.put(order, first=True)
        else:
            warn(LOG, "order given up", order=order.order.name, why=f"it has taken {STRIKES} workers with it")
            order.done.set_result(Solved([], order.order.episodes))

    def later(self, order: Pending) -> None:
        """Has an order tried again, after all others."""
        order.attempt += 1
        self.put(order)

    def fail_all(self, error: Exception) -> None:
        """Fails all orders that wait."""
        while (order := self.take_any("nobody")) is not None:
            order.done.set_exception(error)

    def _taken(self, line: deque[Pending] | None, worker: str, last: bool = False) -> Pending | None:
        if not line:
            return None
        order = line.pop() if last else line.popleft()
        self.length -= 1
        self.holder[order.shard] = worker
        return order
