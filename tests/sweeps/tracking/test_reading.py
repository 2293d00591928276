import re

import pytest

from sweeps.tracking.reading import check_tracking, recorded_trial, recorded_winner
from sweeps.tracking.tracker import Tracker

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


def test_a_store_that_is_not_there_yet_is_not_made_by_checking(here, tmp_path):
    check_tracking(f"sqlite:///{tmp_path / 'not' / 'yet' / 'mlflow.db'}", "any")
    assert [*tmp_path.iterdir(), *here.iterdir()] == [here]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(
        ValueError, match=r"tracking_uri must be one that MLflow can reach but 'sqlite:///.*cannot write"
    ):
        check_tracking(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}", "any")


@pytest.mark.parametrize("use", [check_tracking, Tracker], ids=["check", "tracker"])
@pytest.mark.timeout(60)
def test_an_unreachable_server_is_said_to_be_so_within_seconds(use, unreachable):
    with pytest.raises(
        ValueError, match=f"^tracking_uri must be one that MLflow can reach but '{unreachable}' failed: "
    ) as said:
        use(unreachable, "any")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("uri", ["ftp://host/path", "runs/mlflow"])
def test_what_is_no_tracking_uri_is_refused_and_nothing_is_written(here, uri):
    with pytest.raises(ValueError, match=r"^tracking_uri must be one that MLflow can reach but"):
        check_tracking(uri, "any")
    assert list(here.iterdir()) == []


def test_an_experiment_that_was_deleted_is_told_with_what_brings_it_back(tracker):
    uri, name = tracker.tracking_uri, tracker.experiment
    check_tracking(uri, name)
    tracker.client.delete_experiment(tracker.experiment_id)
    restores = f"MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id {tracker.experiment_id} brings"
    with pytest.raises(
        ValueError, match=rf"^name must be .*, but experiment '{re.escape(name)}' was deleted .*: {restores}"
    ):
        check_tracking(uri, name)
    check_tracking(uri, "another")
    tracker.client.restore_experiment(tracker.experiment_id)
    check_tracking(uri, name)


def test_a_database_of_something_else_is_said_to_be_one(tmp_path):
    (tmp_path / "mlflow.db").write_text(
        "this is no database at all, but text that is long enough to be taken for one" * 9
    )
    with pytest.raises(ValueError, match=r"^tracking_uri must be one that MLflow can reach but .*: file is not a data"):
        check_tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", "any")


def test_only_hyper_parameters_of_a_trial_are_read_back(tracker):
    tracker.start("sweep abc", "abc", {"solver.lr": 0.01}, {"fpt.kind": "sweep"})
    own = {"alpha": 0.5, "generation": 0, "search.seed": 0, "solver.lr": 0.01, "precision": "float32"}
    tracker.trial("0.1", "any", own, {"fpt.kind": "trial"})
    assert tracker.flush(60) == 0
    told = recorded_trial(tracker.tracking_uri, tracker.children["0.1"])
    assert told == ({"alpha": "0.5", "generation": "0"}, {"solver.lr": "0.01", "precision": "float32"})


def test_a_trial_s_own_backbone_comes_before_the_sweep_s(tracker):
    of_sweep = {"backbone.name": "vit_a", "backbone.weights": "True", "backbone_fingerprint": "a, b"}
    tracker.start("sweep abc", "abc", of_sweep, {"fpt.kind": "sweep"})
    own = {"lr": 0.1, "backbone": "b", "backbone.name": "vit_b", "backbone_fingerprint": "b"}
    tracker.trial("0.1", "any", own, {"fpt.kind": "trial"})
    assert tracker.flush(60) == 0
    told = recorded_trial(tracker.tracking_uri, tracker.children["0.1"])
    assert told == ({"lr": "0.1"}, {**of_sweep, "backbone.name": "vit_b", "backbone_fingerprint": "b"})


def test_the_winner_of_a_sweep_is_read_from_its_run(tracker, tmp_path):
    tracker.start("sweep abc", "abc", {}, {"fpt.kind": "sweep"})
    tracker.trial("0.1", "any", {}, {"fpt.kind": "trial"})
    assert tracker.flush(60) == 0
    uri = tracker.tracking_uri
    assert recorded_winner(uri, tracker.children["0.1"], "best.yaml") is None
    with pytest.raises(ValueError, match=r"must be that of a finished sweep but has no best.yaml yet"):
        recorded_winner(uri, tracker.run_id, "best.yaml")
    (tmp_path / "best.yaml").write_text("name: birds\n")
    tracker.client.log_artifact(tracker.run_id, str(tmp_path / "best.yaml"))
    assert recorded_winner(uri, tracker.run_id, "best.yaml") == "name: birds\n"
    assert recorded_winner(uri, tracker.run_id, "calibration.json", optional=True) is None
    with pytest.raises(ValueError, match=f"run {'0' * 32} must be in .* but is not"):
        recorded_winner(uri, "0" * 32, "best.yaml")
