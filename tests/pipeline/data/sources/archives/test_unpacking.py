"""Pictures are unpacked once, whole or not at all."""

import os
import shutil
from pathlib import Path

import pytest

from pipeline.data.sources.archives import unpacking
from pipeline.data.sources.archives.containers import containers
from pipeline.data.sources.archives.unpacking import Passed, Sample, unpacked
from tests.pipeline.data.sources.trees import grow


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.setenv("FPT_CACHE", str(tmp_path / "cache"))
    return containers("webdataset", str(grow(tmp_path / "tars", {"a.tar": "1", "b.tar": "2"})), (".tar",))


class Reads:
    """Two pictures and one that is passed over in each container; counts how often one is read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, one):
        self.read.append(one.name)
        yield Sample("0.jpg", "h\udce9ron", b"\xff\xd8\xff" + one.name.encode())
        yield Passed("1.jpg", "Odd ones passed over")
        yield Sample("2.x", "crow", b"22", "novel")


def test_what_is_unpacked_has_name_class_split_and_content(found):
    images, notes = unpacked(found, ["base", None], Reads(), [])
    assert [(image.called, image.class_name, image.split) for image in images] == [
        ("a.tar/0.jpg", "h\udce9ron", "base"),
        ("a.tar/2.x", "crow", "novel"),
        ("b.tar/0.jpg", "h\udce9ron", None),
        ("b.tar/2.x", "crow", "novel"),
    ]
    assert [image.path.read_bytes() for image in images] == [b"\xff\xd8\xffa.tar", b"22", b"\xff\xd8\xffb.tar", b"22"]
    assert [image.path.suffix for image in images] == [".jpg", "", ".jpg", ""]
    assert notes == ["Odd ones passed over: 2 (a.tar/1.jpg, b.tar/1.jpg)."]


def test_it_is_unpacked_once_and_again_only_where_it_changed(found, tmp_path):
    reads = Reads()
    first, _ = unpacked(found, [None, None], reads, ["label"])
    again, notes = unpacked(found, ["base", "novel"], reads, ["label"])
    assert reads.read == ["a.tar", "b.tar"]
    assert [image.path for image in first] == [image.path for image in again]
    assert notes
    unpacked(found, [None, None], reads, ["another"])
    assert reads.read == ["a.tar", "b.tar"] * 2
    (tmp_path / "tars" / "b.tar").write_text("other")
    changed = containers("webdataset", str(tmp_path / "tars"), (".tar",))
    unpacked(changed, [None, None], reads, ["label"])
    assert reads.read[4:] == ["b.tar"]


def test_unpacked_again_it_is_the_same_file(found):
    (first, *_), _ = unpacked(found, [None, None], Reads(), [])
    before = first.path.stat()
    shutil.rmtree(first.path.parents[1])
    (again, *_), _ = unpacked(found, [None, None], Reads(), [])
    after = again.path.stat()
    assert (again.path, before.st_size, before.st_mtime_ns) == (first.path, after.st_size, after.st_mtime_ns)


def test_what_fails_half_way_leaves_nothing_and_the_next_try_goes_on(found):
    whole = Reads()

    def fails(one):
        yield from whole(one)
        if one.name == "b.tar":
            raise ValueError("b.tar must be whole")

    with pytest.raises(ValueError, match=r"b\.tar must be whole"):
        unpacked(found, [None, None], fails, [])
    cache = Path(os.environ["FPT_CACHE"]) / "unpacked"
    (kept,) = [path for path in cache.iterdir() if path.is_dir()]
    assert (kept / "index.arrow").exists()
    images, _ = unpacked(found, [None, None], whole, [])
    assert whole.read == ["a.tar", "b.tar", "b.tar"]
    assert len(images) == 4


def test_a_picture_that_is_a_file_stays_where_it_is(found, tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"1")
    images, _ = unpacked(found[:1], [None], lambda one: iter([Sample("0", "a", tmp_path / "1.jpg")]), [])
    assert [image.path for image in images] == [tmp_path / "1.jpg"]


def test_a_disk_without_room_is_told_before_it_is_full(found, monkeypatch):
    monkeypatch.setattr(unpacking, "ROOM", 1 << 60)
    said = r"^the cache must have room for the pictures of .*a\.tar but .* has not \(.* GB are free .*set FPT_CACHE"
    with pytest.raises(ValueError, match=said):
        unpacked(found, [None, None], Reads(), [])
