"""Any text that a configuration takes comes back from MLflow as it was told."""

import mlflow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.storage.masking import without_secrets
from sweeps.tracking.fields import cut
from sweeps.tracking.tracker import LONGEST_PARAMETER, LONGEST_TAG

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@settings(
    max_examples=2,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(TEXT, min_size=40, max_size=40))
@example(["", " ", "\0", "\n", "'", '"', "%s", "a\u202eb", "é", "🦆", "x" * 7000, "null", "1e3", "s3://key:secret@b"])
def test_parameters_and_tags_come_back(tracker, texts):
    told = {f"p{i}": text for i, text in enumerate(texts)}
    number = len(tracker.children)
    if not number:
        tracker.start("sweep abc", "glyphs abc", {}, {})
    tracker.trial(f"0.{number}", "lora", told, {name: text for name, text in told.items() if text})
    assert tracker.flush(60) == 0
    run = mlflow.MlflowClient(tracking_uri=tracker.tracking_uri).get_run(tracker.children[f"0.{number}"])
    wanted = {name: cut(without_secrets(text), LONGEST_PARAMETER) for name, text in told.items()}
    assert {name: run.data.params.get(name) for name in told} == wanted
    assert {name: run.data.tags[name] for name, text in told.items() if text} == {
        name: cut(without_secrets(text), LONGEST_TAG) for name, text in told.items() if text
    }


def test_a_path_of_any_bytes_is_told_with_escapes(tracker):
    tracker.start("sweep abc", "glyphs abc", {"dataset.path": "/photos\udcff"}, {})
    assert tracker.flush(60) == 0
    (run,) = mlflow.MlflowClient(tracking_uri=tracker.tracking_uri).search_runs([tracker.experiment_id])
    assert run.data.params["dataset.path"] == "/photos\\udcff"
