"""A trial's run in MLflow names the configuration that it tried."""

import json

import pytest

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.identity import METHOD_VERSION, configuration_hash, identity
from sweeps.schema.identity import NOT_OF_A_SWEEP
from sweeps.schema.sweep import searched_run
from sweeps.statistics.estimates import paired_p_value
from sweeps.tracking.fields import parameters_of_sweep
from sweeps.tracking.tracker import Tracker
from tests.sweeps.ledgers import FOUND, OURS, THEIRS, WITH, answered, kept, refused

SEARCHED = searched_run(WITH, WITH.search)
# Of two trials.
VALUES = (
    {"alpha": 0.25, "lambda": 2e-05, "tau": 0.7, "patches": 3, "lr": 0.02},
    {"alpha": 0.0, "lr": 0.004},
)

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A home and in its MLflow a sweep of two trials, as now and as older versions recorded it: runs by version.

    Making a store takes seconds, so one serves all.
    """
    home, runs = tmp_path_factory.mktemp("home"), {}
    recorded = parameters_of_sweep(WITH, FOUND._asdict(), NOT_OF_A_SWEEP)
    versions = {
        "new": recorded,
        "older": {**recorded, "backbone.pretrained": "True"},
        "oldest": {field: value for field, value in recorded.items() if field != "precision"},
    }
    with pytest.MonkeyPatch.context() as patched:
        for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
            patched.setenv(name, "1")  # or the tracker sets it for all tests
        for version, of_sweep in versions.items():
            tracker = Tracker(f"sqlite:///{home}/mlflow.db", "tiny")
            tracker.start(f"sweep {version}", version, of_sweep, {"fpt.kind": "sweep"})
            for number, values in enumerate(VALUES):
                tracker.trial(f"0.{number}", "a setting", {**values, "generation": 0}, {"fpt.kind": "trial"})
            assert tracker.flush(60) == 0
            runs[version] = (tracker.run_id, tracker.children["0.0"], tracker.children["0.1"])
            tracker.close()
    for values, accuracies in zip(VALUES, (OURS, THEIRS), strict=True):
        for run, count in ((SEARCHED, 40), (plain_run(WITH), 7)):
            kept(with_hyper_parameters(run, values), accuracies[:count], home=home)
    return home, runs


@pytest.fixture
def typed(compare, store):
    return lambda *arguments: compare(*arguments, "--home", str(store[0]))


def test_a_trial_stands_for_the_episodes_it_was_searched_on(typed, store):
    _, a, b = store[1]["new"]
    found = json.loads(answered(typed(a, b, "--json")))
    for side, values in zip("ab", VALUES, strict=True):
        run = with_hyper_parameters(SEARCHED, values)
        assert found[side]["config_hash"] == configuration_hash(identity(run, FOUND))
    assert found["common"] == 40
    assert found["p"] == pytest.approx(paired_p_value(OURS, THEIRS, 1 / 9))


def test_a_trial_may_be_beside_a_hash_and_on_another_split(typed, store):
    _, a, _ = store[1]["new"]
    b = configuration_hash(identity(with_hyper_parameters(plain_run(WITH), VALUES[1]), FOUND))
    said = refused(typed(a, b), "A and B must draw the same episodes but differ in ")
    assert "episodes.split (validation and novel)" in said
    assert "episodes.query_up_to (15 and None)" in said
    assert json.loads(answered(typed(a, b, "--split", "novel", "--json")))["common"] == 7


def test_a_run_that_is_no_trials_is_refused(typed, store):
    sweep, trial, _ = store[1]["new"]
    refused(typed(sweep, trial), f"run {sweep} must be a trial's but is a sweep, which is no single configuration")
    refused(typed(trial, "0" * 32), f"run {'0' * 32} must be in sqlite:///{store[0]}/mlflow.db but is not")


def test_a_run_of_another_version_is_refused(typed, store):
    _, trial, _ = store[1]["new"]
    older, oldest = store[1]["older"][1], store[1]["oldest"][1]
    refused(
        typed(trial, older),
        f"B must be a trial that this version understands but {older} recorded backbone.pretrained otherwise",
    )
    refused(typed(oldest, trial), "A must be a trial of a sweep that recorded precision but that of")


def test_rows_of_several_versions_of_the_method_are_named(compare, store, tmp_path):
    _, trial, other = store[1]["new"]
    run = with_hyper_parameters(SEARCHED, VALUES[0])
    versions = (METHOD_VERSION - 1, METHOD_VERSION)
    names = [kept(run, OURS, home=tmp_path / "home", method=version) for version in versions]
    (tmp_path / "home" / "mlflow.db").symlink_to(store[0] / "mlflow.db")
    said = refused(
        compare(trial, other, "--home", str(tmp_path / "home")),
        f"A must be one configuration but the ledger has the setting of {trial} in 2 versions of the method",
    )
    assert all(name in said for name in names)
    refused(compare(other, trial, "--home", str(tmp_path / "home")), "A must be in the ledger of")


def test_a_store_that_is_not_there_is_not_made(compare, store, here):
    kept(WITH, OURS)
    _, a, b = store[1]["new"]
    refused(compare(a, b), f"run {a} must be in MLflow's store but there is no {here}/runs/mlflow.db")
    assert [path.name for path in (here / "runs").iterdir()] == ["ledger"]


def test_a_files_store_is_used(compare, store, config):
    b = kept(with_hyper_parameters(SEARCHED, VALUES[0]), OURS)
    kept(SEARCHED, THEIRS)
    typed = (store[1]["new"][1], config, "--split=validation", "--json")
    sets = f"--set-b=tracking_uri=sqlite:///{store[0]}/mlflow.db"
    assert json.loads(answered(compare(*typed, sets)))["a"]["config_hash"] == b


def test_a_store_that_does_not_answer_is_refused(compare, unreachable, monkeypatch):
    kept(WITH, OURS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unreachable)
    refused(compare("0" * 32, "1" * 32), f"tracking_uri must be one that MLflow can reach but '{unreachable}' failed: ")
