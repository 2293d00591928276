"""Sweeps that are told to end, by Ctrl-C or by a scheduler: nothing is left behind, and nothing is lost."""

import json
import os
import signal
import time

import pytest

from tests.pipeline.processes import alive, descendants
from tests.sweeps.whole import ended, queried, rows, runs, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # MLflow's own models use what SQLAlchemy has deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
]


def events(home):
    """What the sweep's story says so far."""
    return [json.loads(line) for file in home.glob("sweeps/*/events.jsonl") for line in file.read_text().splitlines()]


def wait_for(process, home, event, **facts):
    """Waits until the story has an event with these facts."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        if any(one["event"] == event and facts.items() <= one.items() for one in events(home)):
            return
        time.sleep(0.02)
    raise AssertionError(f"no {event} {facts} within ten minutes")


def left_behind(processes):
    """Those of a sweep's processes that are still there some seconds after it."""
    until = time.monotonic() + 15
    while (there := [pid for pid in processes if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.1)
    return there


AT = {
    "search": ("generation begun", {"generation": 1}),
    "final evaluation": ("phase", {"name": "final evaluation"}),
    "report": ("phase", {"name": "report"}),
}


@pytest.mark.parametrize(
    ("told", "at"),
    [
        (signal.SIGTERM, "search"),
        (signal.SIGTERM, "final evaluation"),
        (signal.SIGTERM, "report"),
        (signal.SIGINT, "search"),
    ],
)
def test_a_sweep_that_is_told_to_end_goes_on_by_the_same_command(undisturbed, home, told, at):
    process = started(home)
    event, facts = AT[at]
    wait_for(process, home, event, **facts)
    processes = descendants(process.pid)
    process.send_signal(told)
    out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (128 + told, "")
    last = [line for line in err.splitlines() if line.startswith("fpt: ")][-1]
    assert last.startswith(f"fpt: interrupted by {told.name}; what was computed is kept, and the same command again")
    assert "Traceback" not in err
    assert "***" not in err  # a C++ stack trace
    assert left_behind(processes) == []
    assert events(home)[-1]["event"] in ("ended", "progress")
    assert [one["how"] for one in events(home) if one["event"] == "ended"] == ["interrupted"]
    assert [path.name for path in home.rglob("*") if path.name.endswith(".part") or path.name.startswith("_")] == []
    (folder,) = (home / "sweeps").iterdir()
    if at != "report":
        assert not (folder / "report.html").exists()
        assert not (folder / "best.yaml").exists()
    (parent,), children = runs(home)
    assert parent[1] == "KILLED"
    assert {status for _, status in children} <= {"FINISHED", "KILLED"}

    again = ended(started(home))
    assert rows(home) == rows(undisturbed[0])
    assert again["best"] == undisturbed[1]["best"]
    assert again["final"]["compared"] == undisturbed[1]["final"]["compared"]
    (same,), children = runs(home)
    assert same == (parent[0], "FINISHED")
    assert {status for _, status in children} == {"FINISHED"}
    steps = queried(home, "select count(*) from metrics group by run_uuid, key, step having count(*) > 1")
    assert steps == [], "a step was logged twice"


def test_a_second_signal_ends_at_once(undisturbed, home):
    process = started(home)
    wait_for(process, home, "generation begun", generation=0)
    processes = descendants(process.pid)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    while process.poll() is None and time.monotonic() < began + 60:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert left_behind(processes) == []
    assert os.path.exists(home)
    assert ended(started(home))["best"] == undisturbed[1]["best"]
