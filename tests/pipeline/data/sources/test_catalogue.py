"""What every source keeps to, and how the right one is found."""

from pathlib import Path

import pytest

from pipeline.data.sources.catalogue import detect, list_source, listed
from tests.pipeline.data.sources.trees import TREES, below, grow, told


@pytest.mark.parametrize("layout", TREES)
def test_is_detected_and_lists_what_is_there_in_order(layout: str, tmp_path: Path):
    source, files, _ = TREES[layout]
    root = grow(tmp_path, files)
    assert detect(root) == source
    listing = list_source(source, root)
    assert (listing.source, listing.root) == (source, root)
    assert listing.images
    assert all(image.path.is_file() for image in listing.images)
    assert [image.mask for image in listing.images if image.mask and not image.mask.is_file()] == []
    order = [(image.class_name, image.path.as_posix()) for image in listing.images]
    assert order == sorted(set(order))
    assert {image.split for image in listing.images} <= {"base", "validation", "novel", None}
    assert all(text.endswith(".") for text in listing.notes)


@pytest.mark.parametrize("layout", TREES)
def test_the_order_in_which_files_were_made_changes_nothing(layout: str, tmp_path: Path):
    source, files, _ = TREES[layout]
    one, other = (list_source(source, grow(tmp_path / name, files, name == "other")) for name in ("one", "other"))
    assert told(one) == told(other)
    assert len(one.notes) == len(other.notes)


@pytest.mark.parametrize("layout", [layout for layout, (_, _, archive) in TREES.items() if archive])
def test_is_found_in_the_folder_that_its_archive_makes(layout: str, tmp_path: Path):
    source, files, archive = TREES[layout]
    root = grow(tmp_path / "outer", below(archive, files))
    assert detect(root) == source
    inner = told(list_source(source, grow(tmp_path / "inner", files)))
    assert told(list_source(source, root)) == [(split, name, f"{archive}/{path}") for split, name, path in inner]


@pytest.mark.parametrize("source", listed())
def test_an_empty_folder_is_told_what_it_needs(source: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"^root .*must .* but .*") as caught:
        list_source(source, tmp_path)
    assert "\n" not in str(caught.value)


def test_roots_and_sources_that_are_not_there(tmp_path: Path):
    with pytest.raises(ValueError, match=r"source must be one of folder, table, .* but got 'cubs'"):
        list_source("cubs", tmp_path)
    for ask in (detect, lambda root: list_source("cub", root)):
        with pytest.raises(ValueError, match=r"root must be a folder or a table that is there but .*gone is not"):
            ask(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"root of cub must be a folder but .*a\.txt is a file"):
        list_source("cub", grow(tmp_path, {"a.txt": ""}) / "a.txt")
    with pytest.raises(ValueError, match=r"root must be a folder or one of \.csv, .* but got .*a\.txt"):
        detect(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="holds no class folders and no table"):
        detect(tmp_path)


def test_class_folders_that_are_called_like_parts_of_data_sets(tmp_path: Path):
    assert detect(grow(tmp_path / "kingdoms", {"Plantae/1.jpg": "", "Fungi/1.jpg": ""})) == "folder"
    assert detect(grow(tmp_path / "splits", {"train/airport/1.jpg": "", "val/bar/1.jpg": ""})) == "folder"


def test_lists_that_were_written_beside_a_data_set_count_before_it(tmp_path: Path):
    assert detect(grow(tmp_path, TREES["plantae"][1] | TREES["lists"][1])) == "lists"
