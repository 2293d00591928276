from dataclasses import replace

import pytest

from pipeline.dispatch.status import Status
from sweeps.terminal.times import PARTS, times_of

PHASES = dict(zip(PARTS, (2.0, 0.5, 4.0, 3.0, 5.0, 0.5), strict=True))


# Of two workers one came late: 120 s of worker's time since the first order, 90 of them at work.
STATUS = Status(first_order=1020.0, busy_seconds=90.0, staffed_seconds=120.0)


def test_times_by_hand():
    """15 s of parts, the first order 20 s after the start; workers at work for three quarters of the 64 s left."""
    times = times_of(PHASES, STATUS, 1000.0, 1084.0)
    assert times.start_up == {**PHASES, "first order": 5.0}
    assert (times.after, times.busy) == (64.0, 48.0)
    assert times.orchestration == pytest.approx(1 / 4)
    assert str(times) == (
        "Start-up 20.0 s (imports 2.0 · checks 0.5 · images 4.0 · Ray 3.0 · workers 5.0 · MLflow 0.5 · "
        "first order 5.0); then 64 s, 25.0 % of it without work for a worker."
    )
    assert times.as_json()["orchestration_share"] == times.orchestration


def test_a_sweep_that_computed_nothing_has_no_share():
    times = times_of(PHASES, replace(STATUS, first_order=None, busy_seconds=0.0), 1000.0, 1020.0)
    assert (times.start_up, times.after, times.orchestration) == (PHASES, 5.0, None)
    assert str(times).endswith("then 5 s, of which it is not known how long workers were at work.")
    assert times_of(PHASES, replace(STATUS, restarted=True), 1000.0, 1084.0).orchestration is None
