import mlflow
import pytest

from sweeps.schema.loading import load
from sweeps.tracking.connecting import artifacts_beside, quiet
from sweeps.tracking.store import tracking_uri
from tests.sweeps.tiny import CONFIG, TINY


def tiny(*overrides):
    return load(CONFIG, [*TINY, *overrides])


def test_mlflow_is_in_the_home_unless_it_is_elsewhere(tmp_path):
    assert tracking_uri(tiny(f"home={tmp_path}")) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_uri(tiny("tracking_uri=http://host:5000")) == "http://host:5000"


def test_the_environment_says_where_mlflow_and_the_home_are_unless_the_configuration_does(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"^tracking_uri \(or MLFLOW_TRACKING_URI\) must be set where home is on an"):
        tracking_uri(tiny("home=s3://bucket/fpt"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://head:5000")
    assert tracking_uri(tiny("home=s3://bucket/fpt")) == "http://head:5000"
    assert tracking_uri(tiny("tracking_uri=http://host:5000")) == "http://host:5000"
    assert tiny().home == "runs"
    monkeypatch.setenv("FPT_HOME", str(tmp_path))
    assert tiny().home == str(tmp_path)
    assert tiny("home=elsewhere").home == "elsewhere"


def test_a_home_and_a_database_are_where_a_shell_would_have_them(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", "/data")
    for home in ("~/a b", "$HOME/a b", f"{tmp_path}/a b"):
        assert tracking_uri(tiny(f"home={home}")) == f"sqlite:///{tmp_path}/a b/mlflow.db"
        monkeypatch.setenv("FPT_HOME", home)
        assert tracking_uri(tiny()) == f"sqlite:///{tmp_path}/a b/mlflow.db"
    assert tracking_uri(tiny("tracking_uri=sqlite:///$DATA/m.db")) == "sqlite:////data/m.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///~/m.db")
    assert tracking_uri(tiny()) == f"sqlite:///{tmp_path}/m.db"
    monkeypatch.setenv("FPT_HOME", "$NOWHERE/runs")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ValueError, match=r"^home must name environment variables that are set, but NOWHERE in"):
        tracking_uri(tiny())


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own
@pytest.mark.parametrize("name", ["a?b", "100%20x", "a #2", "ä b"])
def test_mlflow_writes_into_a_home_of_any_name_and_nowhere_else(name, tmp_path):
    """Its own client, its database and its files."""
    home = tmp_path / name
    home.mkdir()
    uri = tracking_uri(tiny(f"home={home}"))
    quiet()
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("one", artifact_location=artifacts_beside(uri))
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "told", "a.txt")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (home / "mlflow.db").is_file()
    assert [path.read_text() for path in home.rglob("a.txt")] == ["told"]
