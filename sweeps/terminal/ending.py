"""How a command ends when it is told to, by SIGINT (Ctrl-C) or SIGTERM (what every scheduler sends): both the same.

The first raises Interrupted in the main thread, so that every `with` on the way out ends what it began; a second ends
the process and all that it has started at once.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.cluster.processes import end_at_once

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The command was told to end, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number

    @property
    def status(self) -> int:
        """Returns the exit status that shells and schedulers know: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


@contextmanager
def ending_well() -> Iterator[None]:
    """Has signals end the block as the module says; in a thread other than the main one they are left as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: int | None = None

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if told is not None:
            end_at_once(128 + number)
        told = number
        raise Interrupted(number)

    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    except KeyboardInterrupt as error:
        # Ray, while it waits for an answer, makes a plain one of whatever a signal's handler has raised.
        if told is not None and type(error) is KeyboardInterrupt:
            raise Interrupted(told) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
