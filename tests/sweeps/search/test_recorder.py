from types import SimpleNamespace

import cloudpickle
import numpy as np
import pytest

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.identity import Inputs, configuration_hash, identity
from sweeps.schema.loading import load
from sweeps.search.recorder import Recorder
from sweeps.statistics.estimates import paired_difference
from sweeps.statistics.rows import METRICS
from sweeps.terminal.progress import Progress
from sweeps.tracking.outbox import Outbox
from tests.sweeps.search.noted import Noted
from tests.sweeps.tiny import CONFIG, TINY

INPUTS = Inputs("images", "weights", "float32")
SWEEP = load(CONFIG, TINY)
FIRST, SECOND = {"alpha": 0.0, "lr": 0.01}, {"lambda": 1.0, "alpha": 2.0, "tau": 1.0, "patches": 4, "lr": 0.01}
SCORES = {0.0: [0.5, 0.75, 0.25, 0.5], 2.0: [1.0, 0.75, 0.5, 0.5]}  # by alpha


@pytest.fixture
def recorder():
    def accuracies(asked):
        return {name: SCORES[values["alpha"]][:episodes] for name, (values, episodes) in asked.items()}

    searched = plain_run(SWEEP, SWEEP.search.split)
    code = {"mlflow.user": "me"}
    return Recorder(searched, SWEEP.search, INPUTS, Noted(), Progress(1), accuracies, code, ["data"])


def trial(name, values, incumbent=None, **last):
    config = {"trial": name, "generation": int(name[0]), "values": values, "incumbent": incumbent}
    return SimpleNamespace(config=config, last_result=last)


def reported(rung, alpha, **other):
    own = SCORES[alpha][: (2, 4)[rung - 1]]
    blank = dict.fromkeys(METRICS)
    return {
        **blank,
        "rung": rung,
        "episodes": len(own),
        "failed": 0,
        "accuracy": float(np.mean(own)),
        "ci95": 0.02,
        **other,
    }


def test_a_trial_begins_with_what_it_is(recorder):
    one = trial("0.1", SECOND)
    recorder.on_trial_start(0, [one], one)
    ((name, title, parameters, tags, data),) = recorder.tracker.of("trial")
    run = with_hyper_parameters(plain_run(SWEEP, "validation"), SECOND)
    assert (name, title) == ("0.1", "lora · lambda 1 · alpha 2 · tau 1 · P 4 · lr 0.01")
    assert (parameters["patches"], parameters["episodes.split"], parameters["generation"]) == (4, "validation", 0)
    assert (tags["fpt.kind"], tags["solver"], tags["winner"], tags["mlflow.user"]) == ("trial", "lora", "no", "me")
    assert tags["config_hash"] == configuration_hash(identity(run, INPUTS))
    assert data == ["data"]


def test_the_first_generation_has_nobody_to_be_compared_with(recorder):
    one = trial("0.0", FIRST)
    recorder.on_trial_result(0, [one], one, reported(1, 0.0, seconds_per_episode=0.25))
    ((name, step, metrics),) = recorder.tracker.of("report")
    assert (name, step, metrics["accuracy"], metrics["episodes"]) == ("0.0", 2, 0.625, 2)
    assert (metrics["difference"], metrics["difference_ci95"]) == (None, None)
    assert metrics["episodes_per_second"] == 4.0


@pytest.mark.parametrize("rung", [1, 2])
def test_later_ones_are_compared_with_the_best_on_the_same_episodes(recorder, rung):
    one = trial("1.0", SECOND, FIRST)
    recorder.on_trial_result(0, [one], one, reported(rung, 2.0))
    ((_, step, metrics),) = recorder.tracker.of("report")
    ours, theirs = SCORES[2.0][:step], SCORES[0.0][:step]
    judged = paired_difference(ours, theirs, 1 / 9)
    assert metrics["difference"] == pytest.approx(judged.mean)
    assert metrics["difference_ci95"] == pytest.approx(judged.ci95)
    assert "episodes_per_second" not in metrics


def test_a_trial_that_failed_has_no_difference(recorder):
    one = trial("1.0", SECOND, FIRST)
    recorder.on_trial_result(0, [one], one, {**reported(1, 2.0), "accuracy": None, "failed": 1})
    ((_, _, metrics),) = recorder.tracker.of("report")
    assert (metrics["accuracy"], metrics["difference"]) == (None, None)


def test_how_the_search_stands_is_told_as_trials_end(recorder):
    one, two, three = (trial(name, values) for name, values in (("0.0", FIRST), ("0.1", SECOND), ("1.0", SECOND)))
    recorder.on_trial_complete(0, [one], trial("9.9", FIRST, stopped_by="halving"))
    recorder.on_trial_result(0, [one], one, reported(2, 0.0))
    recorder.on_trial_complete(0, [one], one)
    recorder.on_trial_result(0, [two], two, reported(1, 2.0))  # not all episodes
    recorder.on_trial_result(0, [two], two, {"stopped_by": "halving"})
    recorder.on_trial_error(0, [two], two)
    recorder.on_trial_result(0, [three], three, reported(2, 2.0))
    recorder.on_trial_complete(0, [three], trial("1.0", SECOND, error="broken"))
    assert [call[1:] for call in recorder.tracker.of("finish_trial")] == [
        ["FINISHED", "halving"],
        ["FINISHED", "none"],
        ["FAILED", "error"],
        ["FAILED", "none"],
    ]
    told = recorder.tracker.of("so_far")
    assert [(ended, best) for ended, best, _ in told] == [(1, None), (2, 0.5), (3, 0.5), (4, 0.6875)]
    assert told[0][2] == "**Searching:** 1 of 4 trials have ended."
    assert told[1][2] == (
        "**Searching:** 2 of 4 trials have ended. Best so far: lora · no prompts · lr 0.01, 50.0 ± 2.0 % on 4 "
        "validation episodes."
    )
    assert "lambda 1 · alpha 2" in told[3][2]
    assert str(recorder.leader.estimate) == "68.8 ± 2.0"
    assert (recorder.ended, recorder.stopped) == (4, 2)


def test_tune_can_write_down_a_recorder_whose_tracker_holds_a_thread(recorder):
    """Tune writes down its callbacks now and then."""
    recorder.tracker = Outbox(lambda error: False, lambda: None)
    try:
        with pytest.raises(TypeError, match="cannot pickle"):
            cloudpickle.dumps(recorder.tracker)
        cloudpickle.loads(cloudpickle.dumps(recorder))
    finally:
        recorder.tracker.close()
