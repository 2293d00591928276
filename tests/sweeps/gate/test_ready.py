import re

import numpy as np
import pytest

from pipeline.config import plain_run
from pipeline.data.store import ImageStore, Sample, pack
from pipeline.storage.folder import Home
from sweeps.gate.ready import say_ready
from sweeps.schema.loading import load
from sweeps.tracking.tracker import Tracker
from tests.sweeps.tiny import CONFIG, TINY

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")
IMAGES = {"validation": 8, "novel": 8}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return load(CONFIG, [*TINY, f"home={tmp_path / 'home'}"])


def packed(tmp_path, images):
    """A store of four classes in each split, with so many images each."""
    black = np.zeros((8, 8, 3), np.uint8)
    samples = [
        Sample(split, f"{split} {name}", black, np.zeros((8, 8), bool))
        for split, count in images.items()
        for name in range(4)
        for _ in range(count)
    ]
    return ImageStore(pack(samples, tmp_path / "images.arrow"))


def ready(sweep, store):
    others = [(plain_run(sweep, sweep.search.split), "search.split")]
    say_ready(sweep, others, Home(sweep.home), store)


def test_one_line_says_that_all_is_there(sweep, tmp_path, capsys):
    ready(sweep, packed(tmp_path, IMAGES))
    (said,) = capsys.readouterr().err.splitlines()
    home = re.escape(sweep.home)
    assert re.fullmatch(
        rf"fpt: ready: 4 classes of validation, 4 classes of novel; weights; home {home}, \d+ GiB free; "
        rf"MLflow at sqlite:///{home}/mlflow\.db",
        said,
    )


def test_an_image_that_packing_left_out_of_the_other_split_is_missed_before_anything_costs(sweep, tmp_path):
    """4 images a class are asked for: one support and three queries."""
    with pytest.raises(ValueError, match=r"^episodes\.shot \+ episodes\.query must be at most 3, .* \(as packed: what"):
        ready(sweep, packed(tmp_path, {"validation": 3, "novel": 8}))


def test_a_split_that_packing_emptied_is_named_by_its_field(sweep, tmp_path):
    with pytest.raises(ValueError, match=r"^search\.split must be one of novel but got 'validation'.* \(as packed"):
        ready(sweep, packed(tmp_path, {"novel": 8}))


def test_an_experiment_that_was_deleted_meanwhile_is_told(sweep, tmp_path):
    tracker = Tracker(f"sqlite:///{sweep.home}/mlflow.db", sweep.name)
    tracker.client.delete_experiment(tracker.experiment_id)
    tracker.close()
    with pytest.raises(ValueError, match=r"^name must be one that MLflow can record under, but experiment 'tiny' was"):
        ready(sweep, packed(tmp_path, IMAGES))
