import json
import os
import shutil
from multiprocessing import get_context
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from pipeline.config import Run
from pipeline.data import packed
from pipeline.data.packed import on_this_node, packed_images, said_now_and_then
from pipeline.data.store import ImageStore, PackedImages
from pipeline.storage.folder import Folder, Home


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def shared(store_path, tmp_path):
    """The store of noise in a folder that all nodes share."""
    (tmp_path / "shared").mkdir()
    shutil.copy(store_path, tmp_path / "shared" / "noise.arrow")
    return PackedImages(str(tmp_path / "shared"), "noise.arrow", ImageStore(store_path).fingerprint)


@pytest.fixture
def remote(shared):
    """The same in a bucket; fsspec's store in memory stands for it."""
    bucket = Folder("memory://bucket/images")
    bucket.put(Path(shared.uri) / shared.name, shared.name)
    yield PackedImages(bucket.uri, shared.name, shared.fingerprint)
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def drawn(store_path, monkeypatch):
    """Packing copies the store of noise; the list says where to."""
    paths = []

    def pack(samples, path):
        paths.append(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(store_path, path)
        return path

    monkeypatch.setattr(packed, "pack", pack)
    return paths


def test_images_are_packed_once_for_each_data_set(tmp_path, drawn):
    sections = (
        {},
        {"solver": {"lr": 1}, "episodes": {"way": 3}},
        {"dataset": {"images_per_class": 8}},
        {"dataset": {"distractors": 3}},
        {},
    )
    found = [packed_images(Run.model_validate(one), Home(str(tmp_path))) for one in sections]
    assert found[0] == found[1] == found[4]
    assert [path.name for path in drawn] == [found[0].name, found[2].name, found[3].name]
    assert len(set(drawn)) == 3
    assert all(path.parent == tmp_path / "images" for path in drawn)
    assert {one.fingerprint for one in found} == {ImageStore(drawn[0]).fingerprint}


def test_images_that_were_packed_but_not_described_are_not_packed_again(tmp_path, drawn):
    first = packed_images(Run(), Home(str(tmp_path)))
    (tmp_path / "images" / f"{first.name}.json").unlink()
    assert packed_images(Run(), Home(str(tmp_path))) == first
    assert len(drawn) == 1


def test_images_of_a_home_in_a_bucket_are_put_there_and_packed_once(tmp_path, drawn, cache):
    home = Home("memory://bucket/home")
    first = packed_images(Run(), home)
    shutil.rmtree(home.local)
    assert packed_images(Run(), home) == first
    assert len(drawn) == 1
    assert ImageStore(on_this_node(first)).fingerprint == first.fingerprint
    fsspec.filesystem("memory").store.clear()


def test_images_on_a_shared_disk_are_read_where_they_lie_and_checked_once(shared, cache, monkeypatch):
    path = Path(shared.uri) / shared.name
    assert on_this_node(shared) == path
    checked = []
    monkeypatch.setattr(packed, "_check", lambda path, images: checked.append(path))
    assert on_this_node(shared) == path
    assert checked == []
    os.utime(path, ns=(1, 1))
    on_this_node(shared)
    assert checked == [path]


def test_images_in_a_bucket_are_fetched_once(remote, cache, monkeypatch):
    path = on_this_node(remote)
    assert path.parent == cache
    assert ImageStore(path).fingerprint == remote.fingerprint
    monkeypatch.setattr(Folder, "fetch", None)
    assert on_this_node(remote) == path


def test_other_images_than_those_named_are_refused(shared, remote, cache):
    for there in (shared, remote):
        wrong = PackedImages(there.uri, there.name, "0" * 16)
        with pytest.raises(ValueError, match=rf"^noise\.arrow in .* must have the fingerprint {'0' * 16} but .* has "):
            on_this_node(wrong)
        assert not list(cache.glob("*.arrow"))


@pytest.mark.parametrize("fingerprint", ["../../../x", "", "abc", "0123/4567", "ABCDEF0123456789"])
def test_a_fingerprint_that_is_none_names_no_file(shared, remote, cache, fingerprint):
    for there in (shared, remote):
        wrong = PackedImages(there.uri, there.name, fingerprint)
        with pytest.raises(ValueError, match=r"^fingerprint of noise\.arrow must be 4 to 64 hexadecimal digits"):
            on_this_node(wrong)
    assert not cache.exists()


def test_what_is_no_packed_file_is_not_fetched(remote, cache, monkeypatch):
    monkeypatch.setattr(Folder, "fetch", None)
    bucket = Folder(remote.uri)
    for content in (b"", b"no Arrow file", bucket.read(remote.name)[:100], bucket.read(remote.name)[:-100]):
        bucket.write(remote.name, content)
        with pytest.raises(
            ValueError, match=r"^noise\.arrow in .* must be a file that fpt data pack has written"
        ) as said:
            on_this_node(remote)
        assert len(str(said.value).splitlines()) == 1
    bucket.delete(remote.name)
    with pytest.raises(ValueError, match=r"^noise\.arrow must lie in .* but is not there"):
        on_this_node(remote)
    assert not list(cache.glob("*.arrow")) + list(cache.glob("*.part"))


def test_what_was_changed_in_a_bucket_gets_no_name_here(remote, cache):
    bucket, place = Folder(remote.uri), 4000
    content = bytearray(bucket.read(remote.name))
    content[place] ^= 255
    bucket.write(remote.name, bytes(content))
    with pytest.raises(ValueError, match=r"^noise\.arrow in .* must have the fingerprint"):
        on_this_node(remote)
    assert not list(cache.glob("*.arrow")) + list(cache.glob("*.part"))


@pytest.mark.parametrize("manifest", ['{"fingerprint": "../../x"}', "{}", "[", "[1]"])
def test_a_manifest_of_the_home_that_is_none_is_one_sentence_with_the_way_on(tmp_path, drawn, manifest):
    first = packed_images(Run(), Home(str(tmp_path)))
    (tmp_path / "images" / f"{first.name}.json").write_text(manifest)
    with pytest.raises(
        ValueError, match=r"^home must hold manifests .*\.json is not: .*removed, the images are packed"
    ):
        packed_images(Run(), Home(str(tmp_path)))


def test_a_node_that_does_not_share_the_folder_says_so(shared, cache):
    (Path(shared.uri) / shared.name).unlink()
    with pytest.raises(ValueError, match=r"^home must be a folder that all nodes share, or like s3://"):
        on_this_node(shared)


def _fetch(images, cache, source, barrier, queue):
    os.environ["FPT_CACHE"] = cache
    copied = Folder.fetch

    def fetch(self, name, path):
        queue.put("fetched")
        copied(Folder(source), name, path)

    Folder.fetch = fetch  # type: ignore[method-assign]
    Folder.here = None  # type: ignore[assignment, method-assign]
    barrier.wait()
    queue.put(str(on_this_node(images)))


@pytest.mark.slow
def test_workers_of_a_node_share_one_copy(shared, cache):
    """Two processes at once: one fetches, both use it."""
    context = get_context("spawn")
    barrier, queue = context.Barrier(2), context.Queue()
    arguments = (shared, str(cache.parent), shared.uri, barrier, queue)
    processes = [context.Process(target=_fetch, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    said = sorted(queue.get(timeout=120) for _ in range(3))
    for process in processes:
        process.join()
    copy = str(cache / f"{shared.fingerprint}.arrow")
    assert said == sorted(["fetched", copy, copy])


def test_what_is_kept_beside_the_images(tmp_path, drawn):
    found = packed_images(Run(), Home(str(tmp_path)))
    manifest = json.loads((tmp_path / "images" / f"{found.name}.json").read_text())
    assert manifest["fingerprint"] == found.fingerprint
    assert manifest["dataset"]["images_per_class"] == 30


def test_progress_tells_the_time_that_is_left(monkeypatch, capsys):
    """Of 10 that were done before, and 10 a second since."""
    clock = iter([0.0, 0.0, 2.0, 6.0, 11.0, 99.0])
    monkeypatch.setattr(packed.time, "monotonic", lambda: next(clock))
    progress = said_now_and_then("packed")
    for done in (10, 30, 70, 120, 1000):
        progress(done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "fpt: 70 of 1000 images packed · 10/s · 2 min left",
        "fpt: 120 of 1000 images packed · 10/s · 88 s left",
        "fpt: 1000 of 1000 images packed · 10/s",
    ]
    assert packed._left(0.2) == "1 s"
    assert packed._left(9000.0) == "2.5 h"


def test_leaks_are_left_out_where_that_is_said(tmp_path):
    """And nothing but the two folders is there where they are refused."""
    for name in "abcd":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng([ord(name), i]).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    shutil.copy(tmp_path / "photos/a/0.png", tmp_path / "photos/b/copy.png")

    def own(**dataset):
        return Run.model_validate({"dataset": {"source": "folder", "path": str(tmp_path / "photos"), **dataset}})

    home = Home(str(tmp_path / "home"))
    with pytest.raises(
        ValueError, match=r"^dataset\.path: an image must be .* --set dataset\.leaks=leave_out leaves out"
    ):
        packed_images(own(), home)
    assert [path for path in (tmp_path / "home" / "images").rglob("*") if path.is_file()] == []
    found = packed_images(own(leaks="leave_out"), home)
    manifest = json.loads((tmp_path / "home/images" / f"{found.name}.json").read_text())
    assert {one["image"]: one["kind"] for one in manifest["left_out"]} == {"a/0.png": "leak", "b/copy.png": "leak"}
