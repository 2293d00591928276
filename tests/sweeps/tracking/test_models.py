"""A winner as MLflow has it: a logged model of its run, and a version in the registry."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, PERMISSION_DENIED

from sweeps.tracking.fields import Data
from sweeps.tracking.models import Winner, log_measured, log_winner, register_winner
from sweeps.tracking.tracker import Tracker
from tests.sweeps.tracking.tracked import started

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]
FINAL = Data("glyphs novel", "abc", "/images", "final", {})
SEARCH = replace(FINAL, name="glyphs validation", context="search")


@pytest.fixture
def winner(tmp_path):
    """A folder as MLflow has models, with nothing in it but what tells so."""
    folder = tmp_path / "model"
    folder.mkdir()
    told = {"flavors": {"python_function": {"loader_module": "nothing"}}, "utc_time_created": "2026-01-02"}
    (folder / "MLmodel").write_text(yaml.safe_dump(told))
    (folder / "part.txt").write_text("a part")
    return Winner("abc/def", "glyphs recipe", folder, {"lam": "0.3"}, {"config_hash": "h1"})


def again(tracker):
    """The same command once more."""
    return started(Tracker(tracker.tracking_uri, tracker.experiment))


def test_a_winner_is_a_model_of_its_run_however_often_it_is_logged(tracker, winner):
    for one in (started(tracker), again(tracker)):
        log_winner(one, replace(winner))
        assert one.flush(30) == 0
    (model,) = tracker.client.search_logged_models([tracker.experiment_id])
    assert (model.name, model.status, model.source_run_id) == ("glyphs recipe", "READY", tracker.run_id)
    assert (model.params, model.tags["config_hash"]) == ({"lam": "0.3"}, "h1")
    run = tracker.client.get_run(tracker.run_id)
    assert [one.model_id for one in run.outputs.model_outputs] == [model.model_id]
    held = Path(urlsplit(model.artifact_location).path)
    assert (held / "part.txt").read_text() == "a part"
    told = yaml.safe_load((held / "MLmodel").read_text())
    assert (told["model_id"], told["run_id"]) == (model.model_id, tracker.run_id)


def test_an_upload_that_broke_off_is_made_again(tracker, winner, monkeypatch):
    def broken(*_):
        raise MlflowException("gone", error_code=PERMISSION_DENIED)  # for good

    started(tracker)
    with monkeypatch.context() as patched:
        patched.setattr(tracker.client, "log_model_artifacts", broken)
        log_winner(tracker, replace(winner))
        assert tracker.flush(30) == 0
    (model,) = tracker.client.search_logged_models([tracker.experiment_id])
    assert model.status == "PENDING"
    log_winner(tracker, replace(winner))
    assert tracker.flush(30) == 0
    (model,) = tracker.client.search_logged_models([tracker.experiment_id])
    assert model.status == "READY"


def test_the_models_metrics_are_the_runs_on_the_data_that_decided(tracker, winner):
    started(tracker).reads([SEARCH, FINAL])
    log_winner(tracker, winner)
    tracker.summarise({"accuracy": 0.7, "ci95": 0.01, "p": None}, 200, "so it is", [])
    for _ in range(2):
        log_measured(tracker, winner, ["accuracy", "ci95", "p"], [SEARCH, FINAL])
    assert tracker.flush(30) == 0
    (model,) = tracker.client.search_logged_models([tracker.experiment_id])
    told = [(one.key, one.value, one.step, one.dataset_name, one.dataset_digest) for one in model.metrics]
    assert sorted(told) == [("accuracy", 0.7, 200, "glyphs novel", "abc"), ("ci95", 0.01, 200, "glyphs novel", "abc")]
    assert len(tracker.client.get_metric_history(tracker.run_id, "accuracy")) == 1


def test_the_alias_goes_to_the_first_and_then_to_who_beats_its_holder(tracker, winner, capfd):
    started(tracker)
    asked = []

    def beats(better, tags):
        asked.append(tags["config_hash"])
        return better, "+0.3 ± 0.5 points"

    def best():
        assert tracker.flush(30) == 0
        return tracker.client.get_model_version_by_alias("glyphs", "best").tags["config_hash"]

    for identity, hashed, better in (("abc/1", "h1", False), ("abc/2", "h2", False), ("abc/3", "h3", True)):
        one = replace(winner, identity=identity, tags={"config_hash": hashed})
        for _ in range(2):  # the same command again
            log_winner(tracker, one)
            register_winner(tracker, one, "glyphs", partial(beats, better))
        assert best() == {"h1": "h1", "h2": "h1", "h3": "h3"}[hashed]
    assert asked == ["h1", "h1", "h1"]  # whoever lost is asked once more by the same command
    versions = sorted(tracker.client.search_model_versions("name = 'glyphs'"), key=lambda one: int(one.version))
    assert [one.tags["fpt.best"] for one in versions] == [
        "the first",
        "+0.3 ± 0.5 points, against version 1",
        "+0.3 ± 0.5 points, against version 1",
    ]
    assert {one.run_id for one in versions} == {tracker.run_id}
    err = capfd.readouterr().err
    assert "fpt: version 2 of glyphs is not its best: +0.3 ± 0.5 points, against version 1" in err
    assert "fpt: version 3 of glyphs is its best: +0.3 ± 0.5 points, against version 1" in err


@pytest.mark.parametrize("deleted", ["registered model", "version", "logged model"])
def test_what_of_a_model_was_deleted_is_there_again_after_the_same_command(deleted, tracker, winner):
    def swept(tracker):
        one = replace(winner)
        log_winner(started(tracker), one)
        register_winner(tracker, one, deleted, lambda tags: (False, "no better than itself"))
        assert tracker.flush(30) == 0
        return one.model_id

    before, client = swept(tracker), tracker.client
    if deleted == "registered model":
        client.delete_registered_model(deleted)
    elif deleted == "version":
        client.delete_model_version(deleted, "1")
    else:
        client.delete_logged_model(before)
    model = swept(again(tracker))
    held = client.get_logged_model(model)
    assert client.get_model_version_by_alias(deleted, "best").source == held.artifact_location
    assert (Path(urlsplit(held.artifact_location).path) / "part.txt").read_text() == "a part"
    assert (model == before) == (deleted != "logged model")


def test_what_mlflow_refuses_is_said_and_ends_nothing(tracker, winner, monkeypatch, capfd):
    def refused(*_):
        raise MlflowException("no such endpoint", error_code=ENDPOINT_NOT_FOUND)

    started(tracker)
    monkeypatch.setattr(tracker.client, "search_logged_models", refused)
    log_winner(tracker, winner)
    register_winner(tracker, winner, "glyphs", lambda tags: (True, ""))
    tracker.summarise({"accuracy": 0.7}, 200, "so it is", [])
    assert tracker.flush(30) == 0
    said = capfd.readouterr().err
    assert said.count("fpt: MLflow did not take the winner as a model: no such endpoint; all else is recorded") == 1
    run = tracker.client.get_run(tracker.run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"accuracy": 0.7})
