"""What a sweep shows while it runs: some live lines on a terminal, plain lines elsewhere. All on standard error."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.dispatch.status import Status
from pipeline.session import DispatcherGoneError, Session
from sweeps.statistics.estimates import Estimate
from sweeps.terminal.messages import say
from sweeps.terminal.spans import about, clock

PLAIN_SECONDS = 15.0
LIVE_SECONDS = 0.5
DISPATCHER_SECONDS = 30.0  # to answer: it may be starting again
WIDEST_BAR = 40
SEARCH = "search"


@dataclass(frozen=True)
class Trials:
    """The trials of a search are counted here: how many `looks` of those `planned` there were, at how many `settings`;
    how many are `racing`, have `raced`, and of these were `stopped`. `spared` are problems that were planned and are
    not any more, as a race has stopped who should have solved them; it is None where what is planned is what will be
    solved.
    """

    looks: int
    planned: int
    settings: int
    racing: int = 0
    raced: int = 0
    stopped: int = 0
    spared: int | None = None

    def __str__(self) -> str:
        if self.racing or self.raced:
            return f"{self.racing} of {self.racing + self.raced} race, {self.stopped} were stopped"
        return f"{self.looks} of {self.planned} looks, at {self.settings} settings"


@dataclass(frozen=True)
class Best:
    """This is the setting that is best so far: by the model after so many looks, which are the estimate's episodes, or
    by the race.
    """

    setting: str
    estimate: Estimate

    def __str__(self) -> str:
        return f"{self.estimate} % on {self.estimate.episodes} validation episodes"


class Speed:
    """Speed is problems a second over the last `WINDOW` seconds, and since `ENOUGH` ends of orders at least: what
    happened before, like warming up, says little about what comes, and a burst at the start even less.
    """

    WINDOW, ENOUGH = 60.0, 3

    def __init__(self) -> None:
        self.seen: deque[tuple[float, int]] = deque()  # when, and how many there were from then on

    def at(self, now: float, computed: int, begun: bool) -> float | None:
        """Takes note of how many are computed, once orders have `begun`. Returns the speed, None where it cannot be
        told yet.
        """
        if self.seen and computed < self.seen[-1][1]:
            self.seen.clear()  # the dispatcher was started again, and counts from nothing
        if begun and (not self.seen or computed > self.seen[-1][1]):
            self.seen.append((now, computed))
        while len(self.seen) > self.ENOUGH + 1 and self.seen[1][0] <= now - self.WINDOW:
            self.seen.popleft()
        if len(self.seen) <= self.ENOUGH:
            return None
        began, before = self.seen[0]
        return (computed - before) / max(1.0, now - began)


@dataclass(frozen=True)
class Facts:
    """These facts are a moment of a sweep, in words. `trials` and `best` are empty where there is no search."""

    phase: str
    share: float
    episodes: str
    left: str
    trials: str
    best: str
    setting: str
    notices: tuple[str, ...]


class Progress:
    """Progress is problems done of those planned. `note` says what goes on; other parts of the program set it.
    `away_since` tells when MLflow was first found not to answer (by time.monotonic()), None where it does. `foreseen`
    says how long all of it may take, empty where nothing told so beforehand.
    """

    def __init__(self, planned: int) -> None:
        self.planned, self.note, self.foreseen = planned, "", ""
        self.away_since: Callable[[], float | None] = lambda: None
        self.speed = Speed()
        self.trials: Trials | None = None
        self.best: Best | None = None

    def searching(self, trials: Trials, best: Best | None) -> None:
        """Sets how the search is, which is shown until `note` is set to something else."""
        self.note, self.trials, self.best = SEARCH, trials, best

    def finish(self) -> None:
        """Notes that all is done that had to be. It may be less than was planned, where settings turned out to be the
        same.
        """
        self.planned, self.trials = 0, None

    def facts(self, status: Status) -> Facts:
        """Returns what there is to say now, by the dispatcher's status."""
        searched = self.trials if self.note == SEARCH else None
        done, now = status.computed + status.reused, time.monotonic()
        planned = max(1, self.planned - (searched.spared or 0 if searched else 0), done)
        begun = status.computed > 0 or status.first_order is not None
        speed = self.speed.at(now, status.computed, begun)
        workers, wanted = status.workers, status.wanted
        left = f"{self.foreseen} in all" if self.foreseen else "time left not known yet"
        if done >= planned:
            left = ""
        elif speed:
            most = "up to " if searched and searched.spared is not None else ""
            left = f"{most}{clock((planned - done) / speed)} left"
        elif status.computed and status.busy_seconds and workers:
            each = status.busy_seconds / status.computed
            left = f"{about(each * (planned - done) / workers)} left, by the first orders"
        alive = f"{workers} of {wanted} workers" if wanted > workers else f"{workers} workers"
        return Facts(
            phase=self.note or ("episodes" if done or workers else "starting workers"),
            share=done / planned,
            episodes=f"{done} of {planned} episodes · {f'{speed:.1f}' if speed else '-'}/s · {alive}",
            left=left,
            trials=str(searched) if searched else "",
            best=f"{'best so far' if searched else 'best of the search'} {self.best}" if self.best else "",
            setting=self.best.setting if self.best else "",
            notices=self._notices(status, now),
        )

    def line(self, status: Status) -> str:
        """Returns all of that in one line, for where there is no terminal."""
        now = self.facts(status)
        best = f"{now.best} ({now.setting})" if now.best and now.trials else ""
        phase = f"trials: {now.trials}" if now.trials else self.note
        parts = [f"{_percent(now.share)} %", now.episodes, now.left, *now.notices, phase, best]
        return " · ".join(part for part in parts if part)

    def _notices(self, status: Status, now: float) -> tuple[str, ...]:
        notices = []
        if (since := self.away_since()) is not None:
            notices.append(f"MLflow has not answered for {clock(now - since)}; what it has missed it is told later")
        if status.complaint:
            notices.append(f"a worker could not be started: {status.complaint}")
        if status.lost:
            notices.append(f"left out, as each worker that tried them died: {len(status.lost)} episodes")
        return tuple(notices)


