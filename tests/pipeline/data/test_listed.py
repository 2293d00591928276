"""Images of one's own, as a configuration names them: what is listed, what changes it, what is refused and how."""

import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from pipeline.checks import check_run
from pipeline.config import Dataset, Run
from pipeline.data import listed
from pipeline.data.listed import (
    HandedOver,
    class_sizes,
    digest_of,
    handed_over,
    listing_of,
    served_by_pictures,
    summary_of,
)
from pipeline.data.packing.copies import LeftOut
from pipeline.data.packing.packing import Packing
from pipeline.data.pictures import Division
from pipeline.data.sources.listing import Box, Listed, Listing
from pipeline.data.sources.splitting import with_splits
from tests.pipeline.data.sources.trees import grow

FILES = {f"{name}/{i}.jpg": "" for name in "abcdef" for i in range(2)}
MANIFEST = {"fingerprint": "0123", "splits": {"novel": {"a": 2}}}


@pytest.fixture(autouse=True)
def _listed_anew():
    """Files that a test changes are seen."""
    listed._listed.cache_clear()
    yield
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def photos(tmp_path) -> Path:
    return grow(tmp_path / "photos", FILES)


def own(path, source="folder", **fields):
    return Dataset(source=source, path=str(path), **fields)


def splits_of(listing):
    return {image.class_name: image.split for image in listing.images}


def test_classes_without_a_split_get_one_by_shares_and_seed(photos):
    found = listing_of(own(photos))
    assert Counter(splits_of(found).values()) == {"validation": 3, "novel": 3}
    bare = replace(found, images=tuple(replace(image, split=None) for image in found.images), notes=())
    for seed in range(4):
        shares = {"base": 0.4, "novel": 0.6}
        drawn = listing_of(own(photos, shares=shares, split_seed=seed))
        assert drawn == with_splits(bare, shares, seed)


def test_splits_of_ones_own_are_kept_unless_all_are_novel(tmp_path):
    files = {f"{split}/{name}/1.jpg": "" for split, name in (("train", "a"), ("val", "b"), ("test", "c"))}
    root = grow(tmp_path / "photos", files)
    assert splits_of(listing_of(own(root))) == {"a": "base", "b": "validation", "c": "novel"}
    assert splits_of(listing_of(own(root, all_novel=True))) == dict.fromkeys("abc", "novel")


def test_pictures_are_divided_where_they_are_held_out(photos):
    found = listing_of(own(photos, hold_out="pictures", shares={"novel": 0.5, "base": 0.5}, split_seed=4))
    assert splits_of(found) == dict.fromkeys("abcdef")
    assert found.division == Division((("base", 0.5), ("novel", 0.5)), 4)
    assert class_sizes(found) == {split: dict.fromkeys("abcdef", 1) for split in ("base", "novel")}
    assert listing_of(own(photos)).division is None


def test_a_class_in_two_splits_is_listed_where_pictures_are_held_out_or_all_are_novel(tmp_path):
    root = grow(tmp_path / "photos", {f"{split}/{name}/1.jpg": "" for split in ("val", "test") for name in "ab"})
    found = listing_of(own(root, hold_out="pictures"))
    assert (found.division, class_sizes(found)) == (
        None,
        {split: {"a": 1, "b": 1} for split in ("novel", "validation")},
    )
    assert class_sizes(listing_of(own(root, all_novel=True))) == {"novel": {"a": 2, "b": 2}}
    said = "dataset.hold_out: class 'a' of .* must lie in one split but lies in novel and in validation: splits share "
    with pytest.raises(ValueError, match=f"^{said}"):
        listing_of(own(root))
    joined = listing_of(own(root, merge_splits=True, shares={"novel": 1.0}))
    assert class_sizes(joined) == {"novel": {"a": 2, "b": 2}}
    with pytest.raises(ValueError, match="classes must be at least 4 but are 2: half of them is set aside"):
        listing_of(own(root, merge_splits=True))
    divided = listing_of(own(root, merge_splits=True, hold_out="pictures"))
    assert class_sizes(divided) == {split: {"a": 1, "b": 1} for split in ("novel", "validation")}


def test_classes_that_divided_pictures_serve_are_counted(photos, tmp_path):
    splits = {"validation": {"a": 2, "b": 3}, "novel": {"c": 4, "d": 5}}
    assert [served_by_pictures(own(photos), splits, least) for least in (1, 2, 3)] == [4, 2, 0]
    assert served_by_pictures(own(photos, shares={"base": 0.75, "novel": 0.25}), splits, 1) == 3
    assert served_by_pictures(own(photos, hold_out="pictures"), splits, 1) == 0
    assert served_by_pictures(own(photos, all_novel=True), splits, 1) == 0
    assert served_by_pictures(Dataset(), splits, 1) == served_by_pictures(own("a.arrow", "packed"), splits, 1) == 0
    root = grow(tmp_path / "own", {"val/a/1.jpg": "", "test/b/1.jpg": ""})
    assert served_by_pictures(own(root), splits, 1) == 0


