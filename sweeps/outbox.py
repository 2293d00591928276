"""Calls to a server that may be away: kept in order, tried again until it is back, by one thread."""

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import chain, repeat

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds before each try again; the last one from then on

Call = Callable[[], None]


class Outbox:
    """Calls that are made one after another. `is_transient` tells a server that is away from a mistake.

    `forget` is called before a call is tried again: whether the one that failed was carried out is not known.
    """

    def __init__(
        self, is_transient: Callable[[Exception], bool], forget: Call, pauses: tuple[float, ...] = PAUSES
    ) -> None:
        self.is_transient, self.forget, self.pauses = is_transient, forget, pauses
        self.calls: deque[Call] = deque()
        self.changed = threading.Condition()
        self.mistake: Exception | None = None
        self.away_since: float | None = None  # by time.monotonic()
        self.closed = threading.Event()
        self.thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Calls not made yet."""
        return len(self.calls)

    def put(self, call: Call) -> None:
        """Has a call made after all that were put before. Raises the mistake of an earlier one, if there was any."""
        with self.changed:
            self._raise_mistake()
            self.calls.append(call)
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, daemon=True)
                self.thread.start()
            self.changed.notify_all()

    def flush(self, seconds: float) -> int:
        """Waits until all calls are made, but no longer than that. Returns how many are not.

        Raises the mistake of one of them, if there was any.
        """
        with self.changed:
            self.changed.wait_for(lambda: not self.calls or self.mistake is not None, seconds)
            self._raise_mistake()
            return len(self.calls)

    def close(self) -> None:
        """Makes no further call; what waits is dropped."""
        with self.changed:
            self.closed.set()
            self.changed.notify_all()
        if self.thread is not None:
            self.thread.join()

    def _raise_mistake(self) -> None:
        mistake, self.mistake = self.mistake, None
        if mistake is not None:
            raise mistake

    def _work(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.calls or self.closed.is_set())
            if self.closed.is_set():
                return
            try:
                self._make(self.calls[0])
            except Exception as mistake:
                self.mistake = mistake
            with self.changed:
                self.calls.popleft()
                self.changed.notify_all()

    def _make(self, call: Call) -> None:
        """Makes a call until it is carried out, or turns out to be a mistake."""
        for pause in chain(self.pauses, repeat(self.pauses[-1])):
            try:
                call()
                self.away_since = None
                return
            except Exception as error:
                if not self.is_transient(error):
                    raise
            self.away_since = self.away_since or time.monotonic()
            if self.closed.wait(pause):
                return
            self.forget()
