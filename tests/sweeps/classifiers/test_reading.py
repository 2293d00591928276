import numpy as np
import pytest

from fpt.classifier.transform import Transform
from fpt.pictures.resizing import Crop
from sweeps.classifiers import reading
from sweeps.classifiers.reading import pictures_in, read_pictures
from tests.sweeps.classifiers.photos import folder_of

TRANSFORM = Transform(64, Crop(1.0))


def test_pictures_are_found_in_folders_within_folders_and_by_name(tmp_path):
    folder_of(tmp_path / "a", (2, 1, 0))
    folder_of(tmp_path / "b", (1, 0, 0), first=5)
    (tmp_path / "a" / "notes.txt").touch()
    paths, notes = pictures_in([tmp_path / "a", tmp_path / "b" / "stork" / "5.png", tmp_path / "b"])
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        *("a/heron/0.png", "a/stork/0.png", "a/stork/1.png", "b/stork/5.png")
    ]
    assert any("notes.txt" in note for note in notes)
    for places in ([tmp_path / "none"], [tmp_path / "b" / "crane"]):
        with pytest.raises(ValueError, match="PICTURES must"):
            pictures_in(places)


def test_some_are_read_at_a_time_and_the_broken_are_told(tmp_path, monkeypatch):
    folder_of(tmp_path, (40, 0, 0))
    (tmp_path / "stork" / "7.png").write_bytes(b"")
    (tmp_path / "stork" / "text.txt").touch()
    paths, _ = pictures_in([tmp_path])
    batches = list(read_pictures([*paths, tmp_path / "stork" / "text.txt"], TRANSFORM, 1))
    assert [len(batch.pixels) for batch in batches] == [31, 8] or [len(batch.pixels) for batch in batches] == [32, 7]
    assert [path for batch in batches for path in batch.paths] == [path for path in paths if path.name != "7.png"]
    assert {path.name for batch in batches for path, _ in batch.broken} == {"7.png", "text.txt"}
    monkeypatch.setattr(reading, "WORTH_PROCESSES", 1)
    again = list(read_pictures(paths, TRANSFORM, 2))
    assert [path for batch in again for path in batch.paths] == [path for path in paths if path.name != "7.png"]
    np.testing.assert_array_equal(again[0].pixels, batches[0].pixels)


def test_no_picture_is_read_before_those_of_the_batch_before_were_taken(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(reading, "read_some", lambda paths, transform: read.append(len(paths)))
    batches = read_pictures([tmp_path / f"{number}.png" for number in range(80)], TRANSFORM, 1)
    for many in ([32], [32, 32], [32, 32, 16]):
        next(batches)
        assert read == many


def test_a_folder_of_broken_pictures_gives_none(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    (batch,) = read_pictures([tmp_path / "a.png"], TRANSFORM, 1)
    assert batch.pixels.shape == (0, 64, 64, 3)