def test_a_home_folder_may_be_named_by_a_tilde(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos.parent))
    assert listing_of(own("~/photos")).images == listing_of(own(photos)).images


def test_files_are_listed_once_for_all_that_is_asked_of_them(photos):
    before = listing_of(own(photos))
    grow(photos, {"g/1.jpg": ""})
    assert listing_of(own(photos)) == before
    listed._listed.cache_clear()
    assert "g" in splits_of(listing_of(own(photos)))


def test_class_sizes_by_hand(tmp_path):
    """Of classes that may have the same name in no two splits; by split, then in the order of the listing."""
    counted = (("wren", "novel", 3), ("crow", "base", 1), ("duck", "novel", 2))
    images = [Listed(tmp_path / name / str(i), name, split) for name, split, count in counted for i in range(count)]
    found = class_sizes(Listing("folder", tmp_path, tuple(images)))
    assert found == {"base": {"crow": 1}, "novel": {"wren": 3, "duck": 2}}
    assert list(found) == ["base", "novel"]


def test_a_digest_changes_with_whatever_is_packed_and_with_nothing_else(photos):
    listing = listing_of(own(photos))
    first, *others = listing.images
    changes = [
        {"class_name": "gull"},
        {"split": "base"},
        {"box": Box(0.0, 0.0, 1.0, 1.0)},
        {"mask": first.path},
        {"mask_values": (1,)},
        {"path": listing.images[1].path},
    ]
    digests = [digest_of(listing)]
    digests += [digest_of(replace(listing, images=(replace(first, **change), *others))) for change in changes]
    digests.append(digest_of(replace(listing, images=tuple(others))))
    digests.append(digest_of(replace(listing, images=listing.images[::-1])))
    state = first.path.stat()
    os.utime(first.path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    digests.append(digest_of(listing))
    first.path.write_bytes(b"more")
    os.utime(first.path, ns=(state.st_atime_ns, state.st_mtime_ns))
    digests.append(digest_of(listing))
    assert len(set(digests)) == len(digests)
    first.path.write_bytes(b"")
    os.utime(first.path, ns=(0, state.st_mtime_ns))  # when it was read last is nobody's business
    assert digest_of(replace(listing, notes=("a word",))) == digests[0]
    assert re.fullmatch("[0-9a-f]{16}", digests[0])


def packing(*left_out, notes=()):
    return Packing(
        fingerprint="0123",
        source="folder",
        root="photos",
        size=64,
        how={},
        masks=False,
        images=9,
        splits={"validation": {"a": 2}, "novel": {"b": 4, "c": 3}},
        left_out=left_out,
        notes=notes,
        bytes=1,
        digest="4567",
        version="0",
    )


def test_what_was_packed_and_what_was_left_out_is_told_a_line_each():
    left_out = (
        LeftOut("b/1.jpg", "unreadable", "empty file"),
        LeftOut("a/2.jpg", "duplicate", "the same as a/1.jpg"),
        LeftOut("c/9.jpg", "unreadable", "not a file"),
    )
    assert summary_of(packing(*left_out, notes=("1 hidden file passed over.",))) == [
        "9 images packed at 64 x 64 (classes: validation 1, novel 2)",
        "1 hidden file passed over.",
        "1 left out, duplicate: a/2.jpg: the same as a/1.jpg",
        "2 left out, unreadable: b/1.jpg: empty file; c/9.jpg: not a file",
    ]
    assert len(summary_of(packing())) == 1


def test_of_many_that_were_left_out_the_first_are_named():
    line = summary_of(packing(*(LeftOut(f"a/{i:03d}.jpg", "unreadable", "empty file") for i in range(100))))[1]
    prefix = "100 left out, unreadable: "
    assert line.startswith(f"{prefix}a/000.jpg: empty file; a/001.jpg: empty file; ")
    assert line.endswith(" ...")
    assert len(line) == len(prefix) + 300 + len(" ...")


def test_a_packed_file_on_a_disk_is_handed_over_with_its_manifest(tmp_path, monkeypatch):
    grow(tmp_path, {"photos.arrow": "", "photos.arrow.json": json.dumps(MANIFEST)})
    expected = HandedOver(str(tmp_path), "photos.arrow", MANIFEST)
    assert handed_over(own(tmp_path / "photos.arrow", "packed")) == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert handed_over(own("~/photos.arrow", "packed")) == expected


def test_a_packed_file_in_a_bucket_is_handed_over_with_its_manifest():
    fsspec.filesystem("memory").pipe("/bucket/birds/photos.arrow", b"images")
    fsspec.filesystem("memory").pipe("/bucket/birds/photos.arrow.json", json.dumps(MANIFEST).encode())
    found = handed_over(own("memory://bucket/birds/photos.arrow", "packed"))
    assert found == HandedOver("memory://bucket/birds", "photos.arrow", MANIFEST)


def away(monkeypatch, has):
    """Folders that are asked for are noted, and answer as `has` says."""
    asked = []

    class Away:
        def __init__(self, uri):
            self.uri = uri
            asked.append(uri)

        def has(self, name):
            return has(name)

        def read(self, name):
            return json.dumps(MANIFEST).encode()

    monkeypatch.setattr(listed, "Folder", Away)
    return asked


def test_what_an_address_asks_of_its_bucket_goes_with_the_folder(monkeypatch):
    asked = away(monkeypatch, lambda name: name == "photos.arrow")
    found = handed_over(own("s3://bucket/birds/photos.arrow?region=eu&endpoint_override=a:9/b", "packed"))
    assert asked == ["s3://bucket/birds?region=eu&endpoint_override=a:9/b"]
    assert found == HandedOver(asked[0], "photos.arrow", MANIFEST)


def test_a_bucket_that_does_not_answer_is_one_sentence(monkeypatch):
    def fail(name):
        raise OSError("curl error:\n  could not\tconnect")

    away(monkeypatch, fail)
    said = "dataset.path must be what can be reached but 's3://b/a.arrow' failed: curl error: could not connect"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        handed_over(own("s3://b/a.arrow", "packed"))


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("[1]", r"what fpt data pack has written but '.*photos\.arrow' is not: it must hold fields and values"),
        ("[" * 99999, r"what fpt data pack has written but '.*photos\.arrow' is not: it must hold sections"),
        ('{"fingerprint": "../../../x"}', r"what .* is not: its fingerprint must be 4 to 64 hexadecimal digits"),
        ('{"fingerprint": "0123", "splits": {"novel": 3}}', r"what .* is not: its splits must be counts of images"),
        ('{"fingerprint": "0123"}', r"a file that fpt data pack has written, with its \.json, but .* is none$"),
        ("", r"a file that fpt data pack has written, with its \.json, but .* is none$"),
        ("{", r"what fpt data pack has written but '.*photos\.arrow' is not: Expecting property name"),
    ],
)
def test_a_manifest_of_something_else_is_refused(tmp_path, manifest, said):
    grow(tmp_path, {"photos.arrow": "", "photos.arrow.json": manifest})
    with pytest.raises(ValueError, match=rf"^dataset\.path must be {said}"):
        handed_over(own(tmp_path / "photos.arrow", "packed"))


