"""Questions to a scheduler that may be away for a while, as when it is restarted."""

import time
from collections.abc import Callable
from typing import TypeVar

TRIES = 150

Answer = TypeVar("Answer")


def patiently(ask: Callable[[], Answer], whom: str, say: Callable[[str], None], pause: float) -> Answer:
    """Returns what is answered, though it be after a while: it is asked TRIES times, `pause` seconds apart. Raises
    RuntimeError where there is no answer by then.
    """
    for tried in range(TRIES):
        try:
            return ask()
        except ValueError as error:
            last = error
        if tried == 0:
            say(f"fpt: {whom} does not answer; trying again (Ctrl-C leaves the job running)")
        time.sleep(pause)
    raise RuntimeError(f"{whom} does not answer any more, and the job may go on there: {last}") from last
