"""Packing over Ray: the same file as without, and what stands in its way."""

import os
import socket
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import pytest
import ray
from PIL import Image

from pipeline.data.packing import cluster, packing, parts
from pipeline.data.packing.cluster import decode_on_cluster
from pipeline.data.packing.packing import manifest_of, pack_listing
from pipeline.data.sources.listing import Listed, Listing

SIZE, ROWS, IMAGES = 8, 4, 18
HERE = socket.gethostname()


@pytest.fixture(scope="module", autouse=True)
def _ray():
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(parts, "ROWS_A_BATCH", ROWS)
    monkeypatch.setattr(packing, "IMAGES_A_TASK", 1)
    monkeypatch.setattr(packing, "TASKS_AHEAD", ROWS)


@pytest.fixture
def listing(tmp_path, monkeypatch) -> Listing:
    """Images for five parts by paths that only lead somewhere here: one broken, two alike."""
    monkeypatch.chdir(tmp_path)
    random, images = np.random.default_rng(0), []
    for i in range(IMAGES):
        path = Path("images") / ("heron" if i < 9 else "teal") / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).save(path)
        images.append(Listed(path, path.parent.name, "novel"))
    images[6].path.write_bytes(b"")
    images[10].path.write_bytes(images[9].path.read_bytes())
    return Listing("folder", Path("images"), tuple(images))


@pytest.fixture
def alone(listing, tmp_path) -> Path:
    """What this machine packs by itself."""
    pack_listing(listing, tmp_path / "alone.arrow", SIZE, processes=1)
    return tmp_path / "alone.arrow"


def test_the_file_is_the_same_to_the_byte(listing, alone, tmp_path):
    seen: list[tuple[int, int]] = []
    path = Path("there.arrow")
    told = pack_listing(listing, path, SIZE, progress=lambda *said: seen.append(said), decoder=decode_on_cluster)
    assert path.read_bytes() == alone.read_bytes()
    assert manifest_of(path).read_bytes() == manifest_of(alone).read_bytes()
    assert [one.kind for one in told.left_out] == ["unreadable", "duplicate"]
    assert (seen[0], seen[-1], len(seen)) == ((0, IMAGES), (IMAGES, IMAGES), 6)
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix == ".parts") == []


def test_what_was_interrupted_goes_on_there_or_here(listing, alone, tmp_path, monkeypatch):
    """Two parts on the cluster, one here, the rest on the cluster."""
    path, interrupted = tmp_path / "both.arrow", tmp_path / "interrupted"

    def hold(part, *others):
        while int(part.path.name[:5]) >= 2 and not interrupted.exists():
            time.sleep(0.05)
        return (part, *others)

    on_another_node(monkeypatch, hold)

    def stop(done, total, after):
        if done >= after:
            raise KeyboardInterrupt

    whole = []
    for after, decoder in ((2 * ROWS, decode_on_cluster), (3 * ROWS + 1, None)):
        with pytest.raises(KeyboardInterrupt):
            pack_listing(listing, path, SIZE, progress=partial(stop, after=after), decoder=decoder)
        whole.append({one: one.stat().st_mtime_ns for one in (tmp_path / "both.arrow.parts").glob("*.arrow")})
    assert [len(parts) for parts in whole] == [2, 3]
    assert whole[0].items() <= whole[1].items()
    interrupted.touch()
    (tmp_path / "both.arrow.parts" / "00004-0.killed.part").write_bytes(b"half a part")
    seen: list[int] = []
    pack_listing(listing, path, SIZE, progress=lambda done, _: seen.append(done), decoder=decode_on_cluster)
    assert seen[0] == 3 * ROWS
    assert path.read_bytes() == alone.read_bytes()


def on_another_node(monkeypatch, change):
    """Tasks are given `change` makes of it."""

    def there(*arguments):
        from pipeline.data.packing.cluster import _decode_part

        return _decode_part(*change(*arguments))

    monkeypatch.setattr(cluster, "_decode_part", there)


def refused(listing, path, match, error=ValueError):
    with pytest.raises(error, match=match):
        pack_listing(listing, path, SIZE, decoder=decode_on_cluster)
    assert not path.exists()
    assert not manifest_of(path).exists()


def test_a_node_without_the_folder_of_parts(listing, tmp_path, monkeypatch):
    def change(part, *others):
        return (replace(part, path=Path("/nowhere/at/all/0.arrow")), *others)

    on_another_node(monkeypatch, change)
    refused(
        listing,
        tmp_path / "a.arrow",
        rf"^DST must lie on a disk that all nodes share but {HERE} has no /nowhere/at/all$",
    )


def test_a_part_that_does_not_come_to_light(listing, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "SEEN_WITHIN", 0.3)
    other = tmp_path / "another disk"
    other.mkdir()

    def change(part, *others):
        return (replace(part, path=other / part.path.name), *others)

    on_another_node(monkeypatch, change)
    refused(
        listing,
        tmp_path / "a.arrow",
        rf"^DST must lie on a disk that all nodes share but what {HERE} wrote to {tmp_path}/a\.arrow\.parts is not",
    )


def test_a_node_without_the_images(listing, tmp_path, monkeypatch):
    def change(part, *others):
        images = tuple(replace(image, path=Path("/elsewhere") / image.path.name) for image in part.images)
        return (replace(part, images=images), *others)

    on_another_node(monkeypatch, change)
    refused(
        listing,
        tmp_path / "a.arrow",
        rf"^SRC must lie on a disk that all nodes share but {HERE} has no /elsewhere/\d\d\.png that it may read$",
    )


def test_a_node_with_another_pillow(listing, tmp_path, monkeypatch):
    on_another_node(monkeypatch, lambda *arguments: (*arguments[:-1], "9.9"))
    refused(
        listing,
        tmp_path / "a.arrow",
        rf"^Pillow must be 9\.9 on all nodes, as it decodes, but {HERE} has {PIL.__version__}$",
    )


def test_an_image_that_is_gone_for_all_is_left_out_as_it_is_here(listing, tmp_path):
    os.unlink(listing.images[3].path)
    here = pack_listing(listing, tmp_path / "here.arrow", SIZE)
    there = pack_listing(listing, tmp_path / "there.arrow", SIZE, decoder=decode_on_cluster)
    assert there == here
    assert here.left_out[0].why == "cannot be read: No such file or directory"


@pytest.mark.slow  # Ray waits before it tries again
def test_a_task_that_dies_is_told(listing, tmp_path, monkeypatch):
    def change(*arguments):
        os._exit(1)

    on_another_node(monkeypatch, change)
    refused(listing, tmp_path / "a.arrow", "^a task that decodes images has died again and again", RuntimeError)
