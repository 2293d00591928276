import pytest

from sweeps.times import PARTS, times_of

PHASES = dict(zip(PARTS, (2.0, 0.5, 4.0, 3.0, 5.0, 0.5), strict=True))


def test_times_by_hand():
    """Two workers, 15 s of parts, the first order 20 s after the start; 100 s of work in the 64 s that are left."""
    times = times_of(PHASES, {"first_order": 1020.0, "busy_seconds": 100.0, "workers": 2}, 1000.0, 1084.0)
    assert times.start_up == {**PHASES, "first order": 5.0}
    assert (times.after, times.busy) == (64.0, 50.0)
    assert times.orchestration == pytest.approx(14 / 64)
    assert str(times) == (
        "Start-up 20.0 s (imports 2.0 · checks 0.5 · images 4.0 · Ray 3.0 · workers 5.0 · MLflow 0.5 · "
        "first order 5.0); then 64 s, 21.9 % of it without work for a worker."
    )
    assert times.as_json()["orchestration_share"] == times.orchestration


def test_a_sweep_that_computed_nothing_has_no_share():
    times = times_of(PHASES, {"first_order": None, "busy_seconds": 0.0, "workers": 2}, 1000.0, 1020.0)
    assert (times.start_up, times.after, times.orchestration) == (PHASES, 5.0, None)
    assert str(times).endswith("every episode was in the ledger.")
