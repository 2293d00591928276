"""The gate between packing and what costs: what only packed images tell, and what may have changed while they were."""

from collections.abc import Sequence

from pipeline.checks import check_packed
from pipeline.config import Run
from pipeline.data.store import ImageStore
from pipeline.storage.folder import Home
from pipeline.storage.masking import without_secrets
from pipeline.storage.room import MIB, check_home, free_bytes
from sweeps.schema.sweep import Sweep
from sweeps.terminal.messages import say
from sweeps.tracking.reading import check_tracking
from sweeps.tracking.store import tracking_uri


def say_ready(sweep: Sweep, others: Sequence[tuple[Run, str]], home: Home, images: ImageStore) -> None:
    """Says in one line that a command can begin: episodes of its own run and of the `others`, each with the field that
    names its split, can be drawn from what was packed, the home can be written, and MLflow can record.

    Raises ValueError, by the field, for what cannot.
    """
    for run, split_field in others:
        check_packed(run, images, split_field)
    check_home(home)
    check_tracking(tracking_uri(sweep), sweep.name)
    splits = dict.fromkeys([*(run.episodes.split for run, _ in others), sweep.episodes.split])
    drawn = ", ".join(f"{len(images.classes(split))} classes of {split}" for split in splits)
    room = f"{free_bytes(home.local) / 1024 / MIB:.0f} GiB free" if home.here else "in reach"
    uri = without_secrets(tracking_uri(sweep))
    say(f"fpt: ready: {drawn}; weights; home {without_secrets(home.uri)}, {room}; MLflow at {uri}")
