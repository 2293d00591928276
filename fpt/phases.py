"""Where the time of an episode goes: phases that note themselves while somebody measures."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

PHASES = ("load", "prompts", "head", "fit", "queries")
_measured: ContextVar[dict[str, float] | None] = ContextVar("measured", default=None)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Adds the seconds spent inside to `name`, if anybody measures; else costs nothing."""
    seconds = _measured.get()
    if seconds is None:
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
def measured() -> Iterator[dict[str, float]]:
    """Yields seconds of each phase, filled while inside."""
    seconds = dict.fromkeys(PHASES, 0.0)
    token = _measured.set(seconds)
    try:
        yield seconds
    finally:
        _measured.reset(token)


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
