import os
from pathlib import Path

import mlflow
import pytest

from sweeps.tracking import Tracker, check_tracking, quiet

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    """A SQLite store; making one takes MLflow seconds, so tests share it under experiments of their own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def tracker(uri, request) -> Tracker:
    return Tracker(uri, request.node.name)


def started(tracker):
    tracker.start("sweep abc", "glyphs abc", {"solver.lr": 0.01, "search.rungs": [2, 4]}, {"fpt.kind": "sweep"})
    return tracker


def with_trial(tracker):
    started(tracker).trial("0.1", "lora · no prompts", {"alpha": 0.0}, {"solver": "lora"})
    return tracker


def runs(tracker):
    client = mlflow.MlflowClient(tracking_uri=tracker.tracking_uri)
    return list(client.search_runs([tracker.experiment_id], order_by=["attributes.start_time"]))


def history(tracker, trial, metric):
    found = tracker.client.get_metric_history(tracker.children[trial], metric)
    return sorted((one.step, one.value) for one in found)


def test_a_sweep_is_one_run_however_often_it_is_started(tracker):
    started(tracker)
    again = started(Tracker(tracker.tracking_uri, tracker.experiment))
    assert again.run_id == tracker.run_id
    (run,) = runs(tracker)
    assert run.info.run_name == "glyphs abc"
    assert run.data.params == {"solver.lr": "0.01", "search.rungs": "[2, 4]"}
    assert run.data.tags["fpt.kind"] == "sweep"
    other = Tracker(tracker.tracking_uri, tracker.experiment)
    other.start("sweep def", "glyphs def", {}, {})
    assert other.run_id != tracker.run_id
    assert len(runs(tracker)) == 2


def test_trials_are_children_and_are_found_again(tracker):
    with_trial(tracker)
    tracker.trial("0.1", "lora · no prompts", {"alpha": 0.0}, {"solver": "lora"})
    tracker.trial("0.2", "lora · lambda 1", {"alpha": 1.0}, {"solver": "lora"})
    again = with_trial(Tracker(tracker.tracking_uri, tracker.experiment))
    assert again.children["0.1"] == tracker.children["0.1"]
    found = {run.info.run_id: run for run in runs(tracker)}
    assert len(found) == 3
    for trial, alpha in (("0.1", "0.0"), ("0.2", "1.0")):
        child = found[tracker.children[trial]]
        assert child.data.tags["mlflow.parentRunId"] == tracker.run_id
        assert (child.data.tags["fpt.trial"], child.data.params) == (trial, {"alpha": alpha})


def test_the_same_trial_of_another_sweep_is_another_run(tracker):
    with_trial(tracker)
    other = Tracker(tracker.tracking_uri, tracker.experiment)
    other.start("sweep def", "glyphs def", {}, {})
    other.trial("0.1", "lora · no prompts", {}, {})
    assert other.children["0.1"] != tracker.children["0.1"]


def test_a_step_is_logged_once(tracker):
    with_trial(tracker)
    tracker.report("0.1", 16, {"episodes": 16, "accuracy": 0.5, "ci95": None})
    tracker.report("0.1", 16, {"episodes": 16, "accuracy": 0.75})
    again = with_trial(Tracker(tracker.tracking_uri, tracker.experiment))
    again.report("0.1", 16, {"episodes": 16, "accuracy": 0.25})
    again.report("0.1", 32, {"episodes": 32, "accuracy": 0.25})
    assert history(tracker, "0.1", "accuracy") == [(16, 0.5), (32, 0.25)]
    assert history(tracker, "0.1", "episodes") == [(16, 16.0), (32, 32.0)]
    assert history(tracker, "0.1", "ci95") == []


def test_runs_end_as_they_are_said_to(tracker):
    with_trial(tracker)
    tracker.trial("0.2", "another", {}, {})
    tracker.finish_trial("0.1", "FINISHED", "halving")
    tracker.finish_trial("0.2", "FAILED", "error")
    tracker.fail()
    by_id = {run.info.run_id: run for run in runs(tracker)}
    ended = {trial: by_id[run_id] for trial, run_id in tracker.children.items()}
    assert (ended["0.1"].info.status, ended["0.1"].data.tags["stopped_by"]) == ("FINISHED", "halving")
    assert (ended["0.2"].info.status, ended["0.2"].data.tags["stopped_by"]) == ("FAILED", "error")
    assert by_id[tracker.run_id].info.status == "FAILED"
    started(Tracker(tracker.tracking_uri, tracker.experiment))
    assert {run.info.run_id: run for run in runs(tracker)}[tracker.run_id].info.status == "RUNNING"


def test_failing_before_the_start_is_nothing(tracker):
    tracker.fail()
    assert runs(tracker) == []


def summarised(tracker, tmp_path):
    report = tmp_path / "report.md"
    report.write_text("# so it is")
    for _ in range(2):
        started(tracker).summarise({"episodes": 200, "accuracy": 0.5, "difference": None}, 200, "**won**", [report])


def test_a_summary_closes_the_sweep(tracker, tmp_path):
    summarised(tracker, tmp_path)
    (run,) = runs(tracker)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"episodes": 200.0, "accuracy": 0.5}
    assert run.data.tags["mlflow.note.content"] == "**won**"
    assert [file.path for file in tracker.client.list_artifacts(tracker.run_id)] == ["report.md"]


def test_files_lie_beside_the_store_and_not_where_the_command_was_typed(tracker, uri, tmp_path):
    summarised(tracker, tmp_path)
    (run,) = runs(tracker)
    beside = Path(uri.removeprefix("sqlite:///")).parent
    assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(beside)


def test_more_parameters_than_one_call_takes(tracker):
    tracker.start("sweep many", "many", {f"p{i}": i for i in range(230)}, {})
    (run,) = runs(tracker)
    assert run.data.params == {f"p{i}": str(i) for i in range(230)}


def test_a_store_that_is_not_there_yet_is_not_made_by_checking(here, tmp_path):
    check_tracking(f"sqlite:///{tmp_path / 'not' / 'yet' / 'mlflow.db'}")
    assert [*tmp_path.iterdir(), *here.iterdir()] == [here]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(
        ValueError, match=r"tracking_uri must be one that MLflow can reach but 'sqlite:///.*cannot write"
    ):
        check_tracking(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")


@pytest.mark.parametrize("use", [check_tracking, lambda uri: Tracker(uri, "any")], ids=["check", "tracker"])
@pytest.mark.timeout(60)
def test_an_unreachable_server_is_said_to_be_so_within_seconds(use, unreachable):
    with pytest.raises(
        ValueError, match=f"^tracking_uri must be one that MLflow can reach but '{unreachable}' failed: "
    ) as said:
        use(unreachable)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("uri", ["ftp://host/path", "runs/mlflow"])
def test_what_is_no_tracking_uri_is_refused_and_nothing_is_written(here, uri):
    with pytest.raises(ValueError, match=r"^tracking_uri must be one that MLflow can reach but"):
        check_tracking(uri)
    assert list(here.iterdir()) == []


def test_what_the_user_has_set_about_retries_stays(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    quiet()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
