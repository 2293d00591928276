"""Pictures of each class divided between splits: by hand, and from a folder through packing to episodes."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config import Dataset, Episodes
from pipeline.data import listed
from pipeline.data.listed import class_sizes, listing_of
from pipeline.data.packing.packing import pack_listing
from pipeline.data.pictures import Division, in_parts, parts_of_classes, small_in_a_part, too_few_pictures
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore

HALVES = Division((("validation", 0.5), ("novel", 0.5)), 0)
THREE = Division((("base", 0.5), ("validation", 0.25), ("novel", 0.25)), 3)
CLASSES, PICTURES, SIZE = "abcdef", 20, 16


@pytest.fixture(autouse=True)
def _listed_anew():
    """Files that a test changes are seen."""
    listed._listed.cache_clear()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """20 different pictures of each of 6 classes."""
    random, root = np.random.default_rng(0), tmp_path / "photos"
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for i in range(PICTURES):
            Image.fromarray(random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


def held_out(root, **fields):
    return Dataset.model_validate({"source": "folder", "path": str(root), "hold_out": "pictures", **fields})


def packed(root: Path, to: Path, **fields) -> ImageStore:
    listed._listed.cache_clear()
    pack_listing(listing_of(held_out(root, **fields)), to, SIZE)
    return ImageStore(to)


def contents(store: ImageStore, split: str) -> dict[str, set[bytes]]:
    """The pixels of each class's pictures in a split."""
    return {name: {one.tobytes() for one in store.images(rows)} for name, rows in store.classes(split).items()}


def random_contents(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 16), np.uint8)


@pytest.mark.parametrize(
    ("division", "pictures", "sizes"),
    [
        (HALVES, 20, [10, 10]),
        (HALVES, 7, [4, 3]),
        (HALVES, 1, [0, 1]),
        (HALVES, 0, [0, 0]),
        (THREE, 20, [10, 5, 5]),
        (THREE, 10, [5, 3, 2]),  # cuts at 5 and at 7.5, which rounds to 8
        (Division((("novel", 1.0),), 0), 3, [3]),
        (Division((("base", 1 / 3), ("validation", 1 / 3), ("novel", 1 / 3)), 0), 10, [3, 4, 3]),
    ],
)
def test_shares_cut_the_pictures_of_a_class(division, pictures, sizes):
    assert list(division.sizes(pictures).values()) == sizes
    assert list(division.sizes(pictures)) == [split for split, _ in division.shares]


def test_the_ranking_is_the_digests_and_each_class_is_cut_by_itself():
    classes, digests = ["x"] * 10 + ["y"] * 4, random_contents(14)
    ranks = [hashlib.sha256(b"3\0" + bytes(digest)).hexdigest() for digest in digests]
    expected = [""] * 14
    for rows, cuts in ((range(10), "b" * 5 + "v" * 3 + "n" * 2), (range(10, 14), "bbvn")):
        for row, cut in zip(sorted(rows, key=ranks.__getitem__), cuts, strict=True):
            expected[row] = {"b": "base", "v": "validation", "n": "novel"}[cut]
    assert THREE.splits_of(classes, digests) == expected


@pytest.mark.parametrize("count", [6, 7, 20, 99])
def test_a_picture_more_moves_at_most_one_other_over_each_cut(count):
    for seed in range(20):
        digests = random_contents(count + 1, seed)
        before, after = (THREE.splits_of(["x"] * some, digests[:some]) for some in (count, count + 1))
        assert sum(one != other for one, other in zip(before, after, strict=False)) <= 2


def test_another_seed_divides_otherwise():
    digests = random_contents(30)
    one, other = (Division(HALVES.shares, seed).splits_of(["x"] * 30, digests) for seed in (0, 1))
    assert one != other


def test_parts_are_told_where_splits_share_a_class():
    shared = {"validation": {"a": 3, "b": 0}, "novel": {"a": 2}}
    parts = {"a": {"novel": 2, "validation": 3}, "b": {"novel": 0, "validation": 0}}
    assert parts_of_classes(shared) == parts
    assert parts_of_classes({"validation": {"a": 3, "b": 0}, "novel": {"b": 2, "a": 0}}) == {}
    assert list(small_in_a_part(parts, 3)) == ["b", "a"]
    assert small_in_a_part(parts, 2) == {"b": parts["b"]}
    assert in_parts(parts["a"]) == "2 pictures in novel and 3 pictures in validation"


def test_too_few_pictures_are_told_by_class_and_part_with_what_is_needed():
    said = too_few_pictures({"a": {"novel": 2, "validation": 3}, "b": {"novel": 3, "validation": 3}}, 1, 4)
    assert said == (
        "episodes.shot + episodes.query must be at most 2, as class 'a' has 2 pictures in novel and 3 pictures in "
        "validation (other classes with too few: 1) and episodes of each split need that many, but got 1 + 4"
    )


