"""Whether a cluster's head node still answers, and Ray's process on this machine is there. Ray itself is silent for up
to a minute, and then ends the command with a trace of C++, or without a word; here that is said within seconds, and the
command ends in its own way before.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.cluster.addresses import Answer, ask
from pipeline.cluster.processes import end_at_once
from pipeline.cluster.raylet import ENDED, raylet_here

EVERY_SECONDS, SAY_SECONDS = 2.0, 6.0  # between questions, and without an answer, after which that is said
PATIENCE_SECONDS = 40.0  # that a head may be away: it may be starting again, and Ray gives up after 60
ENDING_SECONDS = (
    20.0  # that the command may take to end, as Ray's own calls wait for the head, for MLflow to hear of it
)
SIGNAL = signal.SIGUSR2
GONE = "what was computed is kept, and the same command goes on where this one stopped"


class RayGoneError(KeyboardInterrupt):
    """Ray is gone, here or at its head node, which has been said, so that the command has to end: like an interrupt, it
    passes by whoever would take it for a failure of one trial.
    """


@contextmanager
def head_watched(
    head: str | None,
    own: bool,
    shutdown: Callable[[], None],
    asked: Callable[[str, float], Answer] = ask,
    here: Callable[[], Callable[[], bool]] = raylet_here,
    every: float = EVERY_SECONDS,
    say_after: float = SAY_SECONDS,
) -> Iterator[None]:
    """Watches the head node at `head` while the block runs, and then calls `shutdown`. RayGoneError is raised in the
    block where the head does not answer for too long: seconds where it is this command's `own`, which does not come
    back; and where the raylet of this machine is not `here` any more.

    Only the main thread can be told; in another, and without a head, the block runs unwatched.
    """
    if head is None or threading.current_thread() is not threading.main_thread():
        try:
            yield
        finally:
            shutdown()
        return
    watch = _Watch(head, own, here(), asked, every, say_after)

    def gone(number: int, frame: FrameType | None) -> None:
        raise RayGoneError(watch.said)

    before = signal.signal(SIGNAL, gone)
    watch.thread.start()
    try:
        yield
    except KeyboardInterrupt as error:
        # Ray, while it waits for an answer, makes a plain one of whatever a signal's handler has raised.
        if watch.said and type(error) is KeyboardInterrupt:
            raise RayGoneError(watch.said) from error
        raise
    finally:
        watch.closing.set()
        shutdown()
        watch.over.set()
        signal.signal(SIGNAL, before)


class _Watch:
    """A watch asks a head again and again until the command is `closing`, and knows when its Ray is `over`."""

    def __init__(
        self,
        head: str,
        own: bool,
        raylet: Callable[[], bool],
        asked: Callable[[str, float], Answer],
        every: float,
        say_after: float,
    ) -> None:
        self.head, self.own, self.raylet = head, own, raylet
        self.asked, self.every, self.say_after = asked, every, say_after
        self.closing, self.over, self.said = threading.Event(), threading.Event(), ""
        self.thread = threading.Thread(target=self._work, name="head watch", daemon=True)

    def _work(self) -> None:
        heard, told = time.monotonic(), False
        while not self.closing.wait(self.every):
            if not self.raylet():
                self._end(f"{ENDED}; {GONE}")
                return
            answer = self.asked(self.head, self.every)
            away = time.monotonic() - heard
            # A machine that is busy, or a head that is stopped, answers late; what refuses is not there.
            patience = self.say_after if self.own and not answer.silent else PATIENCE_SECONDS
            if answer.said is None:
                if told:
                    _say(f"Ray's head node at {self.head} answers again")
                heard, told = time.monotonic(), False
            elif away >= patience:
                self._end(f"Ray's head node at {self.head} {answer.said}; {GONE}")
                return
            elif away >= self.say_after and not told:
                told = True
                _say(f"Ray's head node at {self.head} {answer.said}; waiting for it, {PATIENCE_SECONDS:.0f} s at most")

    def _end(self, why: str) -> None:
        """Says why the command ends and has it end, and ends it where it cannot end itself."""
        if self.closing.is_set():
            return
        self.said = why
        _say(why)
        signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
        if not self.over.wait(ENDING_SECONDS):
            end_at_once(1)


def _say(what: str) -> None:
    print(f"fpt: {what}", file=sys.stderr, flush=True)
