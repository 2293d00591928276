import threading

import pytest

from sweeps.outbox import Outbox


@pytest.fixture
def made():
    """An outbox that tries again at once what a ConnectionError ended, and the calls that were carried out."""
    box = Outbox(lambda error: isinstance(error, ConnectionError), lambda: forgotten.append(len(done)), (0.001,))
    done: list[str] = []
    forgotten: list[int] = []
    yield box, done, forgotten
    box.close()


def flaky(done, name, failures):
    left = [failures]

    def call():
        if left[0]:
            left[0] -= 1
            raise ConnectionError("away")
        done.append(name)

    return call


def test_calls_are_made_in_order_however_often_they_fail(made):
    box, done, forgotten = made
    for name, failures in (("a", 0), ("b", 3), ("c", 1), ("d", 0)):
        box.put(flaky(done, name, failures))
    assert box.flush(10) == 0
    assert done == ["a", "b", "c", "d"]
    assert forgotten == [1, 1, 1, 2]
    assert (box.waiting, box.away_since) == (0, None)


def test_putting_does_not_wait(made):
    box, done, _ = made
    gate = threading.Event()
    box.put(lambda: gate.wait(10) and done.append("slow"))
    box.put(lambda: done.append("next"))
    assert box.flush(0.01) == 2
    assert done == []
    gate.set()
    assert box.flush(10) == 0
    assert done == ["slow", "next"]


def test_a_mistake_is_raised_once_and_the_others_are_carried_out(made):
    box, done, _ = made
    box.put(lambda: {}["no such"])
    box.put(lambda: done.append("after"))
    with pytest.raises(KeyError, match="no such"):
        box.flush(10)
    assert box.flush(10) == 0
    assert done == ["after"]


def test_a_server_that_is_away_is_known_to_be(made):
    box, done, _ = made
    tried, back = threading.Event(), threading.Event()

    def call():
        if not back.is_set():
            tried.set()
            raise ConnectionError("away")
        done.append("told")

    box.put(call)
    assert tried.wait(10)
    assert box.flush(0.05) == 1
    assert box.away_since is not None
    back.set()
    assert box.flush(10) == 0
    assert (done, box.away_since) == (["told"], None)


def test_closing_ends_it_whatever_waits(made):
    box, done, _ = made
    box.put(flaky(done, "never", 10**9))
    box.put(lambda: done.append("nor this"))
    box.close()
    assert done == []
    assert not box.thread.is_alive()
