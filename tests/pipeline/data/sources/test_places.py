from pathlib import Path

import pytest

from pipeline.data.sources.places import places
from tests.pipeline.data.sources.trees import PLACES, PLACES_BY_LIST, grow, note, told, without

SPLITS = {
    "airfield": "base",
    "apartment building-outdoor": "validation",
    "apartment building x": "base",
    "zen garden": "novel",
}


@pytest.mark.parametrize("files", [PLACES, PLACES_BY_LIST])
def test_both_layouts_give_the_same_splits(tmp_path: Path, files):
    listing = places(grow(tmp_path, files))
    assert {image.class_name: image.split for image in listing.images} == SPLITS
    assert note(listing, "Classes of places: 4, but 365 in")


def test_only_training_images(tmp_path: Path):
    paths = [path for _, _, path in told(places(grow(tmp_path, PLACES)))]
    assert paths[:2] == [f"train/airfield/Places365_train_0000000{i}.jpg" for i in (1, 2)]
    assert len(paths) == 8


def test_the_first_two_hundred(tmp_path: Path):
    files = {f"train/airfield/{i:03}.jpg": "" for i in range(203)}
    listing = places(grow(tmp_path, files | {"train/bar/1.jpg": ""}))
    assert [image.path.name for image in listing.images] == [f"{i:03}.jpg" for i in range(200)] + ["1.jpg"]
    assert note(listing, "Images beyond the first 200").endswith(": 3.")


def test_training_images_may_be_linked_to(tmp_path: Path):
    grow(tmp_path / "disk", PLACES)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "train").symlink_to(tmp_path / "disk" / "train")
    assert len(places(tmp_path / "root").images) == 8


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            without(PLACES_BY_LIST, "places365_train"),
            "must hold categories_places365.txt, .* has no places365_train_st",
        ),
        (without(PLACES_BY_LIST, "data_256"), "root of places must hold one of data_256, "),
        (PLACES_BY_LIST | {"categories_places365.txt": "/a/airfield 0\n"}, "must name class 3 of /z/zen_garden"),
    ],
)
def test_broken(tmp_path: Path, files, says):
    with pytest.raises(ValueError, match=says):
        places(grow(tmp_path, files))
