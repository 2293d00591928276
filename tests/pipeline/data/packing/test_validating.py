import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpt.pictures.resizing import Squash
from pipeline.data.packing.packing import pack_listing
from pipeline.data.packing.validating import Problem, Summary, validate
from pipeline.data.pictures import Division
from pipeline.data.sources.listing import Listed, Listing
from pipeline.data.store import ImageStore


def drawn(folder: Path, classes: dict[tuple[str, str], int]) -> Listing:
    """Different images of 40 x 50 and more, so many of each (split, class)."""
    random, images = np.random.default_rng(0), []
    for (split, name), count in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            path = folder / name / f"{i}.png"
            Image.fromarray(random.integers(0, 256, (50 + i, 40 + i, 3), np.uint8)).save(path)
            images.append(Listed(path, name, split))
    return Listing("folder", folder, tuple(images))


def copy(folder: Path, image: str, *to: str) -> None:
    for name in to:
        (folder / name).write_bytes((folder / image).read_bytes())


@pytest.fixture
def faulty(tmp_path) -> Listing:
    listing = drawn(tmp_path, {("novel", "heron"): 6, ("novel", "teal"): 5, ("novel", "gull"): 2, ("base", "crane"): 5})
    (tmp_path / "heron/1.png").write_bytes(b"")
    (tmp_path / "heron/2.png").write_bytes((tmp_path / "heron/2.png").read_bytes()[:900])
    Image.new("RGB", (90, 31)).save(tmp_path / "heron/3.png")
    copy(tmp_path, "teal/0.png", "teal/2.png", "teal/4.png")
    copy(tmp_path, "heron/4.png", "gull/0.png")
    copy(tmp_path, "heron/5.png", "crane/0.png")
    return listing


NEEDS = "that an episode needs"
OF_WHICH = "of which an episode needs 1 + 1 (shot + query) in each"
LEFT = "refused, or left out of episodes"
LEAK = "refused: remove the wrong copies, or --set dataset.leaks=leave_out leaves out all of them"
FLAT = ("all pixels are the same", "packed as it is")


def test_every_problem_is_named_with_what_becomes_of_it(faulty):
    seen: list[tuple[int, int]] = []
    found = validate(faulty, 2, way=2, shot=1, query=1, size=32, progress=lambda *said: seen.append(said))
    heron, teal, gull, crane = (
        f"class {name}" for name in ("heron (novel)", "teal (novel)", "gull (novel)", "crane (base)")
    )
    assert found.problems == [
        Problem("unreadable", ("heron/1.png",), "empty file", "left out"),
        Problem("truncated", ("heron/2.png",), "truncated: the file ends before the image does", "left out"),
        Problem("tiny", ("heron/3.png",), "90 x 31 pixels, the shorter side under 32", "enlarged"),
        Problem("of one colour", ("heron/3.png",), *FLAT),
        Problem("leak between classes", ("heron/4.png", "gull/0.png"), f"the same image, in {heron} and {gull}", LEAK),
        Problem("leak between splits", ("heron/5.png", "crane/0.png"), f"the same image, in {heron} and {crane}", LEAK),
        Problem(
            "duplicate",
            ("teal/0.png", "teal/2.png", "teal/4.png"),
            f"the same image, in {teal}",
            "one kept: teal/0.png",
        ),
        Problem("small class", ("gull",), f"has 1 of the 1 + 1 images (shot + query) {NEEDS}", LEFT),
        Problem(
            "small split",
            ("base",),
            f"has 1 of the 2 classes (way) {NEEDS}, without small ones",
            "no episodes are drawn from it",
        ),
    ]
    assert found.summary == Summary(
        listed=18,
        images=10,
        splits={"novel": {"heron": 2, "teal": 3, "gull": 1}, "base": {"crane": 4}},
        smallest_class=("gull", 1),
        largest_class=("crane", 4),
        sizes=((40, 50), (43, 53), (90, 31)),
    )
    assert seen == [(16, 18), (18, 18)]


def test_nothing_is_wrong_with_good_images(tmp_path):
    listing = drawn(tmp_path, {("novel", "heron"): 3, ("novel", "teal"): 4})
    found = validate(listing, 1, way=2, shot=1, query=2)
    assert found.problems == []
    assert found.summary.splits == {"novel": {"heron": 3, "teal": 4}}


