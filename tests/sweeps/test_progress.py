import time

import pytest
import ray

from sweeps import progress
from sweeps.progress import Progress, shown


def status(computed, reused=0, workers=2):
    return {"computed": computed, "reused": reused, "workers": workers, "waiting": 0, "seconds": 1.0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved: clock[0] += seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_before_anything_is_known(clock):
    assert Progress(400).line(status(0)) == ("  0 % · 0 of 400 episodes · -/s · 2 workers · time left not known yet")


def test_speed_and_time_left_come_from_what_was_computed(clock):
    shown_as = Progress(1000)
    shown_as.line(status(0, reused=100))
    clock[0] += 50  # images and workers are got ready: not part of the speed
    shown_as.line(status(10, reused=100))
    clock[0] += 20
    # 40 in 20 s; 1000 - 50 - 100 are left, which takes 425 s
    assert shown_as.line(status(50, reused=100)) == " 15 % · 150 of 1000 episodes · 2.0/s · 2 workers · 7:05 left"


def test_a_note_comes_last(clock):
    shown_as = Progress(8)
    shown_as.note = "final evaluation"
    assert shown_as.line(status(0, reused=8)).startswith("100 % · 8 of 8 episodes")
    assert shown_as.line(status(0, reused=8)).endswith(" · final evaluation")


def test_a_worker_that_cannot_be_started_is_told_of(clock):
    line = Progress(8).line({**status(0), "complaint": "home must be a folder that all nodes share"})
    assert line.endswith(" · a worker could not be started: home must be a folder that all nodes share")


class Dispatcher:
    """Stands in for the actor; its status may be an error."""

    def __init__(self, answer):
        self.answer, self.asked = answer, 0
        self.status = self

    def remote(self):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_lines_go_to_standard_error(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    dispatcher = Dispatcher(status(3))
    with shown(Progress(6), dispatcher):
        while dispatcher.asked < 3:
            time.sleep(0.01)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) >= 3
    assert err.splitlines()[-1].startswith(" 50 % · 3 of 6 episodes")


def test_an_error_inside_is_not_hidden_by_a_dispatcher_that_is_gone(monkeypatch):
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    with pytest.raises(RuntimeError, match="what really happened"), shown(Progress(6), Dispatcher(gone())):
        raise RuntimeError("what really happened")


def test_a_dispatcher_that_goes_ends_the_display_in_silence(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    dispatcher = Dispatcher(gone())
    with shown(Progress(6), dispatcher):
        while dispatcher.asked < 1:
            time.sleep(0.01)
        time.sleep(0.05)
        assert dispatcher.asked == 1
        dispatcher.answer = status(6)
    assert capsys.readouterr().err.startswith("100 %")


def gone():
    return ray.exceptions.ActorDiedError()
