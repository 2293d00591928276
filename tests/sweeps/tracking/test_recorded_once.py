"""What is lost, refused or carried out twice on its way to MLflow."""

import mlflow
import pytest

from sweeps.tracking.tracker import Tracker
from tests.sweeps.tracking.tracked import history, runs, started, with_trial

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


def test_a_mistake_is_raised_by_the_next_call(tracker):
    with_trial(tracker)
    tracker.report("0.1", 1, {"no name: ?": 1.0})
    with pytest.raises(RuntimeError, match=r"^MLflow did not take what there was to record: .*no name"):
        tracker.flush(60)
    tracker.report("0.1", 1, {"episodes": 1.0})
    assert history(tracker, "0.1", "episodes") == [(1, 1.0)]


def test_a_mistake_holds_nothing_else_up(tracker, tmp_path):
    started(tracker).summarise({"episodes": 1}, 1, "so it was", [tmp_path / "no such file"])
    with pytest.raises(RuntimeError, match="no such file"):
        tracker.flush(60)
    (run,) = runs(tracker)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"episodes": 1.0})


def test_the_same_metric_sent_twice_is_there_once(tracker):
    """What `report` relies on where a request was carried out while the next one was on its way."""
    entries = [mlflow.entities.Metric("accuracy", 0.5, 1_700_000_000_000, 16)]
    for _ in range(2):
        started(tracker).client.log_batch(tracker.run_id, entries)
    (metric,) = tracker.client.get_metric_history(tracker.run_id, "accuracy")
    assert (metric.step, metric.value) == (16, 0.5)


def test_a_start_whose_answer_was_lost_is_found_again(tracker, monkeypatch):
    _lose_every_other_answer(monkeypatch, tracker.client, "create_run")
    with pytest.raises(ValueError, match=r"^tracking_uri must be one .* failed: the answer was lost$"):
        started(tracker)
    (run,) = runs(tracker)
    assert started(tracker).run_id == run.info.run_id
    assert runs(tracker)[0].data.params == {"solver.lr": "0.01", "search.rungs": "[2, 4]"}


@pytest.mark.parametrize("begun", [1, 2_000_000_000_000], ids=["older", "newer"])
def test_of_doubles_the_one_that_holds_something_is_left(tracker, begun):
    """A request to make a run that is carried out after another has long been made and used."""
    with_trial(tracker)
    tracker.report("0.1", 16, {"episodes": 16})
    assert history(tracker, "0.1", "episodes") == [(16, 16.0)]
    for run in runs(tracker):
        tracker.client.create_run(tracker.experiment_id, begun, run.data.tags)
    again = with_trial(Tracker(tracker.tracking_uri, tracker.experiment))
    assert {run.info.run_id for run in runs(again)} == {tracker.run_id, tracker.children["0.1"]}


def test_an_answer_that_was_lost_is_not_recorded_twice(tracker, monkeypatch):
    """What was carried out and then not answered is sent again: it must not be there twice."""
    monkeypatch.setattr(tracker.outbox, "pauses", (0.01,))
    with_trial(tracker)
    assert tracker.flush(60) == 0
    for name in ("create_run", "log_batch", "set_terminated"):
        _lose_every_other_answer(monkeypatch, tracker.client, name)
    tracker.trial("0.2", "another", {"alpha": 1.0}, {})
    for step in (16, 32):
        tracker.report("0.2", step, {"episodes": step, "accuracy": 0.5})
    tracker.finish_trial("0.2", "FINISHED", "none")
    assert history(tracker, "0.2", "accuracy") == [(16, 0.5), (32, 0.5)]
    assert len(runs(tracker)) == 3
    (found,) = [run for run in runs(tracker) if run.info.run_id == tracker.children["0.2"]]
    assert (found.info.status, found.data.params) == ("FINISHED", {"alpha": "1.0"})


def _lose_every_other_answer(monkeypatch, client, name):
    real, calls = getattr(client, name), []

    def lossy(*arguments, **options):
        calls.append(real(*arguments, **options))
        if len(calls) % 2:
            raise ConnectionError("the answer was lost")
        return calls[-1]

    monkeypatch.setattr(client, name, lossy)