def test_every_split_holds_other_pictures_of_the_same_classes(photos, tmp_path):
    store = packed(photos, tmp_path / "a.arrow")
    search, report = (contents(store, split) for split in ("validation", "novel"))
    assert list(search) == list(report) == list(CLASSES)
    assert {len(found) for part in (search, report) for found in part.values()} == {PICTURES // 2}
    assert not set.union(*search.values()) & set.union(*report.values())
    assert class_sizes(listing_of(held_out(photos))) == {
        split: {name: len(found) for name, found in part.items()}
        for split, part in (("novel", report), ("validation", search))
    }


def test_support_query_search_and_report_are_disjoint_and_all_classes_are_drawn(photos, tmp_path):
    store, drawn = packed(photos, tmp_path / "a.arrow"), {}
    for split in ("validation", "novel"):
        sampler, drawn[split] = sampler_of(store.classes(split), Episodes(way=5, shot=1, query=3), "refuse"), []
        for index in range(60):
            episode = sampler[index]
            rows = [*episode.support.tolist(), *episode.query.tolist()]
            assert len(set(rows)) == 5 * 4
            drawn[split].append(rows)
    seen = {split: {row for rows in episodes for row in rows} for split, episodes in drawn.items()}
    assert seen["validation"].isdisjoint(seen["novel"])
    assert len(seen["validation"]) == len(seen["novel"]) == len(CLASSES) * PICTURES // 2
    assert {one.tobytes() for one in store.images(np.array(sorted(seen["validation"])))}.isdisjoint(
        one.tobytes() for one in store.images(np.array(sorted(seen["novel"])))
    )


def test_the_division_is_the_same_again_and_under_other_names(photos, tmp_path):
    first = packed(photos, tmp_path / "a.arrow")
    assert packed(photos, tmp_path / "b.arrow").fingerprint == first.fingerprint
    for path in list(photos.glob("*/*.png")):
        path.rename(path.with_name(f"{hashlib.md5(path.name.encode()).hexdigest()}.png"))
    renamed = packed(photos, tmp_path / "c.arrow")
    assert renamed.fingerprint != first.fingerprint  # the rows stand in another order
    for split in ("validation", "novel"):
        assert contents(renamed, split) == contents(first, split)
    assert contents(packed(photos, tmp_path / "d.arrow", split_seed=1), "novel") != contents(first, "novel")


def test_copies_of_a_picture_are_one_and_move_no_other(photos, tmp_path):
    first = packed(photos, tmp_path / "a.arrow")
    for i in range(10):  # in another format, and first by name
        Image.open(photos / "a" / f"{i}.png").save(photos / "a" / f"0 copy of {i}.bmp")
    copied = packed(photos, tmp_path / "b.arrow")
    assert copied.count == first.count
    for split in ("validation", "novel"):
        assert contents(copied, split) == contents(first, split)


def test_a_picture_in_two_classes_stays_refused(photos, tmp_path):
    (photos / "b" / "leak.png").write_bytes((photos / "a" / "3.png").read_bytes())
    said = "an image must be in one class and one split but 1 are in two or more: a/3.png of class a is b/leak.png of "
    with pytest.raises(ValueError, match=f"^{re.escape(said)}class b;"):
        packed(photos, tmp_path / "a.arrow")


def own_splits(photos: Path, root: Path) -> Path:
    """The same classes in train, val and test: 6, 4 and 10 pictures of each."""
    for path in photos.glob("*/*.png"):
        split = next(split for split, upto in (("train", 6), ("val", 10), ("test", 20)) if int(path.stem) < upto)
        to = root / split / path.parent.name / path.name
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
    return root


def test_splits_of_ones_own_with_the_same_classes_are_taken_as_they_are(photos, tmp_path):
    root = own_splits(photos, tmp_path / "own")
    store = packed(root, tmp_path / "a.arrow")
    for split, folder, count in (("base", "train", 6), ("validation", "val", 4), ("novel", "test", 10)):
        classes = store.classes(split)
        assert {name: len(rows) for name, rows in classes.items()} == dict.fromkeys(CLASSES, count)
        assert all(path.startswith(f"{folder}/") for rows in classes.values() for path in store.ids(rows))
    with pytest.raises(
        ValueError, match=r"^dataset\.hold_out: class 'a' of .* must lie in one split but lies in base "
    ):
        listing_of(held_out(root, hold_out="classes"))


def test_a_picture_in_two_splits_of_ones_own_stays_refused(photos, tmp_path):
    root = own_splits(photos, tmp_path / "own")
    (root / "test" / "c" / "again.png").write_bytes((root / "val" / "c" / "7.png").read_bytes())
    said = r"test/c/again\.png of class c \(novel\) is val/c/7\.png of class c \(validation\); remove the wrong copies"
    with pytest.raises(ValueError, match=said):
        packed(root, tmp_path / "a.arrow")


def test_a_class_that_is_small_in_one_part_is_left_out_of_all_or_refused(photos, tmp_path):
    for i in range(7, PICTURES):
        (photos / "c" / f"{i}.png").unlink()
    store, wanted = packed(photos, tmp_path / "a.arrow"), Episodes(way=5, shot=1, query=3)
    small = set(np.concatenate([store.classes(split)["c"] for split in store.splits]).tolist())
    for split, there in (("validation", 4), ("novel", 3)):
        assert len(store.classes(split)["c"]) == there
        with pytest.raises(ValueError, match="as class 'c' has 3 pictures in novel and 4 pictures in validation and "):
            sampler_of(store.classes(split), wanted, "refuse")
        sampler = sampler_of(store.classes(split), wanted, "leave_out")
        assert not small & {row for index in range(30) for row in sampler[index].support.tolist()}