def test_a_manifest_without_its_images_is_refused(tmp_path):
    grow(tmp_path, {"photos.arrow.json": json.dumps(MANIFEST)})
    with pytest.raises(ValueError, match=r"with its \.json, but '.*photos\.arrow' is none$"):
        handed_over(own(tmp_path / "photos.arrow", "packed"))


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"path": "nowhere"}, r"dataset\.path must be a folder or a table that is there but nowhere is not"),
        ({"source": "cub"}, r"dataset\.path of cub must"),
        ({"shares": {"novel": 0.5}}, r"dataset\.shares: shares must sum to 1"),
        ({"source": "packed"}, r"dataset\.path must be a file that fpt data pack has written"),
        (
            {"path": "s3://bucket/photos"},
            r"dataset\.path must be a folder or a table on a disk but s3:/bucket/photos is an address: mount or ",
        ),
        (
            {"source": "packed", "path": "memory://bucket/none.arrow"},
            r"dataset\.path must be a file that fpt data pack has written, with its \.json, but 'memory://.*' is none",
        ),
        (
            {"source": "packed", "path": "nosuch://bucket/a.arrow"},
            r"dataset\.path must be what fpt data pack has written but 'nosuch://bucket/a\.arrow' is not: .*nosuch",
        ),
    ],
)
def test_images_that_are_not_there_are_one_sentence_here_and_before_a_run(photos, dataset, said):
    named = Dataset.model_validate({"source": "folder", "path": str(photos), **dataset})
    with pytest.raises(ValueError, match=f"^{said}"):
        handed_over(named) if named.source == "packed" else listing_of(named)
    with pytest.raises(ValueError, match=f"^{said}"):
        check_run(Run.model_validate({"dataset": named, "prompts": {"alpha": 0}}))
