import numpy as np
import pytest
from PIL import Image

from fpt.classifier.transform import Transform
from fpt.glyphs.scenes import scene
from fpt.pictures.resizing import Crop
from pipeline.config import Run
from pipeline.data.store import Sample, pack
from sweeps.classifiers.support import support_of
from tests.sweeps.classifiers.photos import folder_of

TRANSFORM = Transform(64, Crop(1.0))


def support(path, **fields):
    run = Run.model_validate({"dataset": {"source": "folder", "path": str(path), "all_novel": True, **fields}})
    told = []
    return support_of(run, TRANSFORM, lambda done, total: told.append((done, total))), told


def test_all_pictures_of_a_folder_whatever_their_split(tmp_path):
    for split, first in (("train", 0), ("val", 3)):
        folder_of(tmp_path / split, (1, 2, 0), first)
    (tmp_path / "val" / "heron" / "9.png").write_bytes(b"")
    found, told = support(tmp_path)
    assert sorted(found.classes) == ["heron"] * 4 + ["stork"] * 2
    assert [name.endswith("9.png") for name, _ in found.left_out] == [True]
    assert found.left_out[0][1] == "empty file"
    assert told[-1] == (7, 7)
    first = found.classes.index("stork")
    np.testing.assert_array_equal(found.images[first], scene("novel", 0, 0).image)


def test_a_packed_file_is_a_support_set_too(tmp_path):
    samples = [
        Sample(split, name, scene("novel", i, 0).image)
        for i, (split, name) in enumerate([("novel", "a"), ("base", "b")])
    ]
    path = pack(samples, tmp_path / "birds.arrow")
    found, _ = support(path, source="packed", all_novel=False)
    assert sorted(found.classes) == ["a", "b"]
    with pytest.raises(ValueError, match=r"^--support must be a file that fpt data pack has written but .* is none$"):
        support(tmp_path / "nowhere.arrow", source="packed", all_novel=False)
    with pytest.raises(ValueError, match="--support must hold images of side 32"):
        support_of(
            Run.model_validate({"dataset": {"source": "packed", "path": str(path)}}),
            Transform(32, Crop()),
            lambda *_: None,
        )


def test_classes_without_a_picture_and_pictures_of_two_classes_are_refused(tmp_path):
    folder_of(tmp_path, (1, 1, 1))
    (tmp_path / "crane" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match="a picture of each class that can be read but of 'crane' has none"):
        support(tmp_path)
    Image.fromarray(scene("novel", 1, 0).image).save(tmp_path / "crane" / "0.png")
    with pytest.raises(ValueError, match=r"each picture in one class but .* of crane and .* of heron are the same"):
        support(tmp_path)


def test_pictures_of_12_bits_are_told_so(tmp_path):
    for name, value in (("a", 1000), ("b", 4000)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((64, 64), value, np.uint16)).save(tmp_path / name / "0.png")
    found, _ = support(tmp_path)
    assert found.depth == 12
    assert sorted(int(image[0, 0, 0]) for image in found.images) == [62, 250]
