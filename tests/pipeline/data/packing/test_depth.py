from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.packing.decoding import decode
from pipeline.data.packing.depth import with_depth
from pipeline.data.packing.packing import pack_listing
from pipeline.data.packing.validating import validate
from pipeline.data.sources.listing import Listed, Listing
from pipeline.data.store import ImageStore


def wide(folder: Path, most: int, count: int = 8, suffix: str = "png") -> Listing:
    """Grey pictures of two classes with 16 bits and values up to `most`, and one with 8 bits."""
    random, images = np.random.default_rng(0), []
    for i in range(count):
        path = folder / f"{i}.{suffix}"
        pixels = random.integers(0, most, (40, 40)).astype(np.uint16)
        pixels[0, 0] = most if i == count - 1 else 0
        Image.fromarray(pixels).save(path)
        images.append(Listed(path, "ab"[i % 2], "novel"))
    Image.fromarray(random.integers(0, 256, (40, 40), np.uint8)).save(folder / "eight.png")
    return Listing("folder", folder, (*images, Listed(folder / "eight.png", "a", "novel")))


@pytest.mark.parametrize(("most", "depth"), [(200, 8), (256, 10), (1023, 10), (4095, 12), (4096, 14), (16_383, 14)])
def test_the_depth_is_that_of_the_largest_value_of_all(tmp_path, most, depth):
    found = with_depth(wide(tmp_path, most), 1)
    assert [image.depth for image in found.images] == [depth] * 8 + [16]  # what has 8 bits is as it was
    assert found.notes == (
        f"Pictures of 16 bits that use {depth} of them (the largest value is {most}), scaled so that these fill 8: 8 "
        "(0.png, 1.png, 2.png, ...).",
    )


def test_all_16_bits_in_one_picture_leave_all_as_they_are(tmp_path):
    listing = wide(tmp_path, 16_384)
    assert with_depth(listing, 1) == listing


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_neither_order_nor_processes_matter(tmp_path, suffix):
    listing = wide(tmp_path, 4095, 70, suffix)
    found = with_depth(listing, 2)
    backwards = with_depth(replace(listing, images=listing.images[::-1]), 1)
    assert backwards.images[::-1] == found.images
    assert backwards.notes == found.notes


def test_what_cannot_be_read_tells_nothing(tmp_path):
    listing = wide(tmp_path, 4095)
    (tmp_path / "0.png").write_bytes((tmp_path / "0.png").read_bytes()[:99])
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "2.png").unlink()
    assert [image.depth for image in with_depth(listing, 1).images] == [16] * 3 + [12] * 5 + [16]


def test_different_pictures_of_8_bits_in_16_are_no_leak(tmp_path):
    """Cut to the upper 8 of their 16 bits, all of them are black, and so one picture in two classes."""
    listing = wide(tmp_path, 255)
    assert validate(listing, 1, 2, 1, 1).problems == []
    packing = pack_listing(listing, tmp_path / "a.arrow", 40)
    assert packing.images == 9
    assert packing.notes[0].startswith("Pictures of 16 bits that use 8 of them")
    store = ImageStore(tmp_path / "a.arrow")
    last = decode(replace(listing.images[7], depth=8), 40).image
    assert last.max() > 250
    assert any((image == last).all() for image in store.images(np.arange(9)))
    assert (decode(listing.images[7], 40).image == 0).all()


def test_parts_of_other_depths_are_other_parts(tmp_path):
    """A set that gets brighter pictures is packed anew."""
    listing = wide(tmp_path, 255)
    first = pack_listing(listing, tmp_path / "a.arrow", 40)
    assert pack_listing(listing, tmp_path / "a.arrow", 40) == first
    Image.fromarray(np.full((40, 41), 60_000, np.uint16)).save(tmp_path / "bright.png")
    more = replace(listing, images=(*listing.images, Listed(tmp_path / "bright.png", "a", "novel")))
    with pytest.raises(ValueError, match="an image must be in one class and one split"):
        pack_listing(more, tmp_path / "a.arrow", 40)
