"""How the commands of a home stand, by the stories that they have written and the ledger."""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.events import BEGAN, ENDED, FILE, OPENED, Event, events_in, in_words
from pipeline.storage.folder import Home
from pipeline.storage.ledger import Ledger
from sweeps.schema.lines import on_a_line

KINDS = ("sweeps", "tables", "evaluations")  # folders of a home that hold stories
SILENT_SECONDS = 180.0  # after which a command on another machine is held to be dead: it says something every 30 s
MOST_TOLD = 20  # troubles


@dataclass(frozen=True)
class Standing:
    """A standing is how a command stands. `state` is running, finished, interrupted, failed or dead (it ended without a
    word); `phase` is what a sweep was last at.

    `planned`, `computed` and `reused` count problems since it was last started, `rows` what the ledger holds of its
    configurations. `workers` have opened and not died since; `trials_begun` counts looks and those that race, of whom
    `trials_stopped` were stopped; `troubles` are warnings in words, the latest last.
    """

    kind: str
    id: str
    name: str
    state: str
    phase: str
    why: str
    host: str
    pid: int
    began: float
    last: float
    planned: int
    computed: int
    reused: int
    rows: int
    configurations: int
    workers: int
    died: int
    refused: int
    trials_begun: int
    trials_stopped: int
    troubles: tuple[str, ...]

    @property
    def share(self) -> float:
        """Returns the share of what was planned that is done; a race leaves some of it undone."""
        done = self.computed + self.reused
        return 1.0 if self.state == "finished" else done / max(1, self.planned, done)


def standings(home: Home, wanted: str | None = None) -> list[Standing]:
    """Returns how every command of a home stands, the latest first; with `wanted`, only that whose ID begins so.

    Raises ValueError where there is none, or more than one.
    """
    found = [(kind, name) for kind in KINDS for name in home.folders(kind) if home.has(f"{kind}/{name}/{FILE}")]
    if not found:
        raise ValueError(f"home must hold a sweep that was begun but {home.uri!r} has none; fpt sweep begins one")
    if wanted is not None:
        chosen = [(kind, name) for kind, name in found if name.startswith(wanted)]
        if len(chosen) != 1:
            named = ", ".join(name for _, name in chosen or found)
            begins = f"begins {len(chosen)} of them" if chosen else "is none of them"
            raise ValueError(f"ID must be one of {named} in {home.uri!r} but {wanted!r} {begins}")
        found = chosen
    stories = [(kind, name, _events(home, kind, name)) for kind, name in found]
    told = [standing_of(kind, name, events, home) for kind, name, events in stories if events]
    return sorted(told, key=lambda one: one.last, reverse=True)


def _events(home: Home, kind: str, name: str) -> list[Event]:
    content = home.read(f"{kind}/{name}/{FILE}") or b""
    return list(events_in(content.decode(errors="replace").splitlines()))


def standing_of(kind: str, name: str, events: Sequence[Event], home: Home) -> Standing:
    """Returns how the command stands whose events these are."""
    starts = [number for number, event in enumerate(events) if event["event"] == BEGAN]
    latest = events[starts[-1] :] if starts else list(events)
    began = latest[0]

    def of(kind_of_event: str, since: Sequence[Event] = latest) -> list[Event]:
        return [event for event in since if event["event"] == kind_of_event]

    opened = [number for number, event in enumerate(events) if event["event"] == OPENED]
    session = events[opened[-1] :] if opened else latest  # workers open before the command says that it began
    state, why = _state(latest)
    hashes = sorted({own for event in of("ordered", events) for own in event.get("configurations", [])})
    gone = {event["worker"] for event in session if event["event"] in ("died", "dismissed") and "worker" in event}
    progress = of("progress")
    warnings = [event for event in session if event.get("level") == "warning"]
    return Standing(
        kind=kind,
        id=name,
        name=str(began.get("name", name)),
        state=state,
        phase=str(phases[-1].get("name", "")) if (phases := of("phase")) else "",
        why=why,
        host=str(began.get("host", "")),
        pid=int(began.get("pid", 0)),
        began=began["time"],
        last=events[-1]["time"],
        planned=int(began.get("planned", 0)),
        computed=sum(event.get("problems", 0) for event in of("answered")),
        reused=int(progress[-1].get("reused", 0)) if progress else 0,
        rows=Ledger(home.uri_of("ledger")).read(hashes).num_rows if hashes else 0,
        configurations=len(hashes),
        workers=0 if state != "running" else len({event["worker"] for event in of("opened", session)} - gone),
        died=len(of("died", session)),
        refused=len(of("refused", session)),
        trials_begun=sum(len(event.get("trials", [])) for event in of("generation begun")),
        trials_stopped=sum(len(event.get("trials", [])) for event in of("trials stopped")),
        troubles=tuple(in_words(event) for event in warnings[-MOST_TOLD:]),
    )


def _state(latest: Sequence[Event]) -> tuple[str, str]:
    ends = [event for event in latest if event["event"] == ENDED]
    if ends:
        return str(ends[-1].get("how", "finished")), str(ends[-1].get("why", ""))
    began, last = latest[0], latest[-1]["time"]
    if began.get("host") == socket.gethostname() and "pid" in began:
        alive = _lives(int(began["pid"]))
    else:
        alive = time.time() - last < SILENT_SECONDS
    return ("running", "") if alive else ("dead", "it ended without a word; the same command goes on where it stopped")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def as_text(told: Sequence[Standing], now: float | None = None) -> str:
    """Returns a line for each command, or all that is known where there is a single command."""
    now = time.time() if now is None else now
    if len(told) > 1:
        return "\n".join(on_a_line(_line(one, now)) for one in told)
    (one,) = told
    lines = [
        _line(one, now),
        f"  on {one.host or 'an unknown host'}, process {one.pid}, begun {_ago(now - one.began)} ago",
    ]
    if one.why:
        lines.append(f"  {one.state}: {one.why}")
    done = one.computed + one.reused
    lines.append(f"  problems: {done} of {one.planned} planned ({one.computed} computed, {one.reused} from the ledger)")
    lines.append(f"  ledger: {one.rows} rows of {one.configurations} configurations")
    if one.trials_begun:
        lines.append(f"  search: {one.trials_begun} looks and racers begun, {one.trials_stopped} stopped early")
    lines.append(f"  workers: {one.workers} at work, {one.died} died, {one.refused} refused")
    lines += [f"  {trouble}" for trouble in one.troubles]
    return "\n".join(map(on_a_line, lines))


def _line(one: Standing, now: float) -> str:
    share = f"{100 * one.share:.0f} %"
    at = f" ({one.phase})" if one.phase and one.state != "finished" else ""
    return f"{one.id}  {one.name}  {one.state}{at}  {share}  last heard of {_ago(now - one.last)} ago"


def _ago(seconds: float) -> str:
    seconds = max(0, round(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def as_json(told: Sequence[Standing]) -> dict[str, Any]:
    """Returns the object that `fpt status --json` prints."""
    return {"commands": [{**asdict(one), "share": one.share} for one in told]}
