"""No secret of a URI reaches MLflow, or a sentence about it."""

import pytest

from pipeline.config import Dataset, Run
from pipeline.identity import Inputs
from sweeps.tracking.fields import Data, flat, parameters_of_trial
from sweeps.tracking.reading import check_tracking
from sweeps.tracking.tracker import Tracker
from tests.sweeps.tracking.tracked import answered, started

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


@pytest.mark.parametrize("use", [check_tracking, Tracker], ids=["check", "tracker"])
@pytest.mark.parametrize("password", ["Quax", "Qu/ax", "Qu@ax", "Quax" * 40])
def test_a_password_is_not_in_the_sentence_about_its_server(use, password, unreachable):
    with pytest.raises(ValueError, match=r"tracking_uri must be one .*://me:\*\*\*@127") as said:
        use(unreachable.replace("http://", f"http://me:{password}@"), "any")
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


def test_nothing_that_is_recorded_holds_a_secret(tracker):
    """Whatever a caller hands over is masked where it is sent."""
    uri = "s3://KEY:Quax@bucket/x?token=Quax"
    run = Run(dataset=Dataset(source="packed", path=uri))
    parameters = {
        **parameters_of_trial(run, {}, 0, 0, Inputs("i", "w", "float32")),
        "given": uri,
        **flat({"a": {"b": uri}}),
    }
    data = [Data("packed novel", "0" * 16, uri, "final", {})]
    tracker.start("sweep abc", f"named {uri}", parameters, {"tag": uri}, data)
    tracker.trial("0.0", f"named {uri}", parameters, {"tag": uri}, data)
    tracker.describe(f"about {uri}")
    tracker.flush(60)
    runs = tracker.client.search_runs([tracker.experiment_id])
    assert len(runs) == 2
    for found in runs:
        assert found.data.params["dataset.path"] == "s3://***@bucket/x?token=***"
        assert "Quax" not in str(found.to_dictionary())
        assert "KEY" not in str(found.to_dictionary())
