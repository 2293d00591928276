"""How the devices of nodes are: what they have done to workers, and which nodes get no more of them."""

import logging
from collections import Counter

from fpt.failures import Failure
from pipeline.dispatch.members import Member, first_line
from pipeline.events import warn

LOG = logging.getLogger(__name__)
STRIKES = 3  # workers that a node may break


class NodeHealth:
    """A node that has broken three workers gets no more of them; a card that torch does not fit has done so at once.
    Want of memory, which a neighbour may cause for a while, is forgotten with the next answer from the node.
    """

    def __init__(self) -> None:
        self.broken: Counter[str] = Counter()
        self.cramped: Counter[str] = Counter()
        self.barred: set[str] = set()
        self.said: Exception | None = None  # what failed last

    def failed(self, member: Member, failure: Failure, error: Exception) -> bool:
        """Notes that a device has failed a worker. Returns whether its node gets no more workers from now on."""
        self.said, node = error, member.node
        of_its_kind = self.cramped if failure == "smaller" else self.broken
        of_its_kind[node] += STRIKES if failure == "fatal" else 1
        if of_its_kind[node] < STRIKES or node in self.barred:
            return False
        self.barred.add(node)
        warn(LOG, "node barred", **member.where, why=f"it has broken {STRIKES} workers: {first_line(error)}")
        return True

    def answered(self, node: str) -> None:
        """Notes that a worker of a node has answered."""
        self.cramped.pop(node, None)
