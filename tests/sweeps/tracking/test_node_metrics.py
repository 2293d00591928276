import threading
from types import SimpleNamespace

import pytest

from pipeline.session import DispatcherGoneError
from sweeps.tracking import node_metrics
from sweeps.tracking.node_metrics import named, watched


def test_one_node_has_mlflows_names_and_several_their_numbers():
    nodes = []
    assert named({"b": {"cpu": 1.0}}, nodes) == {"system/cpu": 1.0}
    assert named({}, nodes) == {}
    both = {"a": {"cpu": 2.0}, "b": {"cpu": 3.0}}
    assert named(both, nodes) == {"system/node_0/cpu": 3.0, "system/node_1/cpu": 2.0}
    assert named({"c": {"cpu": 4.0}}, nodes) == {"system/node_2/cpu": 4.0}
    assert named({"b": {"cpu": 5.0}}, nodes) == {"system/node_0/cpu": 5.0}
    assert nodes == ["b", "a", "c"]


class Asked:
    """Stands in for session and tracker; nodes say nothing up to the `first` time, and `fault` is the answer from the
    `last` on.
    """

    def __init__(self, fault=None, last=10**9, first=1):
        self.fault, self.first, self.last, self.asked, self.logged = fault, first, last, 0, []
        self.changed = threading.Condition()
        self.session = SimpleNamespace(node_metrics=self.answer)

    def answer(self):
        self.asked += 1
        if self.fault and self.asked >= self.last:
            raise self.fault
        return {"node": {"cpu": float(self.asked)}} if self.asked >= self.first else {}

    def node_metrics(self, metrics):
        with self.changed:
            self.logged.append(metrics)
            self.changed.notify_all()


def logged(*numbers):
    return [{"system/cpu": float(number)} for number in numbers]


def test_nodes_are_looked_at_now_and_then_and_at_the_end():
    asked = Asked()
    with watched(asked, asked.session, 1000), asked.changed:
        assert asked.changed.wait_for(lambda: asked.logged == logged(1), 10)
    assert asked.logged == logged(1, 2)
    assert threading.active_count() == 1 or "node metrics" not in [one.name for one in threading.enumerate()]


def test_nodes_that_have_said_nothing_yet_are_soon_asked_again(monkeypatch):
    monkeypatch.setattr(node_metrics, "FIRST_SECONDS", 0.01)
    asked = Asked(first=3)
    with watched(asked, asked.session, 1000), asked.changed:
        assert asked.changed.wait_for(lambda: logged(3)[0] in asked.logged, 10)
    assert asked.logged == [{}, {}, *logged(3, 4)]


def test_a_dispatcher_that_is_gone_ends_it():
    asked = Asked(DispatcherGoneError(), last=2)
    with watched(asked, asked.session, 0.01):
        pass
    assert asked.logged == logged(1)


def test_what_ends_the_block_is_told():
    asked = Asked()
    with pytest.raises(ValueError, match="broken"), watched(asked, asked.session, 1000):
        raise ValueError("broken")
