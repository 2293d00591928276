import json
from pathlib import Path

import pytest

from pipeline.data.sources.plantae import plantae
from tests.pipeline.data.sources.trees import PLANTAE, grow, told

# by growing number of images, equal ones by name: 5330 (2), 7477 (2), 6000 (3), 5221 (4)
SPLITS = {"5330": "base", "7477": "validation", "6000": "base", "5221": "novel"}


def test_splits_follow_the_numbers_of_images(tmp_path: Path):
    listing = plantae(grow(tmp_path, PLANTAE))
    assert {image.class_name: image.split for image in listing.images} == SPLITS
    assert len(listing.images) == 11


@pytest.mark.parametrize("layout", ["Plantae", "source/Plantae"])
def test_where_the_folder_may_be(tmp_path: Path, layout):
    files = {name.replace("train_val2018/Plantae", layout): content for name, content in PLANTAE.items()}
    root = grow(tmp_path, files)
    assert {image.class_name: image.split for image in plantae(root).images} == SPLITS
    if layout == "Plantae":
        assert len(plantae(root / "Plantae").images) == 11


def test_names_of_numbers(tmp_path: Path):
    names = [{"id": 5221, "name": "Quercus alba"}, {"id": 5330, "name": "Acer_rubrum"}]
    listing = plantae(grow(tmp_path, PLANTAE | {"categories.json": json.dumps(names)}))
    assert {image.class_name: image.split for image in listing.images} == {
        "Acer rubrum": "base",
        "7477": "validation",
        "6000": "base",
        "Quercus alba": "novel",
    }


def test_by_annotations(tmp_path: Path):
    content = {
        "categories": [
            {"id": 1, "name": "Acer rubrum", "supercategory": "Plantae"},
            {"id": 2, "name": "Corvus corax", "supercategory": "Aves"},
            {"id": 3, "name": "Quercus alba", "supercategory": "Plantae"},
        ],
        "images": [{"id": i, "file_name": f"pictures/{i}.jpg"} for i in range(5)],
        "annotations": [{"image_id": i, "category_id": (1, 2, 3, 1, 2)[i]} for i in range(5)],
    }
    files = {"train2017.json": json.dumps(content), **{f"pictures/{i}.jpg": "" for i in range(5)}}
    assert told(plantae(grow(tmp_path, files))) == [
        ("validation", "Acer rubrum", "pictures/0.jpg"),
        ("validation", "Acer rubrum", "pictures/3.jpg"),
        ("base", "Quercus alba", "pictures/2.jpg"),
    ]


def test_the_largest_two_hundred_and_six_hundred_of_each(tmp_path: Path):
    small = {f"Plantae/s{i:03}/{j}.jpg": "" for i in range(201) for j in range(2 if i else 1)}
    large = {f"Plantae/large/{i:03}.jpg": "" for i in range(602)}
    listing = plantae(grow(tmp_path, small | large))
    classes = {image.class_name: image.split for image in listing.images}
    assert len(classes) == 200
    # the smallest is left out, and of 200 that are larger by one image the first by name
    assert not {"s000", "s001"} & set(classes)
    assert [classes[name] for name in ("s002", "s003", "s004", "s005")] == ["base", "validation", "base", "novel"]
    assert classes["large"] == "novel"
    assert sum(image.class_name == "large" for image in listing.images) == 600
    assert [text.rpartition(": ")[2] for text in listing.notes] == ["2.", "2."]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"Aves/1/1.jpg": ""}, "root of plantae must hold a folder Plantae, train2017.json or train2018.json"),
        ({"train2017.json": "{"}, "train2017.json must be JSON but reading it failed"),
        ({"train2017.json": "{}"}, "must be laid out like train2017.json but lacks 'categories'"),
    ],
)
def test_broken(tmp_path: Path, files, says):
    with pytest.raises(ValueError, match=says):
        plantae(grow(tmp_path, files))
