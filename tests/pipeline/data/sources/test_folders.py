import os
import re
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from pipeline.data.sources.folders import folder
from pipeline.data.sources.listing import split_called
from tests.pipeline.data.sources.trees import FOLDER, grow, note, told


def test_class_folders(tmp_path: Path):
    assert told(folder(grow(tmp_path, FOLDER))) == [
        (None, "a", "a/1.jpeg"),
        (None, "a", "a/x/deep.webp"),
        (None, "b", "b/1.jpg"),
        (None, "b", "b/2.PNG"),
        (None, "c d", "c d/1.tiff"),
    ]


def test_split_folders(tmp_path: Path):
    root = grow(tmp_path, {"Train/b/1.jpg": "", "val/a/1.jpg": "", "test/c/1.jpg": "", "valid/d/1.jpg": ""})
    assert told(folder(root)) == [
        ("validation", "a", "val/a/1.jpg"),
        ("base", "b", "Train/b/1.jpg"),
        ("novel", "c", "test/c/1.jpg"),
        ("validation", "d", "valid/d/1.jpg"),
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            ("train/a/1.jpg", "val/b/1.jpg", "masks/1.jpg"),
            "'train' and 'val' are splits by name and 'masks' is no",
        ),
        (
            ("train/a/1.jpg", "dev/b/1.jpg", "extra/c/1.jpg"),
            "'dev' and 'train' are splits by name and 'extra' is no",
        ),
        (("train/1.jpg", "test/1.jpg", "track/1.jpg"), "'test' and 'train' are splits by name and 'track' is no"),
        (("train/a/1.jpg", "holdout/b/1.jpg"), "'train' is a split by name and 'holdout' is no split"),
        (
            ("train/a/1.jpg", *(f"{name}/1.jpg" for name in "pqrs")),
            "'train' is a split by name and 'p', 'q' and 'r' are no splits, nor are 1 more: hide",
        ),
    ],
)
def test_a_folder_beside_splits_is_named(tmp_path: Path, files, said):
    root = grow(tmp_path, dict.fromkeys(files, ""))
    with pytest.raises(ValueError, match=re.escape(said)) as told_why:
        folder(root)
    (command,) = re.findall(r"\((mv .*?)\)", str(told_why.value))
    subprocess.run(command, shell=True, check=True)  # what it says to do will do
    if "train/a/1.jpg" in files and len(files) < 5:  # else there are more of them, or no class folder
        assert {split for split, _, _ in told(folder(root))} <= {"base", "validation", "novel"}


def test_splits_as_people_call_them(tmp_path: Path):
    files = {f"{name}/{i}/1.jpg": "" for i, name in enumerate(("training_set", "val2017", "Test-Images", "eval data"))}
    found = {path.partition("/")[0]: split for split, _, path in told(folder(grow(tmp_path, files)))}
    assert found == {"training_set": "base", "val2017": "validation", "Test-Images": "novel", "eval data": "validation"}
    assert [split_called(name) for name in ("dataset", "set", "2017", "trainers", "tests")] == [None] * 5


def test_classes_may_be_called_like_one_split(tmp_path: Path):
    """A train is a vehicle, too."""
    root = grow(tmp_path, {"train/1.jpg": "", "car/1.jpg": "", "bus/1.jpg": ""})
    assert [(split, name) for split, name, _ in told(folder(root))] == [(None, "bus"), (None, "car"), (None, "train")]


def test_what_is_surely_no_data_is_passed_over_beside_splits(tmp_path: Path):
    files = (
        "train/a/1.jpg",
        "eval/b/1.jpg",
        "test/c/1.jpg",
        "__MACOSX/train/a/._1.jpg",
        "logs/log.txt",
        ".cache/1.jpg",
    )
    listing = folder(grow(tmp_path, dict.fromkeys(files, "")))
    assert [split for split, _, _ in told(listing)] == ["base", "validation", "novel"]
    assert note(listing, "Folders that hold no data by their name") == (
        "Folders that hold no data by their name passed over: 1 (__MACOSX)."
    )
    assert (
        note(listing, "Folders without an image beside")
        == "Folders without an image beside the splits passed over: 1 (logs)."
    )


