import pytest

from sweeps.tracking.deleted import Deleted, Deletions
from sweeps.tracking.recording import ENDING_SECONDS, recorded, wait_for


class Away:
    """Stands in for a tracker: how many calls are left each time it is asked."""

    tracking_uri = "http://me:secret@host:5000"

    def __init__(self, *left):
        self.left, self.waited = list(left), []
        self.deletions = Deletions(None, self.tracking_uri, "1")

    def flush(self, seconds):
        self.waited.append(seconds)
        return self.left.pop(0)


def test_the_end_of_a_sweep_waits_for_mlflow_and_says_so(capsys):
    wait_for(Away(0))
    assert capsys.readouterr().err == ""
    wait_for(Away(3, 0))
    assert capsys.readouterr().err == "fpt: MLflow does not answer; waiting 10 minutes for it\n"
    away = Away(3, 2)
    wait_for(away)
    said = capsys.readouterr().err
    assert "2 entries are not in MLflow (http://me:***@host:5000)" in said
    assert "the same command records them" in said
    assert away.waited == [10.0, 600]


def test_nobody_waits_for_what_is_deleted(capsys):
    away = Away(3)
    away.deletions.now = Deleted("run", "1b2c", purged=False)
    wait_for(away)
    assert away.waited == [10.0]
    assert capsys.readouterr().err.startswith(
        "fpt: 3 entries are not in MLflow, for the run of this command was deleted"
    )


class Noted(Away):
    """Also notes how the command's run was closed."""

    ended = ()

    def end(self, status):
        self.ended = (*self.ended, status)


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")])
def test_what_ends_a_command_is_recorded_and_raised(error, status):
    tracker = Noted(0)
    with pytest.raises(error), recorded(tracker):
        raise error
    assert (tracker.ended, tracker.waited) == ((status,), [ENDING_SECONDS])


def test_who_was_told_to_end_does_not_wait_for_a_server_that_is_away(capsys):
    tracker = Noted(3)
    with pytest.raises(KeyboardInterrupt), recorded(tracker):
        raise KeyboardInterrupt
    assert (tracker.waited, capsys.readouterr().err) == ([ENDING_SECONDS], "")
