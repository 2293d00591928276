"""Where the time of an episode goes: phases that note themselves while somebody measures."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

PHASES = ("load", "prompts", "head", "fit", "queries")
_measured: ContextVar[dict[str, float] | None] = ContextVar("measured", default=None)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Adds the seconds spent inside to `name`, if anybody measures that; else costs nothing."""
    seconds = _measured.get()
    if seconds is None or name not in seconds:
        yield
        return
    _wait_for_device()
    started = time.perf_counter()
    try:
        yield
    finally:
        _wait_for_device()
        seconds[name] += time.perf_counter() - started


@contextmanager
def measured(names: Sequence[str] = PHASES) -> Iterator[dict[str, float]]:
    """Yields the seconds of each of these phases, which are filled while inside."""
    seconds = dict.fromkeys(names, 0.0)
    token = _measured.set(seconds)
    try:
        yield seconds
    finally:
        _measured.reset(token)


def _wait_for_device() -> None:
    torch: Any = sys.modules.get("torch")  # who has not loaded it has nothing on a device to wait for
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