def test_folders_inside_of_class_folders_are_noted_or_are_classes(tmp_path: Path):
    files = ("bird/gull/herring/1.jpg", "bird/gull/black/1.jpg", "bird/odd.jpg", "fish/cod/1.jpg")
    root = grow(tmp_path, dict.fromkeys(files, ""))
    listing = folder(root)
    assert [name for _, name, _ in told(listing)] == ["bird", "bird", "bird", "fish"]
    assert note(listing, "Folders inside of class folders").endswith(
        "(--set dataset.classes=leaf makes each folder that holds images a class): 3 (bird/gull/black, "
        "bird/gull/herring, fish/cod)."
    )
    leaf = folder(root, classes="leaf")
    assert [name for _, name, _ in told(leaf)] == ["bird", "bird/gull/black", "bird/gull/herring", "fish/cod"]
    assert leaf.notes == ()
    split = grow(tmp_path / "split", {f"{part}/{file}": "" for part in ("train", "test") for file in files[:1]})
    assert [name for _, name, _ in told(folder(split, classes="leaf"))] == ["bird/gull/herring"] * 2


def test_a_folder_around_the_class_folders_is_named(tmp_path: Path):
    root = grow(tmp_path, {"photos/a/1.jpg": "", "photos/b/1.jpg": ""})
    with pytest.raises(
        ValueError, match=r"holds 'photos' alone, and that holds folders: name .*/photos itself, or --set"
    ):
        folder(root)
    assert [name for _, name, _ in told(folder(root, classes="leaf"))] == ["photos/a", "photos/b"]


def test_a_class_in_two_splits(tmp_path: Path):
    found = folder(grow(tmp_path, {"train/cat/1.jpg": "", "test/cat/2.jpg": "", "test/dog/1.jpg": ""}))
    assert told(found) == [
        ("novel", "cat", "test/cat/2.jpg"),
        ("base", "cat", "train/cat/1.jpg"),
        ("novel", "dog", "test/dog/1.jpg"),
    ]


def test_what_is_passed_over_is_noted(tmp_path: Path):
    files = {".git/1.jpg": "", "a/.hidden.jpg": "", "a/1.jpg": "", "a/x/read.me": "", "top.jpg": "", "top.txt": ""}
    root = grow(tmp_path, files)
    (root / "empty").mkdir()
    listing = folder(root)
    assert told(listing) == [(None, "a", "a/1.jpg")]
    assert listing.notes == (
        "Class folders without an image: 1 (empty).",
        "Hidden files and folders passed over: 2 (.git, a/.hidden.jpg).",
        "Files that are no images by their suffix passed over: 2 (a/x/read.me, top.txt).",
        "Images outside of class folders passed over: 1 (top.jpg).",
    )


def test_no_images_says_what_was_passed_over(tmp_path: Path):
    with pytest.raises(ValueError, match=r"root must hold .* has none \(.*passed over: 4 \(1\.jpg, 2\.jpg, 3\.jpg, "):
        folder(grow(tmp_path, {f"{i}.jpg": "" for i in (1, 2, 3, 4)}))


TO_FOLLOW = "(--set dataset.follow_links=true follows them)"


def test_links_that_lead_out(tmp_path: Path):
    grow(tmp_path, {"outside/secret/1.jpg": "", "root/a/1.jpg": ""})
    root = tmp_path / "root"
    (root / "b").symlink_to(tmp_path / "outside" / "secret")
    (root / "a" / "2.jpg").symlink_to("../../outside/secret/1.jpg")
    (root / "a" / "more").symlink_to(tmp_path / "outside")
    (root / "a" / "gone.jpg").symlink_to("nothing.jpg")
    listing = folder(root)
    assert told(listing) == [(None, "a", "a/1.jpg")]
    assert note(listing, "Links that lead out").endswith(f"passed over {TO_FOLLOW}: 3 (a/2.jpg, a/more, b).")
    assert note(listing, "Links that lead nowhere").endswith(": 1 (a/gone.jpg).")


