import threading
import time

import pytest

from pipeline.cluster import head_watch
from pipeline.cluster.addresses import Answer
from pipeline.cluster.head_watch import SIGNAL, RayGoneError, head_watched
from pipeline.cluster.raylet import ENDED

HERE, REFUSED, SILENT = Answer(), Answer("refuses connections"), Answer("has not answered", silent=True)


def watched(answers, own, shutdown=lambda: None, raylet=lambda: True):
    """Watches a head that gives these answers, the last of them for ever."""
    answers = iter(answers)
    last = [HERE]

    def asked(head, seconds):
        last[0] = next(answers, last[0])
        return last[0]

    return head_watched("10.0.0.1:6379", own, shutdown, asked, lambda: raylet, every=0.01, say_after=0.1)


def wait(seconds=30.0):
    """Waits as a command does, in steps that a signal can come between."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)


def test_a_head_of_its_own_that_refuses_ends_the_command(capsys):
    import signal

    before, down = signal.getsignal(SIGNAL), []
    with pytest.raises(RayGoneError), watched([HERE, REFUSED], own=True, shutdown=lambda: down.append(True)):
        wait()
    said = capsys.readouterr().err
    assert said == f"fpt: Ray's head node at 10.0.0.1:6379 refuses connections; {head_watch.GONE}\n"
    assert down == [True]
    assert signal.getsignal(SIGNAL) is before
    assert issubclass(RayGoneError, KeyboardInterrupt)  # so that nothing takes it for a mistake


def test_a_raylet_that_is_gone_ends_the_command(capsys):
    there = [True, True]
    with pytest.raises(RayGoneError), watched([HERE], own=False, raylet=lambda: bool(there and there.pop())):
        wait()
    assert capsys.readouterr().err == f"fpt: {ENDED}; {head_watch.GONE}\n"


def test_what_ray_makes_of_that_while_it_waits_is_told_as_what_it_was():
    def waiting_as_ray_does():
        try:
            wait()
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None

    with pytest.raises(RayGoneError, match="refuses connections"), watched([HERE, REFUSED], own=True):
        waiting_as_ray_does()


@pytest.mark.parametrize(("answer", "own"), [(REFUSED, False), (SILENT, True), (SILENT, False)])
def test_a_head_that_may_come_back_is_waited_for(answer, own, monkeypatch, capsys):
    monkeypatch.setattr(head_watch, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(RayGoneError), watched([answer], own):
        wait()
    first, last = capsys.readouterr().err.splitlines()
    assert first == f"fpt: Ray's head node at 10.0.0.1:6379 {answer.said}; waiting for it, 0 s at most"
    assert last.endswith(head_watch.GONE)


def test_a_head_that_comes_back_is_said_to(capsys):
    with watched([*[SILENT] * 30, HERE], own=True):
        until = time.monotonic() + 30
        while "again" not in (said := capsys.readouterr().err) and time.monotonic() < until:
            time.sleep(0.3)
    assert said.endswith("answers again\n")


def test_nothing_is_said_of_a_head_that_ends_with_the_command(capsys):
    with watched([REFUSED], own=True, shutdown=lambda: wait(0.5)):
        pass
    assert capsys.readouterr().err == ""


def test_a_thread_is_not_watched():
    ended = []

    def work():
        with watched([REFUSED], own=True, shutdown=lambda: ended.append("shut down")):
            ended.append("ran")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == ["ran", "shut down"]
