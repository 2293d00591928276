"""What somebody deletes in MLflow's pages while a sweep is recorded, and what the same command records later."""

import threading
import time

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from sweeps.tracking.deleted import Deleted, deleted_of
from sweeps.tracking.models import Winner, log_winner
from sweeps.tracking.recording import recorded
from sweeps.tracking.tracker import Tracker
from tests.sweeps.tracking.tracked import history, runs, started, with_trial

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]
STEPS = (1, 2, 3)
HISTORY = [(step, step / 4) for step in STEPS]


@pytest.fixture
def brief(monkeypatch):
    """The end of a command does not wait for long."""
    monkeypatch.setattr("sweeps.tracking.recording.ENDING_SECONDS", 0.5)


def swept(tracker, between=lambda: None):
    """What a sweep records: two trials of three steps; `between` is called when all but the last step is there."""
    with_trial(tracker)
    tracker.outbox.pauses = (0.01,)
    with recorded(tracker):
        tracker.trial("0.2", "lora · lambda 1", {"alpha": 1.0}, {"solver": "lora"})
        for step in STEPS:
            if step == STEPS[-1]:
                assert tracker.flush(60) == 0
                between()
            for trial in ("0.1", "0.2"):
                tracker.report(trial, step, {"episodes": step, "accuracy": step / 4})
            tracker.so_far(step, step / 4, "how it stands")
        for trial in ("0.1", "0.2"):
            tracker.score(trial, 3, {"score": 0.5})
            tracker.finish_trial(trial, "FINISHED", "none")
        tracker.summarise({"episodes": 200, "accuracy": 0.5}, 200, "**won**", [], winner="0.1")


def again(tracker):
    """The same command once more."""
    other = Tracker(tracker.tracking_uri, tracker.experiment)
    swept(other)
    return other


def assert_whole(tracker):
    """Asserts that the store holds all of the sweep, once."""
    assert tracker.flush(60) == 0
    by_trial = {run.data.tags.get("fpt.trial"): run for run in of_sweep(tracker)}
    assert by_trial.keys() == {None, "0.1", "0.2"}
    assert {run.info.status for run in by_trial.values()} == {"FINISHED"}
    assert by_trial[None].data.metrics == {"episodes": 200.0, "accuracy": 0.5, "best_so_far": 0.75}
    assert by_trial[None].data.tags["mlflow.note.content"] == "**won**"
    assert by_trial["0.1"].data.tags["winner"] == "yes"
    best = tracker.client.get_metric_history(tracker.run_id, "best_so_far")
    assert sorted((one.step, one.value) for one in best) == HISTORY
    for trial in ("0.1", "0.2"):
        assert history(tracker, trial, "accuracy") == HISTORY
        assert by_trial[trial].data.metrics["score"] == 0.5


def of_sweep(tracker):
    """The tracker's own run and its children; of each there is one."""
    parent, found = tracker.run_id, runs(tracker)
    own = [run for run in found if parent in (run.info.run_id, run.data.tags.get("mlflow.parentRunId"))]
    assert len({run.data.tags["fpt.id"] for run in own}) == len(own)
    return own


def until_noticed(tracker, delete):
    delete()
    tracker.describe("how it stands")
    while tracker.deletions.now is None:
        time.sleep(0.01)


def deleted_and_restored(tracker, kind):
    """How somebody deletes what is recorded, and how that is restored."""
    identity = tracker.experiment_id if kind == "experiment" else tracker.run_id
    client = mlflow.MlflowClient(tracker.tracking_uri)
    return (
        lambda: getattr(client, f"delete_{kind}")(identity),
        lambda: getattr(client, f"restore_{kind}")(identity),
        f"mlflow {kind}s restore --{kind}-id {identity}",
    )


@pytest.mark.parametrize("kind", ["experiment", "run"])
def test_a_sweep_ends_well_and_says_so_and_the_same_command_records_what_was_missed(kind, tracker, brief, capfd):
    started(tracker)
    delete, restore, command = deleted_and_restored(tracker, kind)
    swept(tracker, lambda: until_noticed(tracker, delete))
    first, last = capfd.readouterr().err.splitlines()
    assert first.startswith(
        f"fpt: the {kind} of this command was deleted in MLflow's pages: what there is to record waits"
    )
    assert f"{command} has brought it back; the ledger and the report do not hang on it" in first
    assert last.startswith(f"fpt: {tracker.waiting} entries are not in MLflow, for the {kind} of this command was del")
    assert last.endswith(f"{command} has brought it back")
    assert tracker.waiting > 0
    assert tracker.away_since is None  # or the display would say that MLflow does not answer
    tracker.close()
    restore()
    assert_whole(again(tracker))


