"""Files with many pictures, found by what was typed."""

from pathlib import Path

import fsspec
import pytest

from pipeline.data.sources.archives.containers import (
    PARQUET,
    TAR,
    containers,
    holds_containers,
    is_address,
    split_of_name,
    splits_of,
)
from tests.pipeline.data.sources.trees import grow


def names(where: object, suffixes=TAR):
    return [one.name for one in containers("webdataset", str(where), suffixes)]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    files = {f"photos-{i:03d}.tar": "x" for i in (2, 0, 1, 10)}
    return grow(tmp_path, {**files, "more/a.TGZ": "x", ".old/b.tar": "x", "a.txt": "", "__MACOSX/c.tar": ""})


def test_a_folder_stands_for_what_lies_in_and_below_it(shards):
    assert names(shards) == ["more/a.TGZ", *(f"photos-{i:03d}.tar" for i in (0, 1, 2, 10))]


def test_braces_and_stars_as_webdataset_and_shells_have_them(shards):
    assert names(shards / "photos-{000..002}.tar") == ["photos-000.tar", "photos-001.tar", "photos-002.tar"]
    assert names(shards / "photos-{010,001}.tar") == ["photos-001.tar", "photos-010.tar"]
    assert names(shards / "photos-0{0..1}{0..0}.tar") == ["photos-000.tar", "photos-010.tar"]
    assert names(shards / "photos-*.tar") == [f"photos-{i:03d}.tar" for i in (0, 1, 2, 10)]
    assert names(shards / "photos-002.tar") == ["photos-002.tar"]


def test_a_name_with_braces_that_is_there_is_itself(tmp_path):
    grow(tmp_path, {"a{0..1}.tar": "x", "a0.tar": "", "b{x}.tar": ""})
    assert names(tmp_path / "a{0..1}.tar") == ["a{0..1}.tar"]
    assert names(tmp_path / "b{x}.tar") == ["b{x}.tar"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("photos-{000..012}.tar", r"must name files that are there but lacks 9 \(.*photos-003.tar, .*004.tar, .*\)$"),
        ("none-*.tar", r"lacks 1 \(.*none-\*\.tar\)$"),
        ("gone", r"lacks 1 \(.*gone\)$"),
        ("empty", r"must hold files that end in \.tar, .* but .*empty holds none$"),
        ("{0..9999}{0..9999}.tar", "must name at most 1,000,000 files but .* names 100,000,000$"),
        ("{0..99999999999}.tar", "must name at most 1,000,000 files but .* names more$"),
    ],
)
def test_what_is_not_there_is_named(shards, where, said):
    (shards / "empty").mkdir()
    with pytest.raises(ValueError, match=f"^root.*{said}"):
        names(shards / where)


def test_addresses_that_fsspec_knows():
    memory = fsspec.filesystem("memory")
    for name in ("train-0.parquet", "deep/test-0.parquet", "cache-1.arrow"):
        memory.pipe(f"/box/{name}", b"12345")
    found = containers("huggingface", "memory://box", PARQUET)
    assert [(one.name, one.size) for one in found] == [("deep/test-0.parquet", 5), ("train-0.parquet", 5)]
    assert str(found[1]) == "memory://box/train-0.parquet"
    with found[1].file() as file:
        assert bytes(file.read()) == b"12345"
    assert names("memory://box/{train,test}-0.parquet".replace("test", "deep/test"), PARQUET)
    with pytest.raises(ValueError, match=r"lacks 1 \(memory://box/none\.parquet\)"):
        names("memory://box/none.parquet")


def test_an_address_that_nobody_knows_and_one_with_a_secret():
    with pytest.raises(
        ValueError, match=r"^root of webdataset must be what can be reached but nix://a/b\.tar failed: "
    ):
        names("nix://a/b.tar")
    with pytest.raises(ValueError, match="must be what can be reached") as caught:
        names("nix://user:secret@host/b.tar")
    assert "secret" not in str(caught.value)
    assert is_address("s3://a")
    assert not is_address("a/b:c")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00005.parquet", "base"),
        ("imagenet1k-validation-03.tar", "validation"),
        ("default/test/0000.parquet", "novel"),
        ("train/test-0.parquet", "novel"),
        ("photos_val2017.tar", "validation"),
        ("training.tar", "base"),
        ("trains-0.tar", None),
        ("0000.parquet", None),
        ("train-test-0.tar", None),
    ],
)
def test_splits_are_words_of_names(name, split):
    assert split_of_name(name) == split


def test_splits_of_some_files_alone_are_refused_and_one_split_is_none(shards):
    grow(shards, {"b/train-0.parquet": "", "b/other.parquet": "", "c/train-0.parquet": "", "c/train-1.parquet": ""})
    with pytest.raises(ValueError, match=r"or none, but train-0\.parquet is and other\.parquet is not: rename"):
        splits_of(containers("huggingface", str(shards / "b"), PARQUET), "huggingface")
    splits, notes = splits_of(containers("huggingface", str(shards / "c"), PARQUET), "huggingface")
    assert splits == [None, None]
    assert notes == ["All files are of one split (base), which divides nothing: taken as none."]


def test_folders_that_hold_such_files(shards):
    assert holds_containers(shards, TAR)
    assert not holds_containers(shards, PARQUET)
    assert not holds_containers(shards / ".old", PARQUET)
