"""`fpt data`, and images of one's own on their way into a sweep, on a small folder with broken files in it."""

import json
import os
import re
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.checks import check_run, class_sizes
from pipeline.config import Dataset, Run
from pipeline.data import listed as own_images
from pipeline.data.packed import on_this_node, packed_images
from pipeline.data.store import ImageStore
from pipeline.storage.folder import Folder, Home
from sweeps import cli

CLASSES, IMAGES = 6, 5
HALVES = (("validation", 2), ("novel", 3))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Small PNGs with transparency, 5 of each of 6 classes; one is no image, one is there twice."""
    rng = np.random.default_rng(0)
    root = tmp_path / "photos"
    for name in "abcdef":
        (root / name).mkdir(parents=True)
        for i in range(IMAGES):
            Image.fromarray(rng.integers(0, 256, (40, 48, 4), dtype=np.uint8)).save(root / name / f"{i}.png")
    (root / "a" / "broken.png").write_bytes(b"no image")
    (root / "b" / "again.png").write_bytes((root / "b" / "0.png").read_bytes())
    return root


def typed(*arguments):
    return CliRunner().invoke(cli.app, ["data", *map(str, arguments)])


def last_object(result, status=0):
    assert result.exit_code == status, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def own(photos, **dataset):
    return Run.model_validate(
        {
            "dataset": {"source": "folder", "path": str(photos), **dataset},
            "episodes": {"way": 3, "shot": 1, "query": 4},
            "prompts": {"alpha": 0},
        }
    )


def test_list_counts_what_is_there_without_opening_it(photos):
    found = last_object(typed("list", photos, "--json"))
    assert found["source"] == "folder"
    assert sorted(found["splits"]) == ["novel", "validation"]
    counted = {name: count for classes in found["splits"].values() for name, count in classes.items()}
    assert counted == {"a": IMAGES + 1, "b": IMAGES + 1, **dict.fromkeys("cdef", IMAGES)}
    assert "photos: folder, 32 images" in typed("list", photos).stdout


def test_validate_names_what_is_wrong_and_what_is_done_about_it(photos):
    found = last_object(typed("validate", photos, "--way", 3, "--query", 4, "--json"))
    assert next((one["kind"], one["names"]) for one in found["problems"]) == ("unreadable", ["a/broken.png"])
    assert {one["kind"] for one in found["problems"]} == {"unreadable", "duplicate"}
    assert found["summary"]["images"] == CLASSES * IMAGES
    shown = typed("validate", photos, "--way", 3, "--query", 4).stdout
    assert "a/broken.png" in shown
    assert f"{CLASSES * IMAGES} of 32 images can be used, 2 findings (1 unreadable, 1 duplicate)" in shown


def test_pack_writes_what_a_sweep_reads(photos, tmp_path):
    packed = tmp_path / "photos.arrow"
    found = last_object(typed("pack", photos, packed, "--size", 64, "--json"))
    assert (found["images"], len(found["left_out"])) == (CLASSES * IMAGES, 2)
    run = own(packed, source="packed")
    check_run(run)
    found_there = packed_images(run, Home(str(tmp_path / "home")))
    assert on_this_node(found_there) == packed
    assert ImageStore(packed).fingerprint == found_there.fingerprint == found["fingerprint"]


def test_validate_proposes_other_pictures_where_classes_are_few(photos):
    told = ("--query", 1, "--json")
    proposed = last_object(typed("validate", photos, *told), 1)["proposal"]
    assert proposed == (
        "few classes are large enough (3 in novel and 3 in validation): --set dataset.hold_out=pictures searches and "
        "reports on other pictures of the same 6 classes, and the answer is then for these classes"
    )
    assert typed("validate", photos, "--query", 1).stdout.splitlines()[-2] == proposed
    assert last_object(typed("validate", photos, "--query", 1, "--way", 7, "--json"), 1)["proposal"] is None
    assert last_object(typed("validate", photos, "--query", 2, "--json"), 1)["proposal"] is None  # two have 2 pictures
    held_out = last_object(typed("validate", photos, *told, "--hold-out", "pictures"))
    assert held_out["proposal"] is None
    assert held_out["summary"]["splits"] == {split: dict.fromkeys("abcdef", n) for split, n in HALVES}


def test_many_classes_are_proposed_nothing(tmp_path):
    root, random = tmp_path / "photos", np.random.default_rng(0)
    for name in range(41):
        (root / str(name)).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(random.integers(0, 256, (33, 33, 3), dtype=np.uint8)).save(root / f"{name}/{i}.png")
    assert last_object(typed("validate", root, "--query", 1, "--json"))["proposal"] is None
    (root / "0" / "4.png").touch()
    for name in (1, 2, 3):
        for i in range(3):
            (root / str(name) / f"{i}.png").unlink()
    assert "the same 38 classes" in last_object(typed("validate", root, "--query", 1, "--json"), 1)["proposal"]


def test_pictures_that_are_held_out_are_listed_and_packed(photos, tmp_path):
    splits = last_object(typed("list", photos, "--hold-out", "pictures", "--json"))["splits"]
    # of two classes one picture more is listed: it will turn out to be no image, or a copy
    assert splits == {"novel": dict.fromkeys("abcdef", 3), "validation": dict.fromkeys("abcdef", 2) | {"a": 3, "b": 3}}
    packed = tmp_path / "photos.arrow"
    result = typed("pack", photos, packed, "--size", 64, "--hold-out", "pictures", "--json")
    assert last_object(result)["splits"] == {split: dict.fromkeys("abcdef", n) for split, n in HALVES}
    assert f"--set dataset.path={packed} --set dataset.hold_out=pictures" in result.stderr
    run = own(packed, source="packed", hold_out="pictures")
    run = run.model_copy(update={"episodes": run.episodes.model_copy(update={"query": 1})})
    check_run(run)
    assert on_this_node(packed_images(run, Home(str(tmp_path / "home")))) == packed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "nowhere"), "SRC must be a folder or a table that is there but nowhere is not"),
        (("list", ".", "--source", "cab"), "--source must be one of folder, table, .* but got 'cab'"),
        (("pack", ".", "here.parquet"), r"DST must be a file that ends in \.arrow but got 'here.parquet'"),
        (("list", ".", "--hold-out", "images"), "--hold-out must be classes or pictures but got 'images'"),
        (
            ("list", ".", "--hold-out", "pictures", "--all-novel"),
            "--all-novel must be left out with --hold-out pictures",
        ),
        (("pack", ".", "here.arrow", "--resize", "stretch"), "--resize must be crop or squash but got 'stretch'"),
    ],
)
def test_bad_input_is_one_sentence(arguments, said, here):
    result = typed(*arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.match(f"fpt: {said}", line)


def test_images_of_ones_own_are_packed_once_and_anew_when_a_file_changes(photos, tmp_path, capfd):
    home = Home(str(tmp_path / "home"))
    first = packed_images(own(photos), home)
    assert "30 images packed at 64 x 64" in capfd.readouterr().err
    assert packed_images(own(photos), home) == first
    assert "packed" not in capfd.readouterr().err
    changed = photos / "c" / "0.png"
    Image.new("RGB", (50, 50), "red").save(changed)
    os.utime(changed, (1, 1))
    own_images._listed.cache_clear()
    assert packed_images(own(photos), home).fingerprint != first.fingerprint


def test_what_a_run_cannot_draw_is_known_before_anything_is_packed(photos):
    check_run(own(photos))
    with pytest.raises(ValueError, match=r"at most 3, .* novel \(3 of all 6 .* got 4; --set episodes\.way=3, or"):
        check_run(own(photos).model_copy(update={"episodes": own(photos).episodes.model_copy(update={"way": 4})}))
    (photos / "d" / "4.png").unlink()
    (photos / "e" / "4.png").unlink()
    (photos / "f" / "4.png").unlink()
    (photos / "c" / "4.png").unlink()
    own_images._listed.cache_clear()
    with pytest.raises(
        ValueError, match=r"must be at most 4, as '\w'.* show, but got 1 \+ 4; --s.* dataset\.small_classes"
    ):
        check_run(own(photos, all_novel=True))
    large = own(photos, all_novel=True, small_classes="leave_out")
    check_run(large.model_copy(update={"episodes": large.episodes.model_copy(update={"way": 2})}))
    with pytest.raises(ValueError, match=r"at most 3 .* have 4 images and more, but got 4; --set episodes\.query=3"):
        check_run(large)


@pytest.fixture
def bucket():
    """fsspec's store in memory stands for one."""
    yield "memory://bucket/photos"
    fsspec.filesystem("memory").store.clear()


