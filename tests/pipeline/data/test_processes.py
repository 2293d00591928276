"""Processes that work together, on tasks that take no time."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

from pipeline.data.processes import in_order, workers
from tests.pipeline.processes import alive, descendants

begun = []


def begin(*words):
    begun.extend(words)


def seen():
    return begun, os.getpid(), signal.getsignal(signal.SIGINT)


def fail(number):
    if number == 1:
        raise ValueError(f"number must be even but got {number}")
    return number


class Waiting(ProcessPoolExecutor):
    """Does a task when its result is asked for, and notes how many are then on their way."""

    def __init__(self):
        self.on_their_way, self.most, self.asked = 0, 0, []

    def submit(self, function, /, *arguments):
        outer = self
        self.on_their_way += 1
        self.most = max(self.most, self.on_their_way)
        self.asked.append(arguments)

        class Asked(Future):
            def result(self, timeout=None):
                outer.on_their_way -= 1
                return function(*arguments)

        return Asked()


@pytest.mark.parametrize("ahead", [1, 2, 5, 20])
def test_results_come_in_order_and_so_many_are_on_their_way_at_most(ahead):
    pool = Waiting()
    assert list(in_order(pool, pow, ((base, 2) for base in range(9)), ahead)) == [base**2 for base in range(9)]
    assert pool.most == min(ahead, 9)


def test_a_task_is_not_made_before_there_is_room_for_it():
    pool = Waiting()
    results = in_order(pool, abs, ((-i,) for i in range(9)), 3)
    assert next(results) == 0
    assert pool.asked == [(0,), (-1,), (-2,)]
    assert next(results) == 1
    assert len(pool.asked) == 4


def test_no_tasks_have_no_results():
    assert list(in_order(Waiting(), abs, (), 3)) == []


def test_processes_begin_with_what_they_are_told_and_leave_interrupts_to_the_one_that_started_them():
    with workers(1, begin, "one", 2) as pool:
        told, pid, interrupted = pool.submit(seen).result()
        assert told == ["one", 2]
        assert interrupted == signal.SIG_IGN
        assert pid != os.getpid()
        assert alive(pid)
    assert not alive(pid)
    assert begun == []


def test_what_a_task_raises_is_told_as_it_is_and_the_process_goes_on():
    with workers(1) as pool:
        results = in_order(pool, fail, [(0,), (1,), (2,)], 2)
        assert next(results) == 0
        with pytest.raises(ValueError, match=r"^number must be even but got 1$"):
            next(results)
        assert pool.submit(fail, 4).result() == 4


def test_a_process_that_dies_is_told_with_what_to_do():
    said = (
        "one of 1 processes that make images has died, perhaps for want of memory; the same command goes on, with "
        "fewer processes if need be"
    )
    with pytest.raises(RuntimeError, match=f"^{said}$"), workers(1) as pool:
        list(in_order(pool, os._exit, [(1,)], 2))


WAITING = """
import time
from pipeline.data.processes import workers

with workers(1) as pool:
    pool.submit(abs, 0).result()
    print("made", flush=True)
    time.sleep(600)
"""
DRAWING = """
import time
from pipeline.data.sources.glyphs import glyph_scenes

for sample in glyph_scenes(1, 1):
    print("made", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("started", [WAITING, DRAWING], ids=["waiting", "drawing"])
def test_processes_end_with_the_one_that_started_them(started):
    """However it ends: here it is killed, and has no time to end them."""
    command, quiet = [sys.executable, "-c", started], subprocess.DEVNULL  # the killed one leaves semaphores behind
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        assert process.stdout.readline() == "made\n"
        made = descendants(process.pid)
        assert made
        process.kill()
    until = time.monotonic() + 30
    while any(map(alive, made)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(alive, made))
