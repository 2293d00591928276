import os

import pytest

from sweeps.tracking.connecting import is_transient, quiet
from sweeps.tracking.reading import check_tracking
from sweeps.tracking.tracker import Tracker
from tests.sweeps.tracking.tracked import answered

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


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
