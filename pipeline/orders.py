"""What dispatcher and workers pass to each other, and nothing that computes: trials never load torch."""

from dataclasses import dataclass

from pipeline.backbones import BackboneName
from pipeline.config import Run
from pipeline.identity import Found
from pipeline.storage.ledger import Row


@dataclass(frozen=True)
class Context:
    """A context is what every question carries, so that a dispatcher that was started again knows what its session
    knew: what was `found` when it opened, and where its `story` is written (a folder's URI, and a file in it), once
    that is known.
    """

    found: Found
    story: tuple[str, str] | None = None


@dataclass(frozen=True)
class WorkOrder:
    """An order holds configurations to try on the same episodes, in stacks. All share dataset,
    backbone and episodes.
    """

    name: str
    configurations: dict[str, Run]  # by configuration hash
    episodes: tuple[int, ...]

    @property
    def backbone(self) -> BackboneName:
        """Returns the backbone that all configurations share."""
        return next(iter(self.configurations.values())).backbone

    @property
    def problems(self) -> int:
        return len(self.configurations) * len(self.episodes)

    def of_episode(self, episode: int) -> "WorkOrder":
        """Returns the part of the order that is about one episode."""
        return WorkOrder(f"{self.name}-{episode}", self.configurations, (episode,))


@dataclass(frozen=True)
class Solved:
    """This is what became of an order: its rows, and `lost`, the episodes of it that took every worker with them."""

    rows: list[Row]
    lost: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """A place is where a worker is: the node's id in the cluster, and its host's name."""

    node: str
    host: str