def test_it_counts_what_packing_packs(faulty, tmp_path):
    found = validate(faulty, 1, way=2, shot=1, query=1, size=32, how=Squash())
    packing = pack_listing(faulty, tmp_path / "a.arrow", 32, Squash(), drop_leaks=True)
    assert packing.splits == found.summary.splits
    assert packing.images == found.summary.images
    kept = ("tiny", "of one colour", "small class", "small split")
    named = {name for one in found.problems if one.kind not in kept for name in one.names}
    assert named - {one.image for one in packing.left_out} == {"teal/0.png"}


def test_copies_are_told_by_their_pixels(tmp_path):
    """The same image in another format is a copy; one in which a pixel differs is none."""
    listing = drawn(tmp_path, {("novel", "heron"): 3, ("novel", "teal"): 3})
    Image.open(tmp_path / "heron/0.png").save(tmp_path / "heron/1.png", "BMP")
    pixels = np.asarray(Image.open(tmp_path / "heron/0.png")).copy()
    pixels[25, 20] ^= 128
    Image.fromarray(pixels).save(tmp_path / "heron/2.png")
    (problem,) = validate(listing, 1, way=2, shot=1, query=1).problems
    assert (problem.kind, problem.names) == ("duplicate", ("heron/0.png", "heron/1.png"))


def test_classes_without_a_split(tmp_path):
    listing = drawn(tmp_path, {("novel", "heron"): 3, ("novel", "teal"): 1})
    unsplit = replace(listing, images=tuple(replace(image, split=None) for image in listing.images))
    copy(tmp_path, "heron/0.png", "teal/0.png")
    found = validate(unsplit, 1, way=2, shot=1, query=1)
    assert [one.kind for one in found.problems] == ["leak between classes", "small class", "small split"]
    assert found.problems[0].why == "the same image, in class heron and class teal"
    assert found.summary.splits == {"no split": {"heron": 2, "teal": 0}}
    assert found.summary.smallest_class == ("teal", 0)


def test_nothing_can_be_read(tmp_path):
    listing = drawn(tmp_path, {("novel", "heron"): 2})
    for image in listing.images:
        image.path.write_bytes(b"")
    found = validate(listing, 1, way=2, shot=1, query=1)
    assert [one.kind for one in found.problems] == ["unreadable"] * 2 + ["small class", "small split"]
    assert (found.summary.images, found.summary.sizes) == (0, ())


def test_names_of_any_encoding(tmp_path):
    listing = drawn(tmp_path, {("novel", "heron"): 2})
    latin = Path(os.fsdecode(bytes(tmp_path / "heron") + b"/h\xe9ron.png"))
    listing.images[0].path.rename(latin)
    renamed = replace(listing, images=(replace(listing.images[0], path=latin), listing.images[1]))
    pack_listing(renamed, tmp_path / "a.arrow", 8)
    assert ImageStore(tmp_path / "a.arrow").ids(np.arange(2)) == ["heron/h\\xe9ron.png", "heron/1.png"]


def test_pictures_that_are_still_to_be_divided_are_counted_as_packing_divides_them(tmp_path):
    listing = drawn(tmp_path / "images", {("novel", "heron"): 7, ("novel", "teal"): 9, ("novel", "gull"): 3})
    unsplit = tuple(replace(image, split=None) for image in listing.images)
    divided = replace(listing, images=unsplit, division=Division((("validation", 0.5), ("novel", 0.5)), 0))
    copy(tmp_path / "images", "heron/0.png", "heron/1.png")
    (tmp_path / "images/teal/0.png").write_bytes(b"")
    found = validate(divided, 1, way=3, shot=1, query=1, size=32, how=Squash())
    packing = pack_listing(divided, tmp_path / "a.arrow", 32, Squash())
    expected = {"validation": {"gull": 2, "heron": 3, "teal": 4}, "novel": {"gull": 1, "heron": 3, "teal": 4}}
    assert found.summary.splits == packing.splits == expected
    store = ImageStore(tmp_path / "a.arrow")
    assert {split: {name: len(rows) for name, rows in store.classes(split).items()} for split in store.splits} == (
        expected
    )
    assert [one.kind for one in found.problems] == ["unreadable", "duplicate", "small class", "small splits"]
    small, splits = found.problems[2:]
    why = f"has 1 pictures in novel and 2 pictures in validation, {OF_WHICH}"
    assert small == Problem("small class", ("gull",), why, LEFT)
    why = f"have 2 of the 3 classes (way) {NEEDS}, without small ones"
    assert splits == Problem("small splits", ("novel", "validation"), why, "no episodes are drawn from them")
