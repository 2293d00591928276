"""What a command does is recorded when it ends, however it ends, and waited for where MLflow is away."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.storage.masking import without_secrets
from sweeps.tracking.tracker import Tracker

ENDING_SECONDS, AWAY_MINUTES = 10.0, 10  # that the end of a command waits for MLflow, and for one that is away


@contextmanager
def recorded(tracker: Tracker) -> Iterator[None]:
    """Has all of the block recorded when it ends, also where it fails: what ended it is then what is told."""
    try:
        yield
    except KeyboardInterrupt:
        tracker.end("KILLED")
        with suppress(Exception):
            tracker.flush(ENDING_SECONDS)
        raise
    except BaseException:
        tracker.end("FAILED")
        with suppress(Exception):
            wait_for(tracker)
        raise
    wait_for(tracker)


def wait_for(tracker: Tracker) -> None:
    """Waits for a server that is away, which may be back within minutes; the same command tells it again what it has
    missed. Nobody waits for what is deleted to be restored.
    """
    left = tracker.flush(ENDING_SECONDS)
    if tracker.deletions.sum_up(left) or left == 0:
        return
    print(f"fpt: MLflow does not answer; waiting {AWAY_MINUTES} minutes for it", file=sys.stderr, flush=True)
    if left := tracker.flush(60 * AWAY_MINUTES):
        uri = without_secrets(tracker.tracking_uri)
        print(
            f"fpt: {left} entries are not in MLflow ({uri}), which has been away; the results are in the ledger, and "
            "the same command records them once it is back",
            file=sys.stderr,
            flush=True,
        )
