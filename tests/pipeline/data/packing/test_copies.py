from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.packing import packing
from pipeline.data.packing.copies import refuse_leaking_files, same_content
from pipeline.data.packing.packing import pack_listing
from pipeline.data.sources.listing import Listed, Listing


def test_same_content_is_that_of_the_obvious_way():
    random = np.random.default_rng(3)
    contents = random.integers(0, 256, (40, 16), np.uint8)[random.integers(0, 40, 500)]
    contents[17::50, 15] ^= 1  # the last byte alone
    unreadable = set(random.integers(0, 500, 60).tolist())
    groups: dict[bytes, list[int]] = {}
    for row in range(500):
        if row not in unreadable:
            groups.setdefault(contents[row].tobytes(), []).append(row)
    found = [group.tolist() for group in same_content(contents, unreadable)]
    assert found == [group for group in groups.values() if len(group) > 1]


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Listing]:
    """Different pictures of the same size in bytes, three of each class; `copies` are made afterwards."""

    def made(**copies: str) -> Listing:
        random, images = np.random.default_rng(0), []
        for name in ("heron", "teal"):
            (tmp_path / name).mkdir()
            for i in range(3):
                path = tmp_path / name / f"{i}.bmp"
                Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
                images.append(Listed(path, name, "novel"))
        for to, of in copies.items():
            (tmp_path / to.replace("_", "/")).with_suffix(".bmp").write_bytes((tmp_path / of).read_bytes())
        return Listing("folder", tmp_path, tuple(images))

    return made


def test_a_file_in_two_classes_is_refused_before_anything_is_decoded(pictures, tmp_path, monkeypatch):
    listing = pictures(teal_1="heron/0.bmp")
    monkeypatch.setattr(packing, "_decode", lambda *_: pytest.fail("it was decoded"))
    said = (
        "^an image must be in one class and one split but 1 are in two or more: heron/0.bmp of class heron .novel. is "
        "teal/1.bmp of class teal .novel.; remove the wrong copies, or --set dataset.leaks=leave_out leaves out all "
        "of them$"
    )
    with pytest.raises(ValueError, match=said):
        pack_listing(listing, tmp_path / "a.arrow", 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heron", "teal"]


def test_a_picture_in_two_classes_that_two_files_hold_leaves_no_part_either(pictures, tmp_path):
    listing = pictures()
    with Image.open(tmp_path / "heron/0.bmp") as image:
        image.save(tmp_path / "teal/1.bmp", "PNG")
    refuse_leaking_files(listing)  # it is no copy of the file
    with pytest.raises(ValueError, match="an image must be in one class and one split but 1 are"):
        pack_listing(listing, tmp_path / "a.arrow", 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heron", "teal"]
    assert pack_listing(listing, tmp_path / "a.arrow", 32, drop_leaks=True).images == 4


def test_files_that_differ_or_are_of_one_class_or_no_images_are_no_leaks(pictures, tmp_path):
    listing = pictures(heron_2="heron/0.bmp")
    changed = bytearray((tmp_path / "heron/0.bmp").read_bytes())
    changed[-1] ^= 1  # where no look falls
    (tmp_path / "teal/0.bmp").write_bytes(changed)
    for name in ("heron/1.bmp", "teal/1.bmp"):
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / "teal/2.bmp").unlink()
    refuse_leaking_files(listing)
