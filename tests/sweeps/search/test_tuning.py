import os
import signal

import pytest

from pipeline.identity import Inputs
from pipeline.opening import connected
from pipeline.storage.folder import Home
from sweeps.schema.loading import load
from sweeps.schema.sweep import Search
from sweeps.search.tuning import generation_sizes, rung_episodes, search_settings
from sweeps.terminal.progress import Progress
from tests.sweeps.search.noted import Noted
from tests.sweeps.tiny import CONFIG, TINY

SWEEP = load(CONFIG, TINY)


@pytest.mark.parametrize(("trials", "generation", "sizes"), [(16, 8, [8, 8]), (7, 3, [3, 3, 1]), (2, 8, [2])])
def test_trials_come_in_generations(trials, generation, sizes):
    assert generation_sizes(Search(space={}, trials=trials, generation=generation)) == sizes


def test_rungs_add_episodes_to_those_before():
    assert rung_episodes(Search(space={}, rungs=(2, 3, 6))) == [[0, 1], [2], [3, 4, 5]]
    assert rung_episodes(Search(space={}, rungs=(3,))) == [[0, 1, 2]]


@pytest.fixture(scope="module")
def ray():
    with connected():
        yield


def session_of(asked):
    """A session that solves by formula, the smaller a rate the better; of a generation the first goes on. `asked` is
    called in the trial's own process before each of its rungs.
    """

    class StandIn:  # here, so that it travels whole to processes that do not have this file
        inputs = Inputs("images", "weights", "float32")

        def begin(self, spec):
            assert set(map(len, spec.episodes)) == {2}

        def next_rung(self, spec, trial, rung):
            asked(trial, rung)
            if rung and trial != min(spec.runs):
                return None
            return [self.row(spec.runs[trial], episode) for episode in range(2 * (rung + 1))]

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
    return search_settings(SWEEP, SWEEP.search, *told), tracker


@pytest.mark.slow
def test_tune_runs_all_trials_and_the_record_has_them(ray, tmp_path):
    record, tracker = searched(tmp_path)
    assert [trial.name for trial in record.trials] == ["0.0", "0.1", "1.0", "1.1"]
    assert [trial.stopped_by for trial in record.trials] == [None, "halving", None, "halving"]
    assert [trial.episodes for trial in record.trials] == [4, 2, 4, 2]
    assert [trial.values for trial in record.trials[:2]] == list(SWEEP.search.first.values())
    rates = [trial.values["lr"] for trial in record.trials]
    assert [trial.accuracy + rate for trial, rate in zip(record.trials, rates, strict=True)] == pytest.approx(
        [0.65, 0.55, 0.65, 0.55]
    )
    # A stopped trial is as far from the best as on the episodes that both did, and would have this on all four.
    assert [trial.score for trial in record.trials] == pytest.approx([0.65 - rate for rate in rates])
    assert record.winner.values["lr"] == min(rates[0], rates[2])
    assert (record.rungs, record.importances) == ((2, 4), None)
    ended = {trial: (status, why) for trial, status, why in tracker.of("finish_trial")}
    assert ended == {trial.name: ("FINISHED", trial.stopped_by or "none") for trial in record.trials}


@pytest.mark.slow
def test_a_search_that_is_told_to_end_early_finds_nothing(ray, tmp_path):
    """By the one signal that Tune still takes for the end of a search."""
    driver = os.getpid()

    def told(trial, rung):
        if trial == "1.0":
            os.kill(driver, signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    try:
        with pytest.raises(RuntimeError, match=r"^the search has ended early, with [23] of 4 trials done; the same co"):
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
