import os
import signal

import pytest

from pipeline.identity import Inputs
from pipeline.opening import connected
from pipeline.storage.folder import Home
from sweeps.schema.loading import load
from sweeps.search.plan import Plan, plan_of
from sweeps.search.tuning import search_settings
from sweeps.terminal.progress import Progress
from tests.sweeps.search.noted import Noted
from tests.sweeps.tiny import CONFIG, TINY

SWEEP = load(CONFIG, TINY)
PLAN = plan_of(SWEEP.search)


@pytest.fixture(scope="module")
def ray():
    with connected():
        yield


def session_of(asked):
    """A session that solves by formula, the smaller a rate the better; two that race go on after a rung. `asked` is
    called in the trial's own process before each of its rungs.
    """

    class StandIn:  # here, so that it travels whole to processes that do not have this file
        def inputs_of(self, run):
            return Inputs("images", "weights", "float32")

        def begin(self, spec):
            assert spec.episodes == ([[4]] if spec.number == 0 else [[0, 1], [2, 3]])

        def next_rung(self, spec, trial, rung):
            asked(trial, rung)
            if rung and trial not in sorted(spec.runs)[:2]:
                return None
            done = [episode for added in spec.episodes[: rung + 1] for episode in added]
            return [self.row(spec.runs[trial], episode) for episode in done]

        def accuracies(self, asked):
            return [[self.row(run, episode)["accuracy"] for episode in range(count)] for run, count in asked]

        def row(self, run, episode):
            located = ("prompt_precision", "prompt_chance", "attention_on_key_before", "attention_on_key_after")
            accuracy = 0.5 + episode / 10 - run.solver.lr
            return {"accuracy": accuracy, "failed": False, "seconds": 0.5, "queries": 100, **dict.fromkeys(located)}

    return StandIn()


def searched(tmp_path, asked=lambda trial, rung: None):
    """The record of a search that Tune runs, and what the tracker heard."""
    tracker = Noted()
    told = (session_of(asked), tracker, Progress(1), Home(str(tmp_path)), "abc", {}, [])
    return search_settings(SWEEP, SWEEP.search, PLAN, *told), tracker


@pytest.mark.slow
def test_tune_runs_all_looks_and_the_race_and_the_record_has_them(ray, tmp_path):
    assert Plan((6,), 4, (2, 4)) == PLAN
    record, tracker = searched(tmp_path)
    assert [trial.name for trial in record.trials] == [f"0.{place}" for place in range(6)]
    assert [trial.values for trial in record.trials[:2]] == list(SWEEP.search.first.values())
    rates = [trial.values["lr"] for trial in record.trials]
    # Every look is at episode 4, and those that race see the first two or all of the first four.
    assert [[look.accuracy for look in trial.looks] for trial in record.trials] == [
        [pytest.approx(0.9 - rate)] for rate in rates
    ]
    assert [trial.raced for trial in record.trials[:2]] == [4, 4]
    stopped = [trial for trial in record.trials if trial.raced == 2]
    assert [trial.stopped_by for trial in stopped] == ["halving"] * 2
    raced = [(trial, trial.values["lr"]) for trial in record.racers]
    assert [trial.accuracy + rate for trial, rate in raced] == pytest.approx(
        [0.65 if trial.raced == 4 else 0.55 for trial, _ in raced]
    )
    # A stopped trial is as far from the best as on the episodes that both did, and would have this on all four.
    assert [trial.score + rate for trial, rate in raced] == pytest.approx([0.65] * 4)
    assert record.winner.values["lr"] == min(rates[:2])
    assert (record.rungs, record.problems, record.raced, record.importances) == ((2, 4), 18, 12, None)
    ended = {trial: (status, why) for trial, status, why in tracker.of("finish_trial")}
    assert ended == {
        trial.name: ("FINISHED", trial.stopped_by or ("none" if trial.raced else "looks")) for trial in record.trials
    }
    assert sorted(call[:2] for call in tracker.of("look")) == [[trial.name, 0] for trial in record.trials]
    assert {call[0]: call[1] for call in tracker.of("report")} == {trial.name: trial.raced for trial, _ in raced}
    ((looks, mean, _),) = tracker.of("so_far")
    assert looks == 6
    assert 0.8 < mean < 0.9


@pytest.mark.slow
def test_a_search_that_is_told_to_end_early_finds_nothing(ray, tmp_path):
    """By the one signal that Tune still takes for the end of a search."""
    driver = os.getpid()

    def told(trial, rung):
        if trial == "1.0" and not rung:
            os.kill(driver, signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    try:
        with pytest.raises(
            RuntimeError, match=r"^the search has ended early, with [6-9] of 10 trials done; the same co"
        ):
            searched(tmp_path, told)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.slow
def test_a_trial_that_fails_ends_the_search_in_its_own_words(ray, tmp_path):
    def broken(trial, rung):
        if trial == "0.1":
            raise ValueError("solver.lr must be what the\nbackbone takes")

    with pytest.raises(RuntimeError, match=r"^a trial failed: solver\.lr must be what the backbone takes$"):
        searched(tmp_path, broken)
