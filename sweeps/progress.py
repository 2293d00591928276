"""What a sweep shows while it runs: a live line on a terminal, plain lines elsewhere. All on standard error."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from rich.console import Console
from rich.live import Live

PLAIN_SECONDS = 15.0
LIVE_SECONDS = 0.5


class Progress:
    """Problems done of those planned. `note` says what goes on; other parts of the program set it."""

    def __init__(self, planned: int) -> None:
        self.planned, self.note = planned, ""
        self._base: tuple[int, float] | None = None

    def line(self, status: dict[str, Any]) -> str:
        """One line: problems, episodes a second, workers, time left, note."""
        done = status["computed"] + status["reused"]
        now = time.monotonic()
        if self._base is None and status["computed"] > 0:
            self._base = (status["computed"], now)
        speed = 0.0
        if self._base is not None and now - self._base[1] > 1:
            speed = (status["computed"] - self._base[0]) / (now - self._base[1])
        left = f"{_clock((self.planned - done) / speed)} left" if speed > 0 else "time left not known yet"
        percent = min(100, 100 * done / self.planned)
        parts = [
            f"{percent:3.0f} %",
            f"{done} of {self.planned} episodes",
            f"{speed:.1f}/s" if speed else "-/s",
            f"{status['workers']} workers",
            left,
        ]
        if status.get("complaint"):
            parts.append(f"a worker could not be started: {status['complaint']}")
        return " · ".join([*parts, self.note] if self.note else parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"


@contextmanager
def shown(progress: Progress, dispatcher: Any) -> Iterator[None]:
    """Keeps the display up to date from a thread until the block ends."""
    console = Console(stderr=True)
    ended = threading.Event()

    def status() -> dict[str, Any]:
        answer: dict[str, Any] = ray.get(dispatcher.status.remote())
        return answer

    def plain() -> None:
        while not ended.wait(PLAIN_SECONDS):
            print(progress.line(status()), file=sys.stderr, flush=True)

    def live() -> None:
        with Live(console=console, auto_refresh=False) as display:
            while not ended.wait(LIVE_SECONDS):
                display.update(progress.line(status()), refresh=True)

    thread = _guarded(live if console.is_terminal else plain)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(ray.exceptions.RayError):
            print(progress.line(status()), file=sys.stderr, flush=True)


def _guarded(show: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        try:
            show()
        except ray.exceptions.RayError:
            return  # the dispatcher is gone; the command itself says why

    return threading.Thread(target=run, daemon=True)
