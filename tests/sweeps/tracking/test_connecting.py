import os

import pytest

from sweeps.tracking.connecting import is_transient, quiet
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
