"""A whole sweep on a folder of six classes, which searches and reports on other pictures of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.store import ImageStore
from tests.sweeps.whole import ended, rows, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CLASSES, PICTURES = "abcdef", 20


def test_a_sweep_searches_and_reports_on_other_pictures_of_the_same_classes(tmp_path: Path):
    random, photos = np.random.default_rng(0), tmp_path / "photos"
    for name in CLASSES:
        (photos / name).mkdir(parents=True)
        for i in range(PICTURES):
            Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(photos / name / f"{i}.png")
    home = tmp_path / "home"
    dataset = f"dataset={{source: folder, path: {photos}, hold_out: pictures}}"
    said = ended(started(home, dataset, "episodes.way=6", "final.masks=false"))
    assert said["final"]["episodes"] == 6

    (packed,) = (home / "images").glob("*.arrow")
    store = ImageStore(packed)
    for split in ("validation", "novel"):
        assert {name: len(found) for name, found in store.classes(split).items()} == dict.fromkeys(CLASSES, 10)
    described = {path.stem: json.loads(path.read_text()) for path in (home / "ledger" / "configurations").iterdir()}
    assert {one["dataset"] for one in described.values()} == {store.fingerprint}
    assert {described[row["config_hash"]]["episodes"]["split"] for row in rows(home)} == {"validation", "novel"}
