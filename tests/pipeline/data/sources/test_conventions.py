"""What adapters of published data sets share, on small trees and by hand."""

import re
from pathlib import Path

import pytest

from pipeline.data.sources.conventions import BENCHMARK, benchmark_splits, dataset_root, lines, printable
from tests.pipeline.data.sources.trees import grow

WAYS = (("images", "labels.txt"), ("everything.mat",))


@pytest.mark.parametrize("files", [{"images/1.jpg": "", "labels.txt": ""}, {"everything.mat": ""}])
@pytest.mark.parametrize("archive", ["", "birds/"])
def test_the_folder_that_holds_all_names_of_one_of_the_ways_is_the_root_of_the_data_set(tmp_path: Path, files, archive):
    grow(tmp_path, {f"{archive}{name}": "" for name in files})
    assert dataset_root("birds", tmp_path, "birds", *WAYS) == (tmp_path / archive if archive else tmp_path)


def test_the_root_counts_before_the_folder_of_its_archive(tmp_path: Path):
    grow(tmp_path, {"everything.mat": "", "birds/everything.mat": ""})
    assert dataset_root("birds", tmp_path, "birds", *WAYS) == tmp_path


def test_half_of_one_way_and_half_of_another_are_no_whole(tmp_path: Path):
    grow(tmp_path, {"images/1.jpg": "", "birds/labels.txt": ""})
    with pytest.raises(ValueError, match=r"^root of birds must hold images, labels\.txt but .* has no labels\.txt$"):
        dataset_root("birds", tmp_path, "birds", *WAYS)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "root of birds must hold images, labels.txt but ROOT has no images, labels.txt"),
        (("labels.txt",), "root of birds must hold images, labels.txt but ROOT has no images"),
        (("birds/images/1.jpg",), "root of birds must hold images, labels.txt but ROOT/birds has no labels.txt"),
    ],
)
def test_what_is_missing_is_told_of_where_the_least_is(tmp_path: Path, files, said):
    grow(tmp_path, dict.fromkeys(files, ""))
    with pytest.raises(ValueError, match=f"^{re.escape(said.replace('ROOT', str(tmp_path)))}$"):
        dataset_root("birds", tmp_path, "birds", *WAYS)


def test_a_root_that_is_no_folder_lacks_all_of_the_first_way(tmp_path: Path):
    with pytest.raises(ValueError, match=r"must hold images, labels\.txt but .*gone has no images, labels\.txt$"):
        dataset_root("birds", tmp_path / "gone", "birds", *WAYS)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("american_pit_bull_terrier", "american pit bull terrier"),
        ("707-320", "707-320"),  # a number that no full stop follows is the name's own
        ("2.0.Model", "0.Model"),  # one number is left out
        ("_wren_", "wren"),
        ("No.5", "No.5"),
    ],
)
def test_names_are_written_as_one_would_write_them(name, written):
    assert printable(name) == written


def test_the_benchmarks_splits_are_those_of_its_published_code():
    """Its code lists base as i % 2 == 0, validation as i % 4 == 1 and novel as i % 4 == 3."""
    names = [f"class {i}" for i in range(10)]
    splits, notes = benchmark_splits("birds", names, 10)
    assert notes == []
    for split, places in {"base": {0, 2, 4, 6, 8}, "validation": {1, 5, 9}, "novel": {3, 7}}.items():
        assert {i for i, name in enumerate(names) if splits[name] == split} == places


def test_another_number_of_classes_is_noted():
    splits, notes = benchmark_splits("birds", ["crow", "duck"], 200)
    assert splits == {"crow": "base", "duck": "validation"}
    assert notes == [f"Classes of birds: 2, but 200 in {BENCHMARK}, so splits may not be its own."]


def test_lines_are_cut_at_blanks_and_the_last_cell_keeps_its_own(tmp_path: Path):
    text = "#image class\n1 crow\n\n  \n2\tAcura  TL Sedan  \r\n3   Größe 4\n"
    file = grow(tmp_path, {"names.txt": text}) / "names.txt"
    assert lines(file, 2) == [["1", "crow"], ["2", "Acura  TL Sedan"], ["3", "Größe 4"]]


def test_a_file_without_lines_has_none(tmp_path: Path):
    assert lines(grow(tmp_path, {"names.txt": "# nothing\n"}) / "names.txt", 3) == []


def test_a_line_with_too_few_cells_is_named(tmp_path: Path):
    file = grow(tmp_path, {"names.txt": "# image class\n\n1 crow\n2\n"}) / "names.txt"
    with pytest.raises(ValueError, match=rf"^line 4 of {re.escape(str(file))} must have 2 cells but is '2'$"):
        lines(file, 2)


@pytest.mark.parametrize("name", ["gone.txt", "."])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name):
    file = tmp_path / name
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))} must be there but is not$"):
        lines(file, 2)
