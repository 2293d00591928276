import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpt.pictures.resizing import Crop, Squash
from pipeline.data.packing.copies import LeftOut
from pipeline.data.packing.decoding import decode
from pipeline.data.packing.packing import pack_listing
from pipeline.data.pictures import Division
from pipeline.data.sources.listing import Box, Listed, Listing
from pipeline.data.store import ROWS_A_BATCH, ImageStore, Sample, pack
from tests.pipeline.processes import alive, command_of, descendants

SIZE = 8
PLACES = [("novel", "heron"), ("novel", "teal"), ("base", "crane")]


def drawn(folder: Path, count: int, masks: bool = False, places=PLACES) -> Listing:
    """`count` different small images, class by class."""
    random, images = np.random.default_rng(0), []
    for i in range(count):
        split, name = places[i * len(places) // count]
        path = folder / name / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).save(path, compress_level=1)
        images.append(Listed(path, name, split, box=Box(2.0, 3.0, 8.0 + i % 3, 9.0) if masks else None))
    return Listing("folder", folder, tuple(images), ("2 hidden files passed over.",))


def copy(listing: Listing, row: int, to: int) -> None:
    listing.images[to].path.write_bytes(listing.images[row].path.read_bytes())


def bytes_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("how", [Squash(), Crop()])
def test_the_store_holds_what_was_decoded(tmp_path, masks, how):
    listing = drawn(tmp_path / "images", 20, masks)
    seen: list[tuple[int, int]] = []
    packing = pack_listing(listing, tmp_path / "a.arrow", SIZE, how, progress=lambda *said: seen.append(said))
    store = ImageStore(tmp_path / "a.arrow")
    rows = np.arange(20)
    assert (store.count, store.side, store.has_masks) == (20, (SIZE, SIZE), masks)
    decoded = [decode(image, SIZE, how) for image in listing.images]
    pairs = zip(listing.images, decoded, strict=True)
    samples = [Sample(str(image.split), image.class_name, one.image, one.mask) for image, one in pairs]
    by_hand = ImageStore(pack(samples, tmp_path / "b"))
    assert by_hand.fingerprint == store.fingerprint
    assert by_hand.ids(rows) is None
    np.testing.assert_array_equal(store.images(rows), [one.image for one in decoded])
    if masks:
        np.testing.assert_array_equal(store.masks(rows), [one.mask for one in decoded])
    assert store.ids(rows) == [f"{image.class_name}/{image.path.name}" for image in listing.images]
    for split, names in (("novel", ["heron", "teal"]), ("base", ["crane"])):
        assert list(store.classes(split)) == names
    assert packing.masks == masks
    assert packing.splits == {"novel": {"heron": 7, "teal": 7}, "base": {"crane": 6}}
    assert (packing.images, packing.left_out, packing.fingerprint) == (20, (), store.fingerprint)
    assert seen == [(0, 20), (8, 20), (16, 20), (20, 20)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.arrow", "a.arrow.json", "b", "images"]


def test_manifest(tmp_path):
    listing = drawn(tmp_path / "images", 6)
    (tmp_path / "images" / "heron" / "00001.png").write_bytes(b"")
    packing = pack_listing(listing, tmp_path / "a.arrow", SIZE, Squash())
    told = json.loads((tmp_path / "a.arrow.json").read_text())
    assert told == {
        "fingerprint": packing.fingerprint,
        "source": "folder",
        "root": str(tmp_path / "images"),
        "size": SIZE,
        "how": {"geometry": "squash", "enlarged": 1.15, "interpolation": "bilinear"},
        "masks": False,
        "images": 5,
        "splits": {"novel": {"heron": 1, "teal": 2}, "base": {"crane": 2}},
        "left_out": [{"image": "heron/00001.png", "kind": "unreadable", "why": "empty file"}],
        "notes": ["2 hidden files passed over."],
        "bytes": (tmp_path / "a.arrow").stat().st_size,
        "digest": packing.digest,
        "version": packing.version,
    }


def test_what_was_packed_is_left_as_it_is_until_something_else_is_asked_for(tmp_path):
    listing, path = drawn(tmp_path / "images", 6), tmp_path / "a.arrow"
    first = pack_listing(listing, path, SIZE)
    before = path.stat()
    assert pack_listing(listing, path, SIZE) == first
    assert path.stat().st_ino == before.st_ino
    manifest = tmp_path / "a.arrow.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "dataset": "a word of somebody's"}))
    assert pack_listing(listing, path, SIZE) == first
    path.write_bytes(path.read_bytes()[:-1])
    assert pack_listing(listing, path, SIZE) == first
    assert path.stat().st_size == before.st_size
    assert pack_listing(listing, path, SIZE, Squash()).fingerprint != first.fingerprint
    Image.new("RGB", (9, 9)).save(listing.images[2].path)
    assert pack_listing(listing, path, SIZE).fingerprint != first.fingerprint
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.arrow", "a.arrow.json", "images"]


def test_broken_images_and_copies_are_left_out_and_the_rest_is_whole(tmp_path):
    """Over three parts, the second of which is left out altogether."""
    count, second = 2 * ROWS_A_BATCH + 30, range(ROWS_A_BATCH, 2 * ROWS_A_BATCH)
    listing = drawn(tmp_path / "images", count, places=[("novel", "heron")])
    half = listing.images[2050].path.read_bytes()[:60]
    broken = {3: b"", 2049: b"not an image", 2050: half, **dict.fromkeys(second, b"")}
    for row, data in broken.items():
        listing.images[row].path.write_bytes(data)
    copy(listing, 5, 7)
    copy(listing, 5, 2060)
    packing = pack_listing(listing, tmp_path / "a.arrow", SIZE, processes=2)
    gone = {*broken, 7, 2060}
    kept = [row for row in range(count) if row not in gone]
    store = ImageStore(tmp_path / "a.arrow")
    np.testing.assert_array_equal(
        store.images(np.arange(store.count)), [decode(listing.images[row], SIZE).image for row in kept]
    )
    assert store.ids(np.arange(store.count)) == [f"heron/{row:05d}.png" for row in kept]
    assert [one.image for one in packing.left_out] == [f"heron/{row:05d}.png" for row in sorted(gone)]
    copies = [one for one in packing.left_out if one.kind == "duplicate"]
    assert copies == [LeftOut(f"heron/{row:05d}.png", "duplicate", "the same as heron/00005.png") for row in (7, 2060)]
    assert packing.splits == {"novel": {"heron": len(kept)}}


def test_an_image_in_two_classes_or_splits_is_a_leak(tmp_path):
    listing = drawn(tmp_path / "images", 30)
    copy(listing, 1, 12)
    copy(listing, 2, 25)
    copy(listing, 2, 3)
    said = (
        "an image must be in one class and one split but 2 are in two or more: heron/00001.png of class heron (novel) "
        "is teal/00012.png of class teal (novel); heron/00002.png of class heron (novel) is crane/00025.png of class "
        "crane (base); remove the wrong copies"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        pack_listing(listing, tmp_path / "a.arrow", SIZE)
    packing = pack_listing(listing, tmp_path / "a.arrow", SIZE, drop_leaks=True)
    assert [(one.image[-9:-4], one.kind) for one in packing.left_out] == [
        (f"{row:05d}", "leak") for row in (1, 2, 3, 12, 25)
    ]
    assert packing.left_out[0].why == "the same as teal/00012.png of class teal (novel)"
    assert packing.splits == {"novel": {"heron": 7, "teal": 9}, "base": {"crane": 9}}
    for row in range(5):
        copy(listing, row, 10 + row)
    with pytest.raises(ValueError, match=r"but 4 are in two or more: ([^;]* is [^;]*; ){3}\.\.\.; remove"):
        pack_listing(listing, tmp_path / "b.arrow", SIZE)


def test_masks_are_kept_if_every_image_has_one(tmp_path):
    listing = drawn(tmp_path / "images", 6, masks=True)
    missing = replace(listing, images=(*listing.images[:5], replace(listing.images[5], box=None)))
    assert not pack_listing(missing, tmp_path / "a.arrow", SIZE).masks
    assert not ImageStore(tmp_path / "a.arrow").has_masks
    assert pack_listing(listing, tmp_path / "a.arrow", SIZE).masks


def test_what_cannot_be_packed_says_so(tmp_path):
    listing = drawn(tmp_path / "images", 4)
    aimless = replace(listing, images=(replace(listing.images[0], split=None), *listing.images[1:]))
    with pytest.raises(ValueError, match=r"^split must be base, validation or novel but 1 images of .* have none$"):
        pack_listing(aimless, tmp_path / "a.arrow", SIZE)
    for image in listing.images:
        image.path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be left to pack but all 4 are left out; .*00000\.png: empty file$"):
        pack_listing(listing, tmp_path / "a.arrow", SIZE)


INTERRUPTED = """
import os, signal, sys
from pathlib import Path

from pipeline.data.packing.packing import pack_listing
from tests.pipeline.data.packing.test_packing import SIZE, listed

def progress(done, total):
    if done >= int(sys.argv[3]):
        print("now", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)

if __name__ == "__main__":
    pack_listing(listed(Path(sys.argv[1])), Path(sys.argv[2]), SIZE, processes=2, progress=progress)
"""
MANY = 2 * ROWS_A_BATCH + 100


def listed(folder: Path) -> Listing:
    """What `drawn` has drawn."""
    paths = sorted(folder.glob("*/*.png"), key=lambda path: path.name)
    split = {name: split for split, name in PLACES}
    images = [Listed(path, path.parent.name, split[path.parent.name], Box(1.0, 2.0, 7.0, 7.0)) for path in paths]
    return Listing("folder", folder, tuple(images))


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Images for three parts, one broken and two alike."""
    folder = tmp_path_factory.mktemp("many") / "images"
    listing = drawn(folder, MANY)
    listing.images[1500].path.write_bytes(b"")
    copy(listing, 10, 20)
    return folder


@pytest.fixture(scope="module")
def undisturbed(many) -> Path:
    path = many.parent / "undisturbed.arrow"
    pack_listing(listed(many), path, SIZE, processes=1)
    return path


def test_the_file_does_not_depend_on_the_number_of_processes(many, undisturbed, tmp_path):
    packing = pack_listing(listed(many), tmp_path / "two.arrow", SIZE, processes=2)
    assert bytes_of(tmp_path / "two.arrow") == bytes_of(undisturbed)
    told = json.loads(undisturbed.with_name("undisturbed.arrow.json").read_text())
    assert packing.fingerprint == told["fingerprint"]
    assert len(packing.left_out) == 2


@pytest.mark.parametrize("moment", [500, ROWS_A_BATCH + 300, MANY])
def test_what_was_killed_goes_on_where_it_was(many, undisturbed, tmp_path, moment):
    """Killed the hard way after so many images: parts that were whole are not decoded again; no process stays."""
    path = tmp_path / "a.arrow"
    command = [sys.executable, "-c", INTERRUPTED, str(many), str(path), str(moment)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        workers = descendants(process.pid)
        assert len(workers) >= 2
        process.kill()
    until = time.monotonic() + 30
    while any(alive(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(worker) for worker in workers)
    whole = sorted(part.name[:5] for part in (tmp_path / "a.arrow.parts").glob("*.arrow"))
    assert whole == ["00000", "00001"][: moment // ROWS_A_BATCH]
    seen: list[int] = []
    pack_listing(listed(many), path, SIZE, processes=2, progress=lambda done, total: seen.append(done))
    assert seen[0] == len(whole) * ROWS_A_BATCH
    assert bytes_of(path) == bytes_of(undisturbed)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.arrow", "a.arrow.json"]


def test_another_division_is_packed_anew(tmp_path):
    listing, path = drawn(tmp_path / "images", 6, places=[(None, "heron"), (None, "teal")]), tmp_path / "a.arrow"
    halves = [replace(listing, division=Division((("base", 0.5), ("novel", 0.5)), seed)) for seed in range(2)]
    first = pack_listing(halves[0], path, SIZE)
    assert pack_listing(halves[0], path, SIZE) == first
    assert pack_listing(halves[1], path, SIZE).digest != first.digest
    with pytest.raises(ValueError, match=r"must be base, validation or novel but 6 images of .* have none"):
        pack_listing(listing, path, SIZE)


def test_parts_of_other_files_are_not_taken_up(many, tmp_path):
    path, listing = tmp_path / "a.arrow", listed(many)

    def stop(done, total):
        if done > ROWS_A_BATCH + 50:
            raise KeyboardInterrupt

    def say(done, total):
        raise InterruptedError(done)

    def begins_at(listing, size):
        with pytest.raises(InterruptedError) as told:
            pack_listing(listing, path, size, progress=say)
        return told.value.args[0]

    with pytest.raises(KeyboardInterrupt):
        pack_listing(listing, path, SIZE, progress=stop)
    assert begins_at(listing, SIZE) == ROWS_A_BATCH
    assert begins_at(listing, 2 * SIZE) == 0
    assert begins_at(replace(listing, images=listing.images[1:]), SIZE) == 0
    changed = listing.images[7].path
    state = changed.stat()
    os.utime(changed, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert begins_at(listing, SIZE) == 0
    os.utime(changed, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert begins_at(listing, SIZE) == ROWS_A_BATCH


def test_two_commands_at_once_make_one_file(many, undisturbed, tmp_path):
    path = tmp_path / "a.arrow"
    command = [sys.executable, "-c", INTERRUPTED, str(many), str(path), "1000000"]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert bytes_of(path) == bytes_of(undisturbed)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.arrow", "a.arrow.json"]


def test_a_worker_that_dies_is_told(many, tmp_path):
    def kill(done, total):
        for worker in descendants(os.getpid()):
            if "spawn_main" in command_of(worker):
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)

    with pytest.raises(RuntimeError, match=r"^one of 2 processes that make images has died, perhaps for want of mem"):
        pack_listing(listed(many), tmp_path / "a.arrow", SIZE, processes=2, progress=kill)
