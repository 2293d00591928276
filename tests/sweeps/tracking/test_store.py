import pytest

from sweeps.schema.loading import load
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
