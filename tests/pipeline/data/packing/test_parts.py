"""Parts of a packed file, of four images each."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from fpt.pictures.resizing import Crop, Squash
from pipeline.data.packing import parts
from pipeline.data.packing.decoding import decode
from pipeline.data.packing.parts import (
    bytes_of,
    clear_unfinished,
    decode_rows,
    join,
    outcomes_of,
    parts_of,
    write_part,
)
from pipeline.data.sources.listing import Box, Listed, Listing
from pipeline.data.store import ImageStore, schema_of

SIZE, ROWS, IMAGES = 6, 4, 10
HOW = Crop(1.0)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(parts, "ROWS_A_BATCH", ROWS)


@pytest.fixture
def listing(tmp_path) -> Listing:
    """Ten small images with boxes, for three parts; the fourth and the sixth are broken."""
    random, images = np.random.default_rng(0), []
    for i in range(IMAGES):
        path = tmp_path / "birds" / ("heron" if i < 5 else "teal") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 8, 3), np.uint8)).save(path)
        images.append(Listed(path, path.parent.name, "novel", Box(1.0, 2.0, 5.0 + i % 3, 8.0)))
    for broken in (3, 5):
        images[broken].path.write_bytes(b"")
    return Listing("folder", tmp_path / "birds", tuple(images))


def room():
    """For a part's pixels and masks, full of what was there before."""
    return np.full((ROWS, SIZE * SIZE * 3), 7, np.uint8), np.full((ROWS, -(-SIZE * SIZE // 8)), 7, np.uint8)


def written(listing, folder, masks=True):
    """All parts, decoded and written."""
    schema = schema_of(SIZE, SIZE, masks, files=True)
    made = parts_of(listing, folder, SIZE, HOW)
    for part in made:
        pixels, bits = room()
        write_part(part, decode_rows(part.images, SIZE, HOW, pixels, bits), schema, pixels, bits)
    return made, schema


def names(listing, size=SIZE, how=HOW):
    return [part.path.name for part in parts_of(listing, Path("parts"), size, how)]


def test_a_listing_is_cut_in_order(listing):
    made = parts_of(listing, Path("parts"), SIZE, HOW)
    assert [len(part.images) for part in made] == [4, 4, 2]
    assert sum((part.images for part in made), ()) == listing.images
    assert made[1].ids == ("heron/4.png", "teal/5.png", "teal/6.png", "teal/7.png")
    for number, part in enumerate(made):
        assert part.path.parent == Path("parts")
        assert part.path.match(f"0000{number}-{'[0-9a-f]' * 16}.arrow")
        assert not part.path.exists()


def test_the_same_images_have_the_same_names_and_another_size_or_way_has_others(listing):
    assert names(listing) == names(listing)
    others = [names(listing, size=7), names(listing, how=Crop(0.9)), names(listing, how=Squash(1.0, "bicubic"))]
    assert len({name for one in (names(listing), *others) for name in one}) == 4 * 3


@pytest.mark.parametrize(
    "change",
    [
        {"class_name": "gull"},
        {"split": "base"},
        {"box": Box(1.0, 2.0, 5.0, 7.0)},
        {"box": None},
        {"mask_values": (1,)},
    ],
    ids=repr,
)
def test_what_is_known_of_an_image_names_its_own_part_alone(listing, change):
    changed = (*listing.images[:4], replace(listing.images[4], **change), *listing.images[5:])
    before, after = names(listing), names(replace(listing, images=changed))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


def test_a_file_that_changes_or_goes_names_its_part(listing):
    path, seen = listing.images[8].path, [names(listing)]
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    seen.append(names(listing))
    path.write_bytes(path.read_bytes() + b"more")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    seen.append(names(listing))
    path.unlink()
    seen.append(names(listing))
    first, second, third = zip(*seen, strict=True)
    assert (len(set(first)), len(set(second)), len(set(third))) == (1, 1, 4)


def test_a_mask_that_changes_names_its_part(listing, tmp_path):
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"one")
    masked = replace(listing, images=(replace(listing.images[0], mask=mask), *listing.images[1:]))
    before = names(masked)
    mask.write_bytes(b"another")
    after = names(masked)
    assert before[0] != after[0]
    assert before[1:] == after[1:]


@pytest.mark.parametrize(("module", "name"), [(PIL, "__version__"), (parts, "FORMAT")])
def test_parts_of_another_decoder_or_format_are_others(listing, monkeypatch, module, name):
    before = names(listing)
    monkeypatch.setattr(module, name, 99)
    assert not set(before) & set(names(listing))


@pytest.mark.parametrize(("height", "width", "sizes"), [(8, 8, (192, 8)), (5, 5, (75, 4)), (3, 7, (63, 3))])
def test_bytes_of_an_image_and_of_a_mask_by_hand(height, width, sizes):
    assert bytes_of(schema_of(height, width, True, files=True)) == sizes


def test_rows_are_decoded_in_order_and_the_broken_say_why(listing):
    pixels, bits = room()
    outcomes = decode_rows(listing.images[2:5], SIZE, HOW, pixels, bits)
    assert outcomes[1] == "empty file"
    for row, image in ((0, listing.images[2]), (2, listing.images[4])):
        decoded = decode(image, SIZE, HOW)
        assert outcomes[row] == hashlib.sha256(decoded.image.tobytes()).digest()[:16]
        np.testing.assert_array_equal(pixels[row].reshape(SIZE, SIZE, 3), decoded.image)
        unpacked = np.unpackbits(bits[row])[: SIZE * SIZE].reshape(SIZE, SIZE)
        np.testing.assert_array_equal(unpacked.astype(bool), decoded.mask)
    assert (pixels[[1, 3]] == 7).all()
    assert (bits[[1, 3]] == 7).all()


def test_an_image_without_a_mask_leaves_the_bits_as_they_are(listing):
    pixels, bits = room()
    decode_rows([replace(listing.images[0], box=None)], SIZE, HOW, pixels, bits)
    assert (bits == 7).all()
    assert not (pixels[0] == 7).all()


def test_what_parts_contain_and_why_not_is_read_over_all_of_them(listing, tmp_path):
    made, _ = written(listing, tmp_path)
    contents, reasons = outcomes_of(made, IMAGES)
    assert reasons == {3: "empty file", 5: "empty file"}
    for row, image in enumerate(listing.images):
        if row not in reasons:
            assert contents[row].tobytes() == hashlib.sha256(decode(image, SIZE, HOW).image.tobytes()).digest()[:16]
    assert len(np.unique(contents, axis=0)) >= IMAGES - 2


@pytest.mark.parametrize("masks", [True, False])
def test_the_rows_that_are_kept_are_joined_to_a_store(listing, tmp_path, masks):
    """Some of the first part, all of the second but the broken one, none of the third."""
    made, schema = written(listing, tmp_path, masks)
    rows = [0, 2, 4, 6, 7]
    whole = join(made, np.isin(np.arange(IMAGES), rows), schema, tmp_path)
    assert whole == tmp_path / "whole"
    store, every = ImageStore(whole), np.arange(len(rows))
    decoded = [decode(listing.images[row], SIZE, HOW) for row in rows]
    assert (store.count, store.side, store.has_masks) == (5, (SIZE, SIZE), masks)
    np.testing.assert_array_equal(store.images(every), [one.image for one in decoded])
    if masks:
        np.testing.assert_array_equal(store.masks(every), [one.mask for one in decoded])
    assert store.ids(every) == ["heron/0.png", "heron/2.png", "heron/4.png", "teal/6.png", "teal/7.png"]
    assert {name: rows.tolist() for name, rows in store.classes("novel").items()} == {
        "heron": [0, 1, 2],
        "teal": [3, 4],
    }


def test_rows_are_joined_with_the_splits_that_are_given_for_all_images(listing, tmp_path):
    made, schema = written(listing, tmp_path)
    splits = [None if row in (3, 5) else "base" if row % 2 else "novel" for row in range(IMAGES)]
    store = ImageStore(join(made, np.array([split is not None for split in splits]), schema, tmp_path, splits))
    found = {split: sorted(np.concatenate(list(store.classes(split).values())).tolist()) for split in store.splits}
    kept = [split for split in splits if split is not None]
    assert found == {split: [i for i, one in enumerate(kept) if one == split] for split in ("base", "novel")}


def test_a_part_is_written_again_to_the_same_bytes_and_leaves_nothing_beside_it(listing, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    made, _ = written(listing, folder)
    before = [part.path.read_bytes() for part in made]
    written(listing, folder)
    assert [part.path.read_bytes() for part in made] == before
    assert sorted(folder.iterdir()) == [part.path for part in made]


def test_a_part_that_cannot_be_written_is_not_there_at_all(listing, tmp_path, monkeypatch):
    folder = tmp_path / "parts"
    folder.mkdir()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        written(listing, folder)
    assert list(folder.iterdir()) == []


def test_what_killed_processes_left_is_cleared_and_nothing_else(tmp_path):
    for name in ("00000-a.arrow", "00001-b.0123abcd.part", "00002-c.part", "lock", "whole"):
        (tmp_path / name).touch()
    clear_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000-a.arrow", "lock", "whole"]
