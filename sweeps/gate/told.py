"""What an examination tells: lines, each of which is fine, worth a look, or in the way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

FINE, LOOK, BAD = "ok", "look", "bad"


@dataclass(frozen=True)
class Told:
    """A line is about something, and `state` says how that is."""

    about: str
    state: str
    said: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.about}: {self.said}"


@contextmanager
def mistakes_told(about: str, told: list[Told]) -> Iterator[None]:
    """Has a mistake in the block told as a line that is in the way, and not raised."""
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        told.append(Told(about, BAD, " ".join(str(error).split()) or type(error).__name__))


def verdict_of(told: Sequence[Told]) -> str:
    """Returns the last line."""
    counts = {state: sum(one.state == state for one in told) for state in (FINE, LOOK, BAD)}
    end = "a sweep would not start, or not end" if counts[BAD] else "nothing keeps a sweep from starting"
    return f"{counts[FINE]} fine, {counts[LOOK]} worth a look, {counts[BAD]} in the way: {end}"


def as_json(told: Sequence[Told]) -> dict[str, Any]:
    """Returns the object that `fpt doctor --json` prints."""
    return {"starts": all(one.state != BAD for one in told), "told": [asdict(one) for one in told]}