def test_a_packed_file_in_a_bucket_is_used_where_it_lies(photos, tmp_path, bucket, monkeypatch):
    monkeypatch.setenv("FPT_CACHE", str(tmp_path / "cache"))
    packed = tmp_path / "photos.arrow"
    found = last_object(typed("pack", photos, packed, "--size", 64, "--json"))
    for name in ("photos.arrow", "photos.arrow.json"):
        Folder(bucket).put(tmp_path / name, name)
    run = own(photos, source="packed").model_copy(
        update={"dataset": Dataset(source="packed", path=f"{bucket}/photos.arrow")}
    )
    check_run(run)
    assert class_sizes(run) == {
        split: {name: len(rows) for name, rows in ImageStore(packed).classes(split).items()}
        for split in ("novel", "validation")
    }
    path = on_this_node(packed_images(run, Home(str(tmp_path / "home"))))
    assert path.is_relative_to(tmp_path / "cache")
    assert ImageStore(path).fingerprint == found["fingerprint"]


def test_a_bucket_is_not_packed_into(photos, here):
    result = typed("pack", photos, "s3://bucket/photos.arrow")
    assert result.exit_code == 2
    assert "fpt: DST must be a file on a disk but got 's3:/bucket/photos.arrow'; a bucket may hold" in result.stderr
    assert list(here.iterdir()) == []
