import pytest
from ray.exceptions import RayTaskError
from scipy import stats

from pipeline.config import Run, with_hyper_parameters
from pipeline.dispatch.dispatcher import GenerationOf
from pipeline.storage.folder import NoRoomError
from sweeps.search import trial
from sweeps.search.trial import METRICS, run_trial, summary


def row(accuracy, precision=None, seconds=1.0):
    return {
        "accuracy": accuracy,
        "failed": accuracy is None,
        "seconds": seconds,
        "prompt_precision": precision,
        "prompt_chance": None,
        "attention_on_key_before": 0.25,
        "attention_on_key_after": 0.5,
    }


def test_a_summary_by_hand():
    rows = [row(0.5, 0.25, 1), row(0.7, None, 2), row(0.9, 0.75, 6)]
    found = summary(rows)
    assert set(found) == set(METRICS)
    assert (found["episodes"], found["failed"], found["seconds_per_episode"]) == (3, 0, 3.0)
    assert found["accuracy"] == pytest.approx(0.7)
    assert found["ci95"] == pytest.approx(stats.t.ppf(0.975, 2) * 0.2 / 3**0.5)
    assert (found["prompt_precision"], found["prompt_chance"]) == (0.5, None)
    assert (found["attention_on_key_before"], found["attention_on_key_after"]) == (0.25, 0.5)


def test_one_failed_episode_leaves_no_accuracy():
    found = summary([row(0.5), row(None), row(None)])
    assert (found["failed"], found["accuracy"], found["ci95"]) == (2, None, None)


EPISODES = [[0, 1], [2], [3, 4, 5]]
CONFIG = {
    "trial": "1.2",
    "generation": 1,
    "values": {"alpha": 3},
    "settings": {"1.1": {"alpha": 2}, "1.2": {"alpha": 3}},
    "incumbent": {"alpha": 5},
}


class Asked:
    """Stands in for the dispatcher; a trial is stopped after `rungs` of them."""

    def __init__(self, rungs):
        self.rungs, self.questions = rungs, []
        self.next_rung = self

    def remote(self, generation, name, rung):
        self.questions.append((generation, name, rung))
        return [row(0.3)] * (2, 3, 6)[rung] if rung < self.rungs else None


@pytest.fixture
def reports(monkeypatch):
    reported = []
    monkeypatch.setattr(trial.ray, "get", lambda answer: answer)
    monkeypatch.setattr(trial.tune, "report", reported.append)
    return reported


@pytest.mark.parametrize("rungs", [0, 1, 2, 3])
def test_a_trial_reports_every_rung_until_it_is_stopped(reports, rungs):
    asked = Asked(rungs)
    run_trial(CONFIG, asked, Run(), EPISODES, "racing")
    runs = {name: with_hyper_parameters(Run(), own) for name, own in CONFIG["settings"].items()}
    generation = GenerationOf(1, runs, EPISODES, with_hyper_parameters(Run(), {"alpha": 5}))
    assert asked.questions == [(generation, "1.2", rung) for rung in range(min(rungs + 1, 3))]
    kept = [report for report in reports if "stopped_by" not in report]
    assert [(report["rung"], report["episodes"]) for report in kept] == [(1, 2), (2, 3), (3, 6)][:rungs]
    assert all(report["accuracy"] == pytest.approx(0.3) for report in kept)
    assert [report["stopped_by"] for report in reports[rungs:]] == ["racing"] * (rungs < 3)


def test_what_is_wrong_is_reported_and_ends_the_trial(reports, monkeypatch):
    def get(answer):
        if len(reports) == 1:
            error = NoRoomError("home must have room\nfor results")
            raise RayTaskError("next_rung", "Traceback (most recent call last) ...", error)
        return answer

    monkeypatch.setattr(trial.ray, "get", get)
    run_trial(CONFIG, Asked(3), Run(), EPISODES, "racing")
    assert [report.get("error") for report in reports] == [None, "home must have room for results"]
    assert all("accuracy" in report for report in reports)  # or Tune raises
