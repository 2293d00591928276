"""Seconds by phase, on a clock that a test turns."""

import sys
from types import SimpleNamespace

import pytest

from fpt import phases
from fpt.phases import PHASES, measured, phase


@pytest.fixture
def clock(monkeypatch):
    turned = SimpleNamespace(now=100.0)
    monkeypatch.setattr(phases.time, "perf_counter", lambda: turned.now)
    return turned


def test_a_phase_adds_its_seconds_while_somebody_measures(clock):
    with phase("fit"):
        clock.now += 1
    with measured() as seconds:
        for spent in (2, 3):
            with phase("fit"):
                clock.now += spent
        clock.now += 50
        with phase("queries"):
            clock.now += 0.5
        with phase("a phase that nobody measures"):
            clock.now += 7
    with phase("fit"):
        clock.now += 11
    assert seconds == {**dict.fromkeys(PHASES, 0.0), "fit": 5, "queries": 0.5}


def test_what_fails_has_taken_its_time_and_measures_may_be_nested(clock):
    def lose():
        clock.now += 4
        raise ValueError("lost")

    with measured(["load"]) as outer:
        with measured() as inner, pytest.raises(ValueError, match="lost"), phase("load"):
            lose()
        with phase("load"):
            clock.now += 1
    assert (outer["load"], inner["load"]) == (1, 4)


@pytest.mark.parametrize(("started", "waits"), [(True, 2), (False, 0)])
def test_a_device_is_waited_for_on_both_sides_if_there_is_one(started, waits, monkeypatch):
    waited = []
    cuda = SimpleNamespace(is_initialized=lambda: started, synchronize=lambda: waited.append(1))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with measured(), phase("fit"):
        pass
    assert len(waited) == waits
