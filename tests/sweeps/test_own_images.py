"""What was typed of `fpt data` makes a data set, or takes one from a configuration; what is wrong is said of SRC."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.config import Run
from pipeline.data import listed
from sweeps import cli
from sweeps.own_images import Typed, as_typed, run_of
from sweeps.schema.shipped import CONFIGS
from sweeps.schema.sweep import Sweep

FOLDER = CONFIGS / "folder.yaml"
# The weights of the backbone that it names may not be here.
FOR_FOLDERS = ("--for", FOLDER, "--set", "backbone.name=vit_micro_glyphs")


def photos(root: Path, classes: int, pictures: int) -> Path:
    for name in range(classes):
        (root / str(name)).mkdir(parents=True)
        for i in range(pictures):
            pixels = np.random.default_rng([name, i]).integers(0, 256, (33, 33, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"{name}/{i}.png")
    return root


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    """Ten classes of four pictures, two of which are one."""
    root = photos(tmp_path / "photos", 10, 5)
    shutil.copy(root / "0" / "4.png", root / "1" / "copy.png")
    return root


def validated(*arguments):
    listed._listed.cache_clear()
    return CliRunner().invoke(cli.app, ["data", "validate", *map(str, arguments)])


def test_options_and_fields_make_a_run(ten):
    run = run_of(Typed(ten, way=3, sets=("dataset.leaks=leave_out", "episodes.query=7")))
    assert type(run) is Run
    assert (run.dataset.source, run.dataset.path, run.dataset.leaks) == ("folder", str(ten), "leave_out")
    assert (run.episodes.way, run.episodes.shot, run.episodes.query) == (3, 1, 7)


def test_a_configuration_gives_what_was_not_typed(ten):
    run = run_of(Typed(ten, config=FOLDER, shot=2, sets=("dataset.split_seed=5",)))
    assert isinstance(run, Sweep)
    assert (run.episodes.way, run.episodes.shot, run.episodes.query) == (5, 2, 3)
    assert (run.dataset.small_classes, run.dataset.leaks, run.dataset.split_seed) == ("leave_out", "leave_out", 5)
    assert run_of(Typed(ten, config=CONFIGS / "glyphs.yaml")).dataset.source == "folder"  # as SRC looks


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"sets": ("dataset.classes=lowest",)}, "dataset.classes must be 'top' or 'leaf' but got 'lowest'"),
        ({"sets": ("dataset.leaf=true",)}, "dataset.leaf is not a field; did you mean dataset.leaks"),
        (
            {"config": Path("folder.yml")},
            "CONFIG must be a YAML file but 'folder.yml' is none; did you mean folder\\?",
        ),
        (
            {"kind": "table", "sets": ("dataset.classes=leaf",)},
            "dataset: classes must be top for table, which names each",
        ),
        ({"kind": "cub", "sets": ("dataset.follow_links=true",)}, "dataset: follow_links must be false for cub, which"),
        (
            {"all_novel": True, "sets": ("dataset.merge_splits=true",)},
            "dataset: merge_splits must be false where all_novel",
        ),
    ],
)
def test_what_does_not_go_together_is_a_sentence(ten, typed, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        run_of(Typed(ten, **typed))


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("root must hold images", "SRC must hold images"),
        ("root of a table must be", "SRC of a table must be"),
        ("dataset.path of cub must hold", "SRC of cub must hold"),
        ("dataset.path: folders of root must", "SRC: folders of root must"),
        ("try --set dataset.path=photos", "try --set dataset.path=photos"),
    ],
)
def test_sentences_name_src(said, typed):
    assert as_typed(said) == typed


def test_whether_a_sweep_would_start_is_the_last_line_and_the_status(ten):
    """One picture in two classes is left out by the configuration of folders, and refused without one."""
    result = validated(ten, *FOR_FOLDERS)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        0,
        f"A sweep of {FOLDER} would start: episodes of 5 classes with 1 + 3 images of each.",
    )
    assert "all copies left out" in result.stdout
    result = validated(ten, "--query", 3)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        1,
        "A sweep would not start: dataset.leaks must be leave_out where pictures are in two classes or splits, as 1 are"
        ", but is refuse; --set dataset.leaks=leave_out will do",
    )
    assert validated(ten, "--query", 3, "--set", "dataset.leaks=leave_out").exit_code == 0
    told = json.loads(validated(ten, "--query", 3, "--json").stdout.splitlines()[-1])
    assert (told["starts"], told["obstacle"][:13]) == (False, "dataset.leaks")
    assert json.loads(validated(ten, *FOR_FOLDERS, "--json").stdout.splitlines()[-1])["starts"] is True


def test_what_it_says_to_type_makes_a_sweep_start(tmp_path):
    root = photos(tmp_path / "photos", 6, 6)
    last = validated(root, *FOR_FOLDERS).stdout.splitlines()[-1]
    assert "would not start: episodes.way must be at most 3, the classes of split" in last
    assert "(3 of all 6 classes are set aside for" in last
    ways = re.findall(r"((?:--set \S+ ?)+)", last.replace(",", ""))
    assert len(ways) == 2
    for way in ways:
        result = validated(root, *FOR_FOLDERS, *way.split())
        assert result.exit_code == 0, result.output


def test_what_the_configuration_has_wrong_does_not_let_a_sweep_start(ten):
    result = validated(ten, *FOR_FOLDERS, "--set", "search.split=novel")
    assert result.exit_code == 1
    assert "would not start: search.split must differ from episodes.split" in result.stdout.splitlines()[-1]
