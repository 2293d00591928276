import pytest

from sweeps.tracking.masking import without_secrets
from sweeps.tracking.reading import check_tracking
from sweeps.tracking.tracker import Tracker
from tests.sweeps.tracking.tracked import answered, started

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("http://me:secret@host:5000/x", "http://me:***@host:5000/x"),
        ("http://:secret@host:5000", "http://:***@host:5000"),
        ("'postgresql+psycopg2://me:sec:ret@host/db' failed", "'postgresql+psycopg2://me:***@host/db' failed"),
        ("mysql://me:se/c@ret@host/db and a@b", "mysql://me:***@host/db and a@b"),
        ("a http://me:12@host/x, b http://me:34@host/y", "a http://me:***@host/x, b http://me:***@host/y"),
        ("postgresql://host:5432/db?user=me&password=secret&a=b", "postgresql://host:5432/db?user=me&password=***&a=b"),
        ("no://me@host and http://host:5000/a@b", "no://me@host and http://host:5000/a@b"),
        ("sqlite:////home/a:b/mlflow.db", "sqlite:////home/a:b/mlflow.db"),
    ],
)
def test_passwords_are_not_shown(said, shown):
    assert without_secrets(said) == shown


@pytest.mark.parametrize("use", [check_tracking, lambda uri: Tracker(uri, "any")], ids=["check", "tracker"])
@pytest.mark.parametrize("password", ["Quax", "Qu/ax", "Qu@ax", "Quax" * 40])
def test_a_password_is_not_in_the_sentence_about_its_server(use, password, unreachable):
    with pytest.raises(ValueError, match=r"tracking_uri must be one .*://me:\*\*\*@127") as said:
        use(unreachable.replace("http://", f"http://me:{password}@"))
    assert "Qu" not in str(said.value)
    assert "ax" not in str(said.value).replace("Max", "")
    assert said.value.__suppress_context__


def test_what_is_refused_is_not_said_with_a_password(tracker, monkeypatch):
    def refuse(*_):
        raise answered(403)

    monkeypatch.setattr(tracker.client, "set_terminated", refuse)
    started(tracker).summarise({}, 1, "any", [])
    with pytest.raises(RuntimeError, match=r"403 .* http://me:\*\*\*@host/x") as said:
        tracker.flush(60)
    assert said.value.__suppress_context__
