"""How long a sweep will take, about, by how long sweeps of its kind took in the same home. Nothing is computed."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import plain_run
from pipeline.events import BEGAN, ENDED, FILE, FINISHED, Event, events_in
from pipeline.identity import configuration_hash
from pipeline.storage.folder import Home
from sweeps.lookup.finished import SWEEPS
from sweeps.schema.sweep import Sweep

LOOK_SECONDS = 0.5  # after which no further story is read
NO_MATTER = frozenset({"lambda", "alpha", "contrast", "tau", "patches", "lr"})  # to how long an episode takes
SCALE = 4  # times as large, or as small, another sweep may be: parts of a sweep are not equally fast


@dataclass(frozen=True)
class Foreseen:
    """These are the seconds that a sweep is foreseen to take, from `least` to `most`, for as many `problems` as it has
    yet to do, on so many `workers`. `sweeps` of its kind tell so; where there are 0, it is the sweep's own beginning.
    """

    least: float
    most: float
    problems: int
    workers: int
    sweeps: int

    @property
    def source(self) -> str:
        """Returns what tells so."""
        if not self.sweeps:
            return "what it has taken so far"
        return f"what {'another' if self.sweeps == 1 else self.sweeps} of its kind took in this home"


def kind_of(sweep: Sweep, device: str) -> str:
    """Returns twelve digits that sweeps share whose episodes take as long: of the same size, on the same backbone and
    kind of device, with the same solver, and with the same choices of these.
    """
    run = plain_run(sweep).model_dump(by_alias=True, mode="json")
    described = {
        "device": device,
        "threads": run["compute"]["threads_per_worker"],
        "episodes": {name: run["episodes"][name] for name in ("way", "shot", "query")},
        **{name: run.get(name) for name in ("backbone", "backbones")},
        **{
            part: {name: of for name, of in run[part].items() if name not in NO_MATTER}
            for part in ("solver", "prompts")
        },
    }
    if sweep.search is not None:
        space = sweep.search.model_dump(by_alias=True, mode="json")["space"]
        described["space"] = {name: entry for name, entry in space.items() if name not in NO_MATTER}
    return configuration_hash(described)


def foreseen(home: Home, identity: str, kind: str, planned: int, workers: int) -> Foreseen | None:
    """Returns how long a sweep of so many planned problems is going to take; None where nothing tells, or nothing is
    left to do. Stories are read where they lie on a disk, the newest first, as far as there is time.
    """
    if home.here is None or not workers:
        return None
    until, folder = time.monotonic() + LOOK_SECONDS, home.here / SWEEPS
    own = _latest(folder / identity / FILE, kind)
    left = planned - _done(own)
    paces = [pace] if (pace := _pace(own, planned)) else []
    sweeps = 0
    if not paces:
        others = [file for file in folder.glob(f"*/{FILE}") if file.parent.name != identity]
        for file in sorted(others, key=os.path.getmtime, reverse=True):
            if time.monotonic() < until and (pace := _pace(_latest(file, kind), planned)):
                paces.append(pace)
        sweeps = len(paces)
    if not paces or left <= 0:
        return None
    least, most = (pace * left / workers for pace in (min(paces), max(paces)))
    return Foreseen(least, most, left, workers, sweeps)


def _latest(file: Path, kind: str) -> list[Event]:
    """Returns the events of a sweep since it was last begun; none where it is not of the kind, which is told before its
    story is taken apart.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # it is not there, or another's who lets nobody read it
        return []
    events = list(events_in(text.splitlines())) if kind in text else []
    starts = [number for number, event in enumerate(events) if event["event"] == BEGAN]
    return events[starts[-1] :] if starts and events[starts[-1]].get("kind") == kind else []


def _done(latest: Sequence[Event]) -> int:
    """Returns how many of a sweep's planned problems are done, as it last said."""
    if _finished(latest) is not None:
        return int(latest[0]["planned"])
    told = [event["computed"] + event["reused"] for event in latest if event["event"] == "progress"]
    return int(told[-1]) if told else 0


def _finished(latest: Sequence[Event]) -> float | None:
    """Returns when a sweep has finished, None where it has not; workers are dismissed after that."""
    ends = [event["time"] for event in latest if event["event"] == ENDED and event.get("how") == FINISHED]
    return float(ends[-1]) if ends else None


def _pace(latest: Sequence[Event], planned: int) -> float | None:
    """Returns how many seconds of a worker a problem took, all waiting included; one that a race spared counts as one
    that took none. None where too few were computed to tell, or too many.
    """
    ordered = [event["time"] for event in latest if event["event"] == "ordered"]
    answered = [event for event in latest if event["event"] == "answered"]
    if not ordered or not answered:
        return None
    problems, until = sum(event["problems"] for event in answered), answered[-1]["time"]
    if not planned / SCALE <= problems <= planned * SCALE:
        return None
    told = [event["reused"] for event in latest if event["event"] == "progress"]
    if (finished := _finished(latest)) is not None and not any(told):
        problems, until = max(problems, int(latest[0]["planned"])), finished
    return float((until - ordered[0]) * len({event["worker"] for event in answered}) / problems)
