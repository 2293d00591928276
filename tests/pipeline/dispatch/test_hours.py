"""Hours of workers, on a clock that a test turns."""

from types import SimpleNamespace

import pytest

from pipeline.dispatch import hours
from pipeline.dispatch.hours import Hours


@pytest.fixture
def clock(monkeypatch):
    turned = SimpleNamespace(now=100.0)
    monkeypatch.setattr(hours.time, "monotonic", lambda: turned.now)
    return turned


def test_workers_are_there_from_the_first_order_on_and_what_came_to_nothing_is_lost(clock):
    own = Hours()
    own.opened["a"] = own.opened["b"] = 90.0
    assert (own.staffed_seconds, own.first_order) == (0.0, None)
    first, second = own.begins(), own.begins()
    clock.now += 3
    own.answered(own.ends(first), 2)
    clock.now += 4
    assert own.ends(second) == 7.0  # it came to nothing
    assert (own.busy, own.busy_seconds, own.lost_seconds, own.slowest) == (0, 3.0, 7.0, 1.5)
    own.goes("b")
    own.goes("never there")
    clock.now += 5
    assert own.staffed_seconds == 7.0 + 12.0
