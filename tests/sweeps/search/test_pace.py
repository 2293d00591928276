import json

import pytest

from pipeline.config import Run
from pipeline.dispatch.status import Status
from sweeps.schema.space import Range
from sweeps.schema.sweep import Search
from sweeps.search import pace
from sweeps.search.pace import NAME, in_problems

RUN = Run.model_validate({"solver": {"name": "lora"}, "prompts": {"alpha": 0}})
SPACE = {"lr": Range(low=0.001, high=0.1, log=True)}


class Solving:
    """A session that takes a tenth of a second for a problem; a ledger holds the first `known` episodes asked for."""

    def __init__(self, clock, known=0):
        self.clock, self.known, self.computed, self.asked = clock, known, 0, []

    def solve(self, runs, episodes):
        self.asked += episodes
        if len(self.asked) > self.known:
            self.computed += len(runs)
            self.clock.now += 0.1 * len(runs) + (5.0 if len(self.asked) == self.known + 1 else 0.0)  # it warms up

    def status(self):
        return Status(computed=self.computed)

    def hashes(self, runs):
        return [run.model_dump_json() for run in runs]


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def test_minutes_are_as_many_problems_as_are_solved_in_them(clock, tmp_path):
    search = Search(space=SPACE, minutes=2.5)
    found = in_problems(search, RUN, Solving(clock), tmp_path / "a")
    assert (found.problems, found.minutes) == (1500, None)
    assert json.loads((tmp_path / "a" / NAME).read_text())["problems_a_second"] == pytest.approx(10.0)
    assert [path.name for path in (tmp_path / "a").iterdir()] == [NAME]


def test_what_the_ledger_holds_is_not_timed(clock, tmp_path):
    session = Solving(clock, known=2)
    assert in_problems(Search(space=SPACE, minutes=1), RUN, session, tmp_path).problems == 600
    assert session.asked == [pace.FAR + i for i in range(5)]


def test_a_rerun_repeats_the_plan_and_not_the_measurement(clock, tmp_path):
    (tmp_path / NAME).write_text('{"problems_a_second": 3.0}')
    session = Solving(clock)
    assert in_problems(Search(space=SPACE, minutes=10), RUN, session, tmp_path).problems == 1800
    assert session.asked == []


def test_the_shortest_search_has_a_race(clock, tmp_path):
    assert in_problems(Search(space=SPACE, minutes=0.001), RUN, Solving(clock), tmp_path).problems == 24


def test_a_search_without_minutes_is_as_it_was(tmp_path):
    search = Search(space=SPACE, problems=77)
    assert in_problems(search, RUN, None, tmp_path) is search
    assert not list(tmp_path.iterdir())
