import json
import logging

import pytest

from pipeline import events
from pipeline.events import Story, events_in, in_words, tell, warn
from pipeline.storage.folder import Folder

LOG = logging.getLogger("pipeline.test")


@pytest.fixture
def story():
    parent, made = logging.getLogger("pipeline"), Story()
    before = parent.level
    parent.setLevel(logging.INFO)
    parent.addHandler(made)
    yield made
    parent.removeHandler(made)
    parent.setLevel(before)
    made.close()


def test_what_happened_before_it_was_known_where_to_write_is_written_too(story, tmp_path):
    tell(LOG, "hired", worker="worker-0")
    folder = Folder(str(tmp_path))
    story.write_to(folder, "sweeps/x/events.jsonl")
    tell(LOG, "opened", worker="worker-0", seconds=1.5)
    story.write_to(folder, "elsewhere.jsonl")  # it is written already
    warn(LOG, "died", worker="worker-0", host="h", why="no memory")
    lines = (tmp_path / "sweeps/x/events.jsonl").read_text().splitlines()
    told = list(events_in(lines))
    assert [(event["event"], event["level"]) for event in told] == [
        ("hired", "info"),
        ("opened", "info"),
        ("died", "warning"),
    ]
    assert told[1]["seconds"] == 1.5
    assert told[0]["time"] <= told[1]["time"] <= told[2]["time"]
    assert not (tmp_path / "elsewhere.jsonl").exists()
    assert (story.warned, list(story.warnings)) == (1, ["worker-0 on h died: no memory"])


def test_a_second_run_of_the_same_sweep_is_told_behind_the_first(tmp_path, monkeypatch):
    for number in range(2):
        made = Story()
        made.emit(logging.LogRecord("pipeline", logging.INFO, "", 0, f"run {number}", None, None))
        made.write_to(Folder(str(tmp_path)), "events.jsonl")
        made.close()
    assert [event["event"] for event in events_in((tmp_path / "events.jsonl").read_text().splitlines())] == [
        "run 0",
        "run 1",
    ]


def test_an_object_store_gets_copies_now_and_then_and_all_at_the_end(story, monkeypatch):
    monkeypatch.setattr(events, "UPLOAD_SECONDS", 3600.0)
    bucket = Folder("memory://bucket/home")
    bucket.write("events.jsonl", b'{"time": 1, "event": "from before"}\n')
    story.write_to(bucket, "events.jsonl")
    for number in range(3):
        tell(LOG, f"event {number}")
    story.close()
    told = [event["event"] for event in events_in((bucket.read("events.jsonl") or b"").decode().splitlines())]
    assert told == ["from before", "event 0", "event 1", "event 2"]


def test_lines_that_a_crash_cut_off_are_left_out():
    whole = {"time": 1.0, "event": "hired"}
    assert list(events_in([json.dumps(whole), '{"time": 2.0, "ev', "[1]", '{"a": 1}', ""])) == [whole]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "died", "worker": "worker-3", "host": "gpu7", "why": "hung"}, "worker-3 on gpu7 died: hung"),
        ({"event": "episode lost", "why": "all died"}, "the sweep episode lost: all died"),
        ({"event": "opened", "worker": "worker-0"}, "worker-0 opened"),
    ],
)
def test_an_event_in_words(event, said):
    assert in_words(event) == said