def frame(now: Facts, width: int) -> RenderableType:
    """Returns a few lines for a terminal, each cut off where it is too long, but for what is wrong."""
    told = f"{_percent(now.share)} %  {now.left}"
    bar = Table.grid(padding=(0, 2, 0, 0))
    room = max(4, min(WIDEST_BAR, width - len(told) - 2))
    bar.add_row(ProgressBar(1.0, min(1.0, now.share), room, complete_style="cyan"), _row(told))
    rows: list[RenderableType] = [_row(now.phase, "bold"), bar, _row(now.episodes)]
    rows += [_row(f"trials: {now.trials}")] if now.trials else []
    rows += [_row(now.best), _row(f"  {now.setting}", "dim")] if now.best else []
    return Group(*rows, *(Text(notice, "yellow") for notice in now.notices))


def _row(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _percent(share: float) -> str:
    return f"{min(100, int(100 * share)):3d}"


@contextmanager
def shown(progress: Progress, session: Session) -> Iterator[None]:
    """Keeps the display up to date from a thread until the block ends."""
    console = Console(stderr=True)
    ended = threading.Event()

    warned = 0

    def status() -> Status:
        """Returns the dispatcher's status, and prints what workers have been warned of since the last time."""
        nonlocal warned
        now = session.status(DISPATCHER_SECONDS)
        new = min(now.warned - warned, len(now.warnings))
        for line in now.warnings[len(now.warnings) - new :] if new > 0 else ():
            say(f"fpt: {line}")
        warned = now.warned
        return now

    def plain() -> None:
        while not ended.wait(PLAIN_SECONDS):
            with suppress(TimeoutError):
                say(progress.line(status()))

    def live() -> None:
        # Standard output is the command's own; what others write on standard error goes above the display.
        with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty()) as display:
            before: Any = None
            while not ended.wait(LIVE_SECONDS):
                with suppress(TimeoutError):
                    now = progress.facts(status()), console.width
                    if now != before:  # what is drawn anew for nothing flickers
                        display.update(frame(*now), refresh=True)
                    before = now

    thread = _guarded(live if is_live(console) else plain)
    thread.start()
    try:
        yield
        progress.finish()
    finally:
        ended.set()
        thread.join()
        with suppress(DispatcherGoneError, TimeoutError):
            say(progress.line(status()))


def is_live(console: Console) -> bool:
    """Returns whether lines can be drawn over: not in a file, whatever FORCE_COLOR says, nor on a terminal that is
    dumb.
    """
    return sys.stderr.isatty() and console.is_terminal and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def _guarded(show: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        try:
            show()
        except DispatcherGoneError:
            return  # the dispatcher is gone; the command itself says why

    return threading.Thread(target=run, daemon=True)
