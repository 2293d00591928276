"""The story of a run: what happens to its orders and workers, told through `logging`, kept as one JSON line each.

A record's message is the event's name, from the table in docs/architecture.md; what it is about stands in `facts`.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from pipeline.storage.folder import Folder
from pipeline.storage.masking import masked, without_secrets

FILE = "events.jsonl"
BEGAN, ENDED = "began", "ended"  # of the command itself
FINISHED = "finished"  # how a command ends well
OPENED = "session opened"  # the first event of a session; those of an earlier one come before it
MOST_WAITING = 100_000  # lines that are kept until it is known where to write them
MOST_WARNINGS = 50  # that are kept for whoever asks
UPLOAD_SECONDS = 10.0  # between copies to an object store, which cannot append to a file

Event = dict[str, Any]


def tell(logger: logging.Logger, event: str, **facts: Any) -> None:
    """Notes an event that is as it should be."""
    logger.info(event, extra={"facts": facts})


def warn(logger: logging.Logger, event: str, **facts: Any) -> None:
    """Notes an event that a person should hear of."""
    logger.warning(event, extra={"facts": facts})


class Story(logging.Handler):
    """A story writes events into a file of a folder, on a disk or an object store; until it is told where, it keeps
    them.

    `warnings` are the last of them in words, `warned` counts them all.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self.warnings: deque[str] = deque(maxlen=MOST_WARNINGS)
        self.warned = 0
        self.file: TextIO | None = None
        self.elsewhere: tuple[Folder, str] | None = None
        self.uploaded: list[str] = []
        self.next_upload = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        facts: Event = masked(getattr(record, "facts", {}))
        event = {"time": round(record.created, 3), "event": record.getMessage(), "level": record.levelname.lower()}
        self.waiting.append(json.dumps({**event, **facts}, default=lambda value: without_secrets(str(value))))
        if record.levelno >= logging.WARNING:
            self.warned += 1
            self.warnings.append(in_words({**event, **facts}))
        self._write()

    def write_to(self, folder: Folder, name: str) -> None:
        """Writes, from now on and with all that was kept, into this file of this folder; asked again, it changes
        nothing.
        """
        if self.file or self.elsewhere:
            return
        if folder.here is not None:
            path = folder.here / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("a", encoding="utf-8")
        else:
            self.elsewhere = folder, name
            before = folder.read(name)
            self.uploaded = before.decode().splitlines() if before else []
        self._write()

    def close(self) -> None:
        self.next_upload = 0.0
        self._write()
        if self.file:
            self.file.close()
            self.file = None
        super().close()

    def _write(self) -> None:
        if self.file:
            while self.waiting:
                self.file.write(self.waiting.popleft() + "\n")
            self.file.flush()
        elif self.elsewhere and self.waiting and time.monotonic() >= self.next_upload:
            self.uploaded += self.waiting
            self.waiting.clear()
            folder, name = self.elsewhere
            folder.write(name, ("\n".join(self.uploaded) + "\n").encode())
            self.next_upload = time.monotonic() + UPLOAD_SECONDS


def events_in(lines: Iterable[str]) -> Iterator[Event]:
    """Yields the events of a file's lines; a line that was cut off by a crash is left out."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event and "time" in event:
            yield event


def in_words(event: Event) -> str:
    """Returns an event as a line for people: who, what happened, why."""
    who = event.get("worker") or "the sweep"
    where = f" on {event['host']}" if event.get("host") else ""
    why = f": {event['why']}" if event.get("why") else ""
    return f"{who}{where} {event['event']}{why}"
