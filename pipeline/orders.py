"""What dispatcher and workers pass to each other, and nothing that computes: trials never load torch."""

from dataclasses import dataclass

from pipeline.config import Run
from pipeline.identity import Found
from pipeline.storage.ledger import Row


@dataclass(frozen=True)
class Context:
    """What every question carries, so that a dispatcher that was started again knows what its session knew: what was
    `found` when it opened, and where its `story` is written (a folder's URI, and a file in it), once that is known.
    """

    found: Found
    story: tuple[str, str] | None = None


@dataclass(frozen=True)
class WorkOrder:
    """Configurations to try on the same episodes, in stacks. All share dataset, backbone and episodes."""

    name: str
    configurations: dict[str, Run]  # by configuration hash
    episodes: tuple[int, ...]

    @property
    def problems(self) -> int:
        return len(self.configurations) * len(self.episodes)

    def of_episode(self, episode: int) -> "WorkOrder":
        """Returns the part of the order that is about one episode."""
        return WorkOrder(f"{self.name}-{episode}", self.configurations, (episode,))


@dataclass(frozen=True)
class Solved:
    """Rows of an order; `lost` are the episodes of it that took every worker with them."""

    rows: list[Row]
    lost: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a worker is: the node's id in the cluster, and its host's name."""

    node: str
    host: str
