"""How long a sweep will take, by stories that are written by hand."""

import json
import os

import pytest

from pipeline.storage.folder import Home
from sweeps.lookup.duration import Foreseen, foreseen, kind_of
from sweeps.schema.loading import load
from tests.sweeps.tiny import CONFIG, TINY

KIND = "0123456789ab"


def story(planned, until, ended=True, reused=0, kind=KIND, workers=2, problems=None):
    """A sweep whose workers are at work from second 10 on and have all of its problems (or so many) at second `until` -
    5. It ends at `until`.
    """
    problems = planned if problems is None else problems
    own = [{"worker": f"worker-{number}"} for number in range(workers)]
    events = [
        {"time": 1.0, "event": "opened", **own[0]},
        {"time": 2.0, "event": "began", "planned": planned, "kind": kind, "name": "glyphs"},
        *({"time": 10.0, "event": "ordered", **one} for one in own),
        *({"time": until - 5.0, "event": "answered", "problems": problems // workers, **one} for one in own),
        {"time": until - 4.0, "event": "progress", "computed": problems, "reused": reused, "workers": workers},
    ]
    dismissed = [{"time": until + 60.0, "event": "dismissed", **one} for one in own]
    return [*events, *([{"time": until, "event": "ended", "how": "finished"}] if ended else []), *dismissed]


@pytest.fixture
def home(tmp_path):
    """A home, and what writes stories into it; the first is the newest."""

    def tell(**stories):
        for age, (name, events) in enumerate(stories.items()):
            file = tmp_path / "sweeps" / name / "events.jsonl"
            file.parent.mkdir(parents=True)
            file.write_text("".join(json.dumps(event) + "\n" for event in events))
            os.utime(file, (10**9 - age, 10**9 - age))
        return Home(str(tmp_path))

    return tell


def test_of_what_nothing_is_known_nothing_is_said(home):
    assert foreseen(home(), "own", KIND, 100, 2) is None
    others = home(other=story(100, 110, kind="another kind"), small=story(20, 110), large=story(500, 110))
    assert foreseen(others, "own", KIND, 100, 2) is None
    assert foreseen(Home("memory://nowhere"), "own", KIND, 100, 2) is None


def test_a_finished_sweep_of_its_kind_tells_by_all_of_its_time(home):
    """200 planned problems in 400 s of two workers each: four seconds of a worker, waiting and report included."""
    there = home(other=story(200, 410))
    assert foreseen(there, "own", KIND, 100, 2) == Foreseen(200.0, 200.0, 100, 2, 1)
    assert foreseen(there, "own", KIND, 100, 8) == Foreseen(50.0, 50.0, 100, 8, 1)
    assert foreseen(there, "own", KIND, 100, 0) is None


def test_what_a_race_spared_is_in_it(home):
    """Half of 200 planned problems were computed, as the race stopped many: again it may."""
    assert foreseen(home(other=story(200, 410, problems=100)), "own", KIND, 200, 2).most == 400.0


def test_of_a_sweep_that_found_rows_in_the_ledger_those_count_that_it_computed(home):
    """100 of 200 were there; the others took two workers 395 s."""
    there = home(other=story(200, 410, problems=100, reused=100))
    assert foreseen(there, "own", KIND, 100, 2).most == 395.0


def test_several_sweeps_are_a_range(home):
    there = home(a=story(100, 110), b=story(100, 210), c=story(100, 160))
    assert foreseen(there, "own", KIND, 100, 2) == Foreseen(100.0, 200.0, 100, 2, 3)


def test_a_sweep_that_goes_on_is_told_by_its_own_beginning_what_is_left(home):
    """Of 400 problems 100 took 95 s of two workers."""
    there = home(own=story(400, 110, ended=False, problems=100), other=story(400, 4000))
    told = foreseen(there, "own", KIND, 400, 2)
    assert (told.problems, told.sweeps, told.least) == (300, 0, pytest.approx(285.0))
    assert told.source == "what it has taken so far"


def test_a_sweep_that_is_done_has_nothing_left(home):
    assert foreseen(home(own=story(400, 110)), "own", KIND, 400, 2) is None


def test_only_what_was_begun_last_counts_and_lines_that_were_cut_off_do_not(home, tmp_path):
    there = home(other=[*story(100, 1e6, ended=False), *story(100, 110)])
    with (tmp_path / "sweeps" / "other" / "events.jsonl").open("a") as file:
        file.write('{"time": 1')
    assert foreseen(there, "own", KIND, 100, 2).most == 100.0


def test_a_story_that_cannot_be_read_tells_nothing_and_ends_nothing(home, tmp_path):
    (tmp_path / "sweeps" / "odd" / "events.jsonl").mkdir(parents=True)
    assert foreseen(home(other=story(100, 110)), "own", KIND, 100, 2).sweeps == 1


def test_reading_ends_when_it_has_taken_long_enough(home, monkeypatch):
    there = home(newest=story(100, 110), older=story(100, 210))
    seconds = iter((0.0, 0.1, 0.6, 0.7))
    monkeypatch.setattr("sweeps.lookup.duration.time.monotonic", lambda: next(seconds))
    assert foreseen(there, "own", KIND, 100, 2) == Foreseen(100.0, 100.0, 100, 2, 1)


def kind(*overrides, device="cpu"):
    return kind_of(load(CONFIG, [*TINY, *overrides]), device)


def test_what_changes_no_time_changes_no_kind():
    assert kind() == kind("search.trials=12", "solver.lr=0.02", "prompts.lambda=2", "final.episodes=9", "name=other")
    assert kind() == kind("search.space.lr={low: 0.01, high: 0.02, log: true}", "episodes.seed=7", "compute.workers=1")


@pytest.mark.parametrize(
    "other",
    [
        "episodes.way=4",
        "episodes.query=4",
        "solver.blocks=3",
        "solver.epochs=3",
        "prompts.layers=1",
        "backbone.precision=bfloat16",
        "compute.threads_per_worker=2",
        "search.space.blocks={choices: [2, 3]}",
    ],
)
def test_what_changes_the_time_changes_the_kind(other):
    assert kind(other) != kind()
    assert kind(device="NVIDIA H200") != kind()
