"""The hours of a pool's workers: how long they were there, and how long at work."""

import time
from dataclasses import dataclass, field


@dataclass
class Hours:
    """Hours are counted for all workers together. `opened` holds since when each worker that is there has been, by
    time.monotonic; the first order went out at `first_order`, by the clock. Of `worked_seconds`, `busy_seconds` went
    into orders that have an answer.
    """

    opened: dict[str, float] = field(default_factory=dict)
    busy: int = 0  # workers at work now
    busy_seconds: float = 0.0
    worked_seconds: float = 0.0
    slowest: float = 0.0  # seconds of the slowest problem
    first_order: float | None = None
    _began: float | None = None
    _staffed_before: float = 0.0  # seconds of those that have gone

    @property
    def lost_seconds(self) -> float:
        """Returns how long workers were at orders that came to nothing."""
        return self.worked_seconds - self.busy_seconds

    @property
    def staffed_seconds(self) -> float:
        """Returns how long workers have been there since the first order."""
        return self._staffed_before + sum(map(self._staffed, self.opened.values()))

    def goes(self, worker: str) -> None:
        """Notes that a worker is there no longer, if it was."""
        self._staffed_before += self._staffed(self.opened.pop(worker, time.monotonic()))

    def begins(self) -> float:
        """Notes that a worker begins with an order, and returns when that was."""
        began = time.monotonic()
        if self._began is None:
            self._began, self.first_order = began, time.time()
        self.busy += 1
        return began

    def ends(self, began: float) -> float:
        """Notes that a worker is done with an order that it began then, and returns the seconds that it took."""
        seconds = time.monotonic() - began
        self.busy -= 1
        self.worked_seconds += seconds
        return seconds

    def answered(self, seconds: float, problems: int) -> None:
        """Notes that an order of so many problems has its answer, after so many seconds."""
        self.busy_seconds += seconds
        self.slowest = max(self.slowest, seconds / max(1, problems))

    def _staffed(self, since: float) -> float:
        return 0.0 if self._began is None else time.monotonic() - max(since, self._began)