def test_links_that_lead_out_are_followed_where_that_is_asked_for(tmp_path: Path):
    """A farm of links into a larger data set, and the Hub's cache, whose files have no suffix; circles end."""
    grow(tmp_path, {"big/gull/1.jpg": "", "big/gull/2.jpg": "", "blobs/0a1b": "", "hub/main/cod/read.me": ""})
    root = tmp_path / "hub" / "main"
    (root / "gull").symlink_to(tmp_path / "big" / "gull")
    (root / "cod" / "3.jpg").symlink_to("../../../blobs/0a1b")
    (tmp_path / "big" / "gull" / "up").symlink_to(tmp_path)
    (tmp_path / "big" / "gull" / "back").symlink_to(root)
    with pytest.raises(ValueError, match=re.escape(f"passed over {TO_FOLLOW}: 2 (cod/3.jpg, gull)")):
        folder(root)
    listing = folder(root, follow_links=True)
    assert [path for _, _, path in told(listing)] == ["cod/3.jpg", "gull/1.jpg", "gull/2.jpg"]
    assert note(listing, "Links that lead out").endswith(
        "followed, as dataset.follow_links is true: 2 (cod/3.jpg, gull)."
    )
    assert note(listing, "Links to what is walked anyway").endswith("passed over: 2 (gull/back, gull/up).")


def test_links_inside(tmp_path: Path):
    root = grow(tmp_path, {"a/1.jpg": "", "a/x/2.jpg": "", ".store/3.jpg": "", ".store/more/4.jpg": ""})
    (root / "b").mkdir()
    (root / "b" / "5.jpg").symlink_to("../.store/3.jpg")
    (root / "b" / "w").symlink_to("../.store/more")
    (root / "c").symlink_to("a")
    (root / "a" / "again.jpg").symlink_to("x/2.jpg")
    listing = folder(root)
    assert [path for _, _, path in told(listing)] == [
        "a/1.jpg",
        "a/x/2.jpg",
        "b/5.jpg",
        "b/w/4.jpg",
        "c/1.jpg",
        "c/x/2.jpg",
    ]
    assert note(listing, "Links to what is walked anyway") == (
        "Links to what is walked anyway passed over: 2 (a/again.jpg, c/again.jpg)."
    )
    assert note(listing, "Links to what lies outside").endswith("followed: 3 (b/5.jpg, b/w, c).")


def test_circles_of_links_end(tmp_path: Path):
    root = grow(tmp_path, {"a/1.jpg": "", "b/2.jpg": ""})
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "self").symlink_to(".")
    (root / "a" / "b").symlink_to("../b")
    (root / "b" / "a").symlink_to("../a")
    (root / "back").symlink_to(".")
    (root / "itself").symlink_to("itself")
    listing = folder(root)
    assert [path for _, _, path in told(listing)] == ["a/1.jpg", "a/b/2.jpg", "b/2.jpg", "b/a/1.jpg"]
    assert note(listing, "Links that lead nowhere").endswith(": 1 (itself).")


def test_root_may_be_a_link(tmp_path: Path):
    grow(tmp_path / "real", FOLDER)
    (tmp_path / "link").symlink_to("real")
    assert told(folder(tmp_path / "link")) == told(folder(tmp_path / "real"))


def test_what_is_no_file_is_no_image(tmp_path: Path):
    root = grow(tmp_path, {"a/1.jpg": ""})
    os.mkfifo(root / "a" / "pipe.jpg")
    assert [path for _, _, path in told(folder(root))] == ["a/1.jpg"]


def test_the_order_of_the_file_system_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = grow(tmp_path, FOLDER | {".x": "", "y": "", "a/.z": "", "e/no": ""})
    (root / "a" / "b").symlink_to("../b")
    (root / "a" / "c").symlink_to("../b")
    expected = folder(root)
    scan = os.scandir
    for order in (sorted, lambda entries, key: sorted(entries, key=key, reverse=True)):
        monkeypatch.setattr(os, "scandir", lambda path, order=order: nullcontext(order(scan(path), key=os.fspath)))
        assert folder(root) == expected
