"""How commands stand, by stories and ledgers that are written by hand."""

import json
import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.storage.folder import Home
from pipeline.storage.ledger import Ledger
from sweeps.lookup.standing import as_json, as_text, standings
from tests.pipeline.storage.test_ledger import row

NOW = time.time()


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """It is NOW for what is asked, however long the tests before have taken."""
    monkeypatch.setattr("sweeps.lookup.standing.time", SimpleNamespace(time=lambda: NOW))


def began(seconds_ago, pid=1, host="elsewhere", planned=20):
    return {"time": NOW - seconds_ago, "event": "began", "name": "glyphs", "planned": planned, "pid": pid, "host": host}


def work(seconds_ago, hashes=("aa", "bb"), worker="worker-0", problems=4):
    """A worker opens, and answers an order."""
    at = NOW - seconds_ago
    return [
        {"time": at, "event": "opened", "worker": worker, "host": "gpu7", "device": "cpu"},
        {"time": at, "event": "ordered", "worker": worker, "order": "one", "configurations": list(hashes)},
        {"time": at, "event": "answered", "worker": worker, "order": "one", "problems": problems},
    ]


OPENED = {"time": NOW - 1000, "event": "session opened"}
DIED = {"time": NOW - 30, "event": "died", "level": "warning", "worker": "worker-0", "host": "gpu7", "why": "no memory"}
REFUSED = {
    "time": NOW - 20,
    "event": "refused",
    "level": "warning",
    "worker": "worker-1",
    "why": "it has other weights",
}


@pytest.fixture
def told(tmp_path):
    """Writes stories into a home, by their ID, and returns how they stand."""
    home = Home(str(tmp_path))

    def tell(wanted=None, **stories):
        for name, events in stories.items():
            folder = tmp_path / "sweeps" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        return standings(home, wanted)

    return tell


def test_a_running_sweep(told, tmp_path):
    Ledger(str(tmp_path / "ledger")).write("one", [row("aa", 0), row("aa", 1), row("bb", 0), row("others", 0)])
    begun = {"time": NOW - 90, "event": "generation begun", "generation": 0, "trials": ["0.0", "0.1"]}
    stopped = {"time": NOW - 50, "event": "trials stopped", "generation": 0, "trials": ["0.1"]}
    progress = {"time": NOW - 10, "event": "progress", "computed": 4, "reused": 6, "workers": 1}
    phase = {"time": NOW - 60, "event": "phase", "name": "search"}
    opened = [OPENED, *work(95)[:1]]
    (one,) = told(aaa=[*opened, began(90), begun, phase, *work(40)[1:], stopped, DIED, REFUSED, progress])
    assert (one.kind, one.id, one.name, one.state, one.phase) == ("sweeps", "aaa", "glyphs", "running", "search")
    assert (one.planned, one.computed, one.reused, one.share) == (20, 4, 6, 0.5)
    assert (one.rows, one.configurations) == (3, 2)
    assert (one.trials_begun, one.trials_stopped) == (2, 1)
    assert (one.workers, one.died, one.refused) == (0, 1, 1)
    assert one.troubles == ("worker-0 on gpu7 died: no memory", "worker-1 refused: it has other weights")
    text = as_text([one], NOW)
    assert "aaa  glyphs  running (search)  50 %" in text
    assert "problems: 10 of 20 planned (4 computed, 6 from the ledger)" in text
    assert "ledger: 3 rows of 2 configurations" in text
    assert "search: 2 looks and racers begun, 1 stopped early" in text
    assert "worker-0 on gpu7 died: no memory" in text
    assert json.loads(json.dumps(as_json([one])))["commands"][0]["share"] == 0.5


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([began(10, os.getpid(), socket.gethostname())], "running"),
        ([began(10, 2**22 + 1, socket.gethostname())], "dead"),  # no process can have that number
        ([began(1000)], "dead"),  # another machine's, and silent for too long
        ([began(10)], "running"),
        ([began(10), {"time": NOW, "event": "ended", "how": "finished"}], "finished"),
        ([began(10), {"time": NOW, "event": "ended", "how": "interrupted", "why": "SIGTERM"}], "interrupted"),
        ([began(10), {"time": NOW, "event": "ended", "how": "failed", "why": "disk full"}], "failed"),
        ([began(90), {"time": NOW - 80, "event": "ended", "how": "failed"}, began(5)], "running"),  # gone on with
    ],
)
def test_states(told, events, state):
    (one,) = told(aaa=events)
    assert one.state == state
    assert (one.share == 1.0) == (state == "finished")


def test_a_sweep_that_was_gone_on_with_counts_from_there(told):
    first = [OPENED, began(900), *work(800), DIED, {"time": NOW - 700, "event": "ended", "how": "interrupted"}]
    (one,) = told(aaa=[*first, OPENED, *work(95)[:1], began(90), *work(40, problems=3)[1:]])
    assert (one.computed, one.died, one.workers, one.troubles) == (3, 0, 1, ())
    assert one.began == pytest.approx(NOW - 90)


def test_the_latest_comes_first_and_an_id_may_be_shortened(told):
    stories = {"abc": [began(500)], "abd": [began(5)], "xyz": [began(50)]}
    assert [one.id for one in told(**stories)] == ["abd", "xyz", "abc"]
    assert len(as_text(told(), NOW).splitlines()) == 3
    assert [one.id for one in told("x")] == ["xyz"]
    with pytest.raises(ValueError, match=r"^ID must be one of abc, abd in .* but 'ab' begins 2 of them$"):
        told("ab")
    with pytest.raises(ValueError, match=r"^ID must be one of abc, abd, xyz in .* but 'q' is none of them$"):
        told("q")


def test_a_home_without_a_sweep_says_so(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^home must hold a sweep that was begun but .* has none"):
        standings(Home(str(tmp_path)))


def test_a_story_that_a_crash_cut_off_is_read_as_far_as_it_goes(told, tmp_path):
    told(aaa=[began(10)])
    with (tmp_path / "sweeps" / "aaa" / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "event": "ans')
    assert [one.state for one in told()] == ["running"]
