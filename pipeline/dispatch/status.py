"""How the work of a session stands."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """A status says how the work of a session stands. `computed` counts the problems that were computed, `reused` those
    that were in the ledger, `waiting` the orders that wait. Of the workers `wanted`, `workers` are alive; `refused`
    counts those that found something else. Since the start there were `seconds`; workers were at work for
    `busy_seconds`, at what came to nothing for `lost_seconds`, and there for `staffed_seconds`, all together. The first
    order was sent at `first_order`, by the clock. `lost` names episodes, `complaint` is why a worker could not be
    started, where that was so last, and `restarted` whether this dispatcher took the place of one that died. `warnings`
    are the last of those that `warned` counts.
    """

    computed: int = 0
    reused: int = 0
    waiting: int = 0
    workers: int = 0
    wanted: int = 0
    refused: int = 0
    seconds: float = 0.0
    busy_seconds: float = 0.0
    lost_seconds: float = 0.0
    staffed_seconds: float = 0.0
    first_order: float | None = None
    lost: tuple[str, ...] = ()
    complaint: str | None = None
    restarted: bool = False
    warned: int = 0
    warnings: tuple[str, ...] = ()