@pytest.mark.parametrize("kind", ["experiment", "run"])
def test_what_is_restored_while_the_sweep_runs_is_told_what_it_has_missed(kind, tracker, capfd):
    started(tracker)
    delete, restore, _ = deleted_and_restored(tracker, kind)
    restoring = threading.Thread(target=restore)
    swept(tracker, lambda: (until_noticed(tracker, delete), restoring.start()))
    restoring.join()
    assert_whole(tracker)
    assert capfd.readouterr().err.count("what there is to record waits") == 1


def test_a_run_that_stays_deleted_is_made_anew_by_the_same_command(tracker, brief):
    swept(tracker, lambda: tracker.client.delete_run(tracker.run_id))
    tracker.close()
    other = again(tracker)
    assert other.run_id != tracker.run_id
    assert_whole(other)


@pytest.mark.parametrize("kind", ["experiment", "run"])
def test_what_was_deleted_for_good_is_said_to_be_and_made_anew_by_the_same_command(kind, tracker, brief, capfd):
    """As `mlflow gc` does it."""

    def purge():
        store = tracker.client._tracking_client.store
        for run in runs(tracker):
            tracker.client.delete_run(run.info.run_id)
            store._hard_delete_run(run.info.run_id)
        if kind == "experiment":
            tracker.client.delete_experiment(tracker.experiment_id)
            store._hard_delete_experiment(tracker.experiment_id)

    swept(tracker, lambda: until_noticed(tracker, purge))
    first, last = capfd.readouterr().err.splitlines()
    assert first.startswith(
        f"fpt: the {kind} of this command was deleted from MLflow for good: nothing more is recorded;"
    )
    assert last.endswith("the same command records all of it anew")
    assert "restore" not in first + last
    tracker.close()
    assert_whole(again(tracker))


def test_of_a_trial_whose_run_is_deleted_nothing_more_is_recorded_but_of_all_others(tracker, capfd):
    swept(tracker, lambda: tracker.client.delete_run(tracker.children["0.1"]))
    assert tracker.flush(60) == 0
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith(
        "fpt: the run of a trial was deleted in MLflow's pages, so that nothing more of it is recorded"
    )
    assert said.endswith("the same command records it anew")
    assert history(tracker, "0.1", "accuracy") == HISTORY[:2]
    assert history(tracker, "0.2", "accuracy") == HISTORY
    (parent,) = [run for run in runs(tracker) if run.info.run_id == tracker.run_id]
    assert (parent.info.status, parent.data.metrics["accuracy"]) == ("FINISHED", 0.5)
    tracker.close()
    assert_whole(again(tracker))


def test_several_trials_are_two_sentences(tracker, capfd):
    swept(tracker, lambda: [tracker.client.delete_run(run) for run in tracker.children.values()])
    first, last = capfd.readouterr().err.splitlines()
    assert first.startswith("fpt: the run of a trial was deleted")
    assert last.startswith("fpt: the runs of 2 trials were deleted")


def test_a_sweep_that_fails_for_another_reason_says_that_reason(tracker, brief, capfd):
    def fail():
        until_noticed(tracker, lambda: tracker.client.delete_experiment(tracker.experiment_id))
        raise ValueError("another reason")

    with pytest.raises(ValueError, match="another reason"):
        swept(tracker, fail)
    assert "was deleted" in capfd.readouterr().err


def test_a_winner_waits_for_what_was_deleted_as_all_else_does(tracker, tmp_path, capfd):
    started(tracker).outbox.pauses = (0.01,)
    tracker.client.delete_experiment(tracker.experiment_id)
    (tmp_path / "MLmodel").write_text("flavors: {}")
    log_winner(tracker, Winner("abc/def", "glyphs recipe", tmp_path, {}, {}))
    while tracker.deletions.now is None:
        time.sleep(0.01)
    assert tracker.waiting == 3
    said = capfd.readouterr().err
    assert "the experiment of this command was deleted" in said
    assert "did not take the winner" not in said
    tracker.client.restore_experiment(tracker.experiment_id)
    assert tracker.flush(60) == 0
    (model,) = tracker.client.search_logged_models([tracker.experiment_id])
    assert model.source_run_id == tracker.run_id


def test_who_may_not_look_is_told_what_mlflow_said(tracker, monkeypatch):
    """What cannot be looked at is not taken for deleted."""

    def refused(*_, **__):
        raise MlflowException("not for you", error_code=PERMISSION_DENIED)

    with_trial(tracker)
    assert tracker.flush(60) == 0
    for name in ("get_experiment", "get_run", "log_batch"):
        monkeypatch.setattr(tracker.client, name, refused)
    assert deleted_of(tracker.client, tracker.experiment_id, tracker.run_id) is None
    tracker.describe("how it stands")
    with pytest.raises(RuntimeError, match=r"^MLflow did not take what there was to record: not for you"):
        tracker.flush(60)


def test_a_password_is_not_in_what_restores(tracker):
    said = Deleted("run", "1b2c", purged=False).waits("http://me:secret@host:5000")
    assert "MLFLOW_TRACKING_URI='http://me:***@host:5000' mlflow runs restore --run-id 1b2c has" in said
    assert "secret" not in said
