import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.data.pictures import Division
from pipeline.data.sources.listing import Listed, Listing
from pipeline.data.sources.splitting import check_splits, with_division, with_splits, without_splits


def listing(splits, images=1):
    """Classes with so many images each, and the split given for them."""
    made = [Listed(Path(f"{name}/{i}.jpg"), name, split) for name, split in splits.items() for i in range(images)]
    return Listing("folder", Path("root"), tuple(made))


def unsplit(count, images=1):
    return listing({f"class {i:03}": None for i in range(count)}, images)


def drawn(*arguments, **options):
    return {image.class_name: image.split for image in with_splits(*arguments, **options).images}


def sizes(splits):
    return [list(splits.values()).count(split) for split in ("base", "validation", "novel")]


def test_the_ranking_is_the_digests_and_the_shares_cut_it():
    names = [f"class {i:03}" for i in range(10)]
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"3\0{name}".encode()).hexdigest())
    # cuts at 5 and at 7.5, which rounds to 8
    expected = dict(zip(ranked, ["base"] * 5 + ["validation"] * 3 + ["novel"] * 2, strict=True))
    assert drawn(unsplit(10), seed=3) == expected


def test_images_keep_their_order_and_the_draw_is_noted():
    before = unsplit(8, images=2)
    after = with_splits(before)
    assert [image.path for image in after.images] == [image.path for image in before.images]
    assert after.notes == ("Classes split by seed 0: 4 base, 2 validation, 2 novel.",)


def test_it_depends_on_names_and_seed_only():
    assert drawn(unsplit(30, images=1)) == drawn(unsplit(30, images=3))
    assert drawn(listing({f"class {i:03}": None for i in reversed(range(30))})) == drawn(unsplit(30))
    assert drawn(unsplit(30), seed=0) != drawn(unsplit(30), seed=1)


def test_one_name_in_two_encodings_is_split_alike():
    others = {f"class {i}": None for i in range(9)}
    composed, apart = "caf\u00e9", "cafe\u0301"
    for seed in range(5):
        one, other = (drawn(listing({**others, name: None}), seed=seed) for name in (composed, apart))
        assert one[composed] == other[apart]


@pytest.mark.parametrize("count", [6, 7, 20, 99])
def test_a_class_more_moves_at_most_one_other_over_each_cut(count):
    for seed in range(20):
        before, after = drawn(unsplit(count), seed=seed), drawn(unsplit(count + 1), seed=seed)
        assert sum(after[name] != split for name, split in before.items()) <= 2


@pytest.mark.parametrize(
    ("count", "shares", "expected"),
    [
        (200, {"base": 0.5, "validation": 0.25, "novel": 0.25}, [100, 50, 50]),
        (200, {"novel": 0.25, "validation": 0.25, "base": 0.5}, [100, 50, 50]),
        (6, {"base": 0.5, "validation": 0.25, "novel": 0.25}, [2, 2, 2]),
        (100, {"base": 0.99, "validation": 0.005, "novel": 0.005}, [96, 2, 2]),
        (100, {"base": 0.5, "validation": 0.001, "novel": 0.499}, [50, 2, 48]),
        (37, {"base": 0.0, "validation": 0.4, "novel": 0.6}, [0, 15, 22]),
        (5, {"novel": 1.0}, [0, 0, 5]),
        (11, {"base": 1 / 3, "validation": 1 / 3, "novel": 1 / 3}, [4, 3, 4]),
    ],
)
def test_sizes(count, shares, expected):
    assert sizes(drawn(unsplit(count), shares)) == expected


def test_splits_that_are_there_stay():
    given = listing({"a": "base", "b": "novel"})
    assert with_splits(given) is given


def test_some_with_a_split_and_some_without():
    with pytest.raises(ValueError, match="must all have a split, or none, but 'b' has one and 'a' has none"):
        with_splits(listing({"c": "base", "b": "novel", "a": None, "d": None}))


@pytest.mark.parametrize(
    ("count", "shares", "says"),
    [
        (
            5,
            {"base": 0.5, "validation": 0.25, "novel": 0.25},
            "at least 6 but are 5: some of them are set aside",
        ),
        (
            3,
            {"validation": 0.5, "novel": 0.5},
            "at least 4 but are 3: half of them .* episodes.way=3 divides",
        ),
        (9, {"base": 0.5, "novel": 0.4}, "shares must sum to 1 but sum to 0.9"),
        (9, {"base": 1.5, "novel": -0.5}, "share of base must be 0 to 1 but got 1.5"),
        (9, {"train": 1.0}, "shares must be of base, validation, novel but got 'train'"),
    ],
)
def test_shares_that_cannot_be(count, shares, says):
    with pytest.raises(ValueError, match=says):
        with_splits(unsplit(count), shares)


def test_a_division_is_by_the_shares_that_are_not_0_base_first_and_is_noted():
    before = unsplit(2, images=3)
    after = with_division(before, {"novel": 0.75, "validation": 0.0, "base": 0.25}, 7)
    note = "Pictures of each class split by seed 7: 0.25 base, 0.75 novel."
    assert after == replace(before, notes=(note,), division=Division((("base", 0.25), ("novel", 0.75)), 7))
    with pytest.raises(ValueError, match="shares must sum to 1"):
        with_division(before, {"novel": 0.5})


def both(*splits):
    """Two classes with an image in each of these splits."""
    made = [Listed(Path(f"{name}/{i}.jpg"), name, split) for name in "ab" for i, split in enumerate(splits)]
    return Listing("folder", Path("root"), tuple(made))


def test_pictures_that_have_splits_are_not_divided():
    assert with_division(both("base", "novel")) == both("base", "novel")


def test_splits_that_are_joined_are_noted_and_divided_by_rule():
    joined = without_splits(both("novel", "base"))
    assert {image.split for image in joined.images} == {None}
    assert joined.notes == ("Splits joined, as dataset.merge_splits is true: base, novel.",)
    assert without_splits(unsplit(3)) == unsplit(3)


def test_splits_that_fit_what_is_held_out_pass():
    for of_pictures in (False, True):
        check_splits(unsplit(5, 2), of_pictures)
    check_splits(listing({"a": "base", "b": "novel", "c": None}), of_pictures=False)  # with_splits refuses them
    check_splits(both("base", "novel"), of_pictures=True)


@pytest.mark.parametrize(
    ("found", "of_pictures", "says"),
    [
        (
            both("novel", "base"),
            False,
            "class 'a' of root must lie in one split but lies in base and in novel: splits share no class; --set "
            "dataset.merge_splits=true joins the splits and divides the classes anew, --set dataset.hold_out=pictures "
            "takes them as they are, with the same classes in each",
        ),
        (
            both("base", None),
            False,
            "class 'a' of root must lie in one split but lies in base and in none: splits share no class; --set "
            "dataset.merge_splits=true joins the splits and divides the classes anew",
        ),
        (
            both("base", None),
            True,
            "pictures of root must all have a split, or none, but a/0.jpg has one and a/1.jpg has none; "
            "--set dataset.merge_splits=true divides all of them anew",
        ),
        (
            listing({"a": "base", "b": "novel"}),
            True,
            "splits of root must share classes for hold_out to be pictures but each class lies in one; --set "
            "dataset.hold_out=classes takes them as they are, and --set dataset.merge_splits=true divides the pictures "
            "of each class anew",
        ),
    ],
)
def test_splits_that_do_not_fit_what_is_held_out(found, of_pictures, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        check_splits(found, of_pictures)
