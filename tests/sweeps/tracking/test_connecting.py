import os
from types import SimpleNamespace

import pytest

from sweeps.tracking.connecting import experiment_of, is_transient, quiet
from tests.sweeps.tracking.tracked import answered

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


def test_what_the_user_has_set_about_retries_stays(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    quiet()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionResetError("away"), True),
        (TimeoutError("away"), True),
        (answered(503), True),
        (answered(403), False),
        (FileNotFoundError("report.md"), False),
        (PermissionError("artifacts"), False),
        (KeyError("0.1"), False),
    ],
)
def test_an_absent_server_is_told_from_a_mistake_about_files(error, transient):
    assert is_transient(error) == transient


class AnotherWasFaster:
    """Stands for a client of MLflow's: another command makes the experiment while this one asks."""

    def __init__(self, code):
        self.code, self.there = code, False

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id=7) if self.there else None

    def create_experiment(self, name, artifacts):
        self.there = True
        error = RuntimeError("no")
        error.error_code = self.code
        raise error


def test_an_experiment_that_another_has_just_made_is_taken():
    assert experiment_of(AnotherWasFaster("RESOURCE_ALREADY_EXISTS"), "any", "sqlite:///any.db") == "7"
    with pytest.raises(RuntimeError, match="no"):
        experiment_of(AnotherWasFaster("PERMISSION_DENIED"), "any", "sqlite:///any.db")
