"""Processes that work on images together, and end with the process that started them."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

Result = TypeVar("Result")


@contextmanager
def workers(processes: int, *begin: Any) -> Iterator[ProcessPoolExecutor]:
    """Yields a pool of processes that end when this process does. `begin` may be a function and its arguments, which
    each process calls first.

    Raises RuntimeError where one of them dies.
    """
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin, initargs=begin)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"one of {processes} processes that make images has died, perhaps for want of memory; the same command "
            "goes on, with fewer processes if need be"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    pool: ProcessPoolExecutor, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], ahead: int
) -> Iterator[Result]:
    """Yields the results of tasks in the tasks' order; at most `ahead` of them are on their way at once."""
    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        waiting.append(pool.submit(function, *task))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _begin(function: Callable[..., None] | None = None, *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts a command means its main process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if function:
        function(*arguments)


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
