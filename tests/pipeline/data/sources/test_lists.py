import json
from pathlib import Path

import pytest

from pipeline.data.sources.lists import lists
from tests.pipeline.data.sources.trees import LISTS, grow, told


def test_paths_of_another_machine(tmp_path: Path):
    listing = lists(grow(tmp_path, LISTS))
    assert told(listing) == [
        ("base", "crow", "images/crow/1.jpg"),
        ("base", "crow", "images/crow/2.jpg"),
        ("validation", "duck", "images/duck/1.jpg"),
        ("validation", "duck", "images/duck/2.jpg"),
        ("novel", "wren", "images/wren/1.jpg"),
        ("novel", "wren", "images/wren/2.jpg"),
    ]
    assert listing.notes == (
        f"Paths of elsewhere, found below {tmp_path} by their ending: 6 "
        f"(/elsewhere/filelists/images/crow/1.jpg as {tmp_path}/images/crow/1.jpg).",
    )


def test_the_longest_ending_wins(tmp_path: Path):
    content = {
        "label_names": ["a"],
        "image_names": ["/x/y/z/1.jpg", "z/2.jpg", "/x/../../1.jpg"],
        "image_labels": [0] * 3,
    }
    files = {"y/z/1.jpg": "", "z/1.jpg": "", "1.jpg": "", "z/2.jpg": "", "all.json": json.dumps(content)}
    listing = lists(grow(tmp_path, files))
    assert told(listing) == [(None, "a", "1.jpg"), (None, "a", "y/z/1.jpg"), (None, "a", "z/2.jpg")]


def test_paths_that_are_there_are_taken(tmp_path: Path):
    grow(tmp_path, {"far/1.jpg": "", "root/1.jpg": ""})
    content = {"label_names": ["a"], "image_names": [f"{tmp_path}/far/1.jpg", "gone.jpg"], "image_labels": [0, 0]}
    listing = lists(grow(tmp_path / "root", {"novel.json": json.dumps(content)}))
    assert [(image.split, image.path) for image in listing.images] == [("novel", tmp_path / "far/1.jpg")]
    assert listing.notes == ("Images that are not there, left out: 1 (gone.jpg).",)


def test_all_json_counts_only_where_the_others_are_missing(tmp_path: Path):
    content = {"label_names": ["a"], "image_names": ["images/crow/1.jpg"], "image_labels": [0]}
    root = grow(tmp_path, {**LISTS, "all.json": json.dumps(content)})
    assert len(lists(root).images) == 6
    for name in ("base", "val", "novel"):
        (root / f"{name}.json").unlink()
    assert told(lists(root)) == [(None, "a", "images/crow/1.jpg")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", r"base\.json must be JSON but reading it failed"),
        ("[]", "must hold the lists label_names, image_names, image_labels but holds list"),
        ('{"label_names": [], "image_names": 1}', "but holds label_names, image_names$"),
        ('{"label_names": ["a"], "image_names": ["x"], "image_labels": []}', "as many as its 1 images but are 0"),
        ('{"label_names": ["a"], "image_names": ["x"], "image_labels": [1]}', "must be 0 to 0 but one is 1"),
        ('{"label_names": ["a"], "image_names": ["x"], "image_labels": ["0"]}', "must be 0 to 0 but one is '0'"),
        ('{"label_names": ["a"], "image_names": ["x"], "image_labels": [0]}', "root must hold images as lists"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, content, says):
    with pytest.raises(ValueError, match=says):
        lists(grow(tmp_path, {"base.json": content}))
