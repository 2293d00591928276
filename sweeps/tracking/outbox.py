"""Calls to a server that may be away: kept in order, tried again until it is back, by one thread."""

import threading
import time
from collections import deque
from collections.abc import Callable

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds before each try again; the last one from then on

Call = Callable[[], None]


class Outbox:
    """An outbox makes calls one after another. `is_transient` tells a server that is away from a mistake.

    `forget` is called before a call is tried again: whether the call that failed was carried out is not known.
    """

    def __init__(
        self, is_transient: Callable[[Exception], bool], forget: Call, pauses: tuple[float, ...] = PAUSES
    ) -> None:
        self.is_transient, self.forget, self.pauses = is_transient, forget, pauses
        self.calls: deque[Call] = deque()
        self.changed = threading.Condition()
        self.mistake: Exception | None = None
        self.away_since: float | None = None  # by time.monotonic()
        self.closed = False
        self.thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Returns how many calls are not made yet, that which is being made included."""
        return len(self.calls)

    def put(self, call: Call) -> None:
        """Has a call made after all that were put before. Then raises the mistake of one of those, if there was any."""
        with self.changed:
            assert not self.closed, "put() comes before close()"
            self.calls.append(call)
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, name="outbox", daemon=True)
                self.thread.start()
            self.changed.notify_all()
            self._raise_mistake()

    def flush(self, seconds: float) -> int:
        """Waits until all calls are made, but no longer than that. Returns how many are not.

        Raises the mistake of one of them instead, if there was any.
        """
        with self.changed:
            self.changed.wait_for(lambda: not self.calls or self.closed, seconds)
            self._raise_mistake()
            return len(self.calls)

    def close(self) -> None:
        """Makes no further call, whatever waits; one that is being made comes to its end."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        if self.thread is not None:
            self.thread.join()

    def _raise_mistake(self) -> None:
        mistake, self.mistake = self.mistake, None
        if mistake is not None:
            raise mistake

    def _work(self) -> None:
        tries = 0
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.calls or self.closed)
                if self.closed:
                    return
                call = self.calls[0]
            error = _attempt(call)
            if error is not None and self.is_transient(error):
                self._pause(tries)
                tries += 1
            else:
                self._done(error)
                tries = 0

    def _pause(self, tries: int) -> None:
        with self.changed:
            if self.away_since is None:
                self.away_since = time.monotonic()
            self.changed.wait_for(lambda: self.closed, self.pauses[min(tries, len(self.pauses) - 1)])
        self.forget()

    def _done(self, mistake: Exception | None) -> None:
        with self.changed:
            self.away_since = None
            self.mistake = self.mistake or mistake  # the first one: others may only follow from it
            self.calls.popleft()
            self.changed.notify_all()


def _attempt(call: Call) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None
