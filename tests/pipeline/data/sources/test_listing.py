"""Listings that are put together, on names alone."""

import os
import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from pipeline.data.sources.listing import SPLITS, Box, Listed, assemble, escaped, existing, some_of
from tests.pipeline.data.sources.trees import grow, told

ROOT = Path("birds")


def images(*names: str) -> list[Listed]:
    """Images by class/name."""
    return [Listed(ROOT / name, name.partition("/")[0]) for name in names]


def test_every_name_of_a_split_stands_for_one_of_three():
    assert set(SPLITS.values()) == {"base", "validation", "novel"}
    assert all(SPLITS[split] == split for split in SPLITS.values())
    assert [SPLITS[name] for name in ("train", "val", "test")] == ["base", "validation", "novel"]


def test_images_come_by_class_and_then_by_path_in_whatever_order_they_were_found():
    expected = images("crow/1.jpg", "crow/10.jpg", "crow/2.jpg", "duck/0.jpg", "wren/a.jpg", "wren/b.jpg")
    for seed in range(5):
        found = assemble("folder", ROOT, random.Random(seed).sample(expected, len(expected)))
        assert found.images == tuple(expected)
        assert (found.source, found.root, found.notes) == ("folder", ROOT, ())


def test_classes_come_in_the_order_of_their_names_and_not_of_their_folders():
    found = assemble("table", ROOT, [Listed(ROOT / "1.jpg", "wren"), Listed(ROOT / "2.jpg", "crow")])
    assert [image.class_name for image in found.images] == ["crow", "wren"]


def test_an_image_that_a_class_holds_twice_is_listed_once():
    """The first of them stays, with what is known of it."""
    box = Box(0.0, 0.0, 1.0, 1.0)
    first, other = images("crow/1.jpg", "crow/2.jpg")
    found = assemble("folder", ROOT, [replace(first, box=box), first, other, other], ["2 files passed over."])
    assert found.images == (replace(first, box=box), other)
    assert found.notes == (
        "2 files passed over.",
        "Images listed more than once, kept once: 2 (birds/crow/1.jpg, birds/crow/2.jpg).",
    )


def test_an_image_in_two_splits_is_refused():
    for splits, both in {("novel", "base"): "base and in novel", ("base", None): "base and in none"}.items():
        twice = [Listed(ROOT / "1.jpg", "crow", split) for split in splits]
        said = rf"^image birds/1\.jpg must lie in one split but lies in {both}: list it once$"
        with pytest.raises(ValueError, match=said):
            assemble("folder", ROOT, twice)


def test_a_class_in_two_splits_is_listed_as_it_is():
    parts = [Listed(ROOT / f"{i}.jpg", "crow", split) for i, split in enumerate(("novel", "base"))]
    assert assemble("folder", ROOT, parts).images == tuple(parts)


def test_an_image_of_two_classes_is_refused():
    with pytest.raises(ValueError, match=r"^image birds/1\.jpg must have one class but has 'crow' and 'wren'$"):
        assemble("table", ROOT, [Listed(ROOT / "1.jpg", name) for name in ("wren", "crow")])


def test_no_image_at_all_is_refused_with_what_was_passed_over():
    with pytest.raises(ValueError, match=r"^root must hold images as folder lays them out but birds has none$"):
        assemble("folder", ROOT, [])
    with pytest.raises(ValueError, match=r"birds has none \(One file passed over\. Another is gone\.\)$"):
        assemble("folder", ROOT, [], ["One file passed over.", "Another is gone."])


def test_classes_that_look_alike_are_kept_apart_and_noted():
    """In case, in the form of an umlaut, and by ß, which is ss without regard to case."""
    names = ("Crow", "crow", "gr\u00fcn", "gru\u0308n", "gro\u00df", "gross", "wren")
    found = assemble("table", ROOT, [Listed(ROOT / f"{i}.jpg", name) for i, name in enumerate(names)])
    assert {image.class_name for image in found.images} == set(names)
    assert found.notes == (
        "Classes whose names differ only in case or in Unicode form, kept apart: "
        r"3 (Crow and crow, gross and gro\xdf, gru\u0308n and gr\xfcn).",
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Größe 4", "Größe 4"),
        ("a\nb\tc", r"a\u000ab\u0009c"),
        ("a\u2028b\u2029\x85", r"a\u2028b\u2029\u0085"),
        (os.fsdecode(b"h\xe9ron"), r"h\xe9ron"),
        (r"h\xe9ron", r"h\\xe9ron"),
        ("\ud800", r"\ud800"),  # a surrogate that stands for no byte
        ("\x7f", r"\u007f"),
    ],
)
def test_a_name_is_escaped_where_it_would_break_a_line_or_is_no_utf_8(name, written):
    assert escaped(name) == written
    assert len(written.splitlines()) == 1
    written.encode("utf-8")


def test_no_two_names_are_escaped_alike():
    pieces = ("\\", "x", "e9", "u", "000a", "\n", "\udce9")
    names = [one + other for one in pieces for other in ("", *pieces)]
    for one, other in combinations(dict.fromkeys(names), 2):
        assert escaped(one) != escaped(other)


def test_what_is_listed_is_escaped_and_paths_are_left_as_they_are():
    path = ROOT / "a\nb" / "1.jpg"
    found = assemble("folder", ROOT, [Listed(path, "a\nb")] * 2, ["passed\nover."])
    assert found.images == (Listed(path, r"a\u000ab"),)
    assert found.notes[0] == r"passed\u000aover."
    assert found.notes[1].endswith(r"kept once: 1 (birds/a\u000ab/1.jpg).")


def test_what_is_not_there_is_left_out_and_noted(tmp_path: Path):
    grow(tmp_path, {"a/1.jpg": "", "a/2.jpg": "", "a/2.png": ""})
    (tmp_path / "a" / "folder.jpg").mkdir()
    whole = Listed(tmp_path / "a/2.jpg", "a", mask=tmp_path / "a/2.png", mask_values=(1, 3))
    bare = Listed(tmp_path / "a/1.jpg", "a", box=Box(0.0, 0.0, 1.0, 1.0))
    unmasked = replace(bare, mask=tmp_path / "a/1.png", mask_values=(1,))
    gone = [Listed(tmp_path / "a" / name, "a") for name in ("3.jpg", "folder.jpg", "x" * 300)]
    there, notes = existing([whole, unmasked, *gone])
    assert there == [whole, bare]
    a = tmp_path / "a"
    assert notes == [
        f"Images that are not there, left out: 3 ({a}/3.jpg, {a}/folder.jpg, {a}/{'x' * 300}).",
        f"Masks that are not there, their images kept: 1 ({a}/1.png).",
    ]
    assert existing([whole]) == ([whole], [])
    assert told(assemble("folder", tmp_path, there))[0] == (None, "a", "a/1.jpg")


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a"], "1 (a)"), (["c", "a", "b"], "3 (a, b, c)"), (["d", "c", "b", "a"], "4 (a, b, c, ...)")],
)
def test_names_are_counted_and_the_first_three_are_told(names, said):
    assert some_of(names) == said


@pytest.mark.parametrize("name", ["a b", "a'b", "ä", "日本"])
def test_a_name_that_breaks_nothing_is_left_as_it_is(name):
    assert escaped(name) == name
