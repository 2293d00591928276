"""A command for elsewhere: as it was typed, and as it will be run there."""

import shutil
from pathlib import Path

import pytest

from sweeps.jobs.command import remote_command
from sweeps.schema.shipped import CONFIGS


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(CONFIGS / "glyphs.yaml", tmp_path / "one.yaml")
    return tmp_path


def command(*typed, config="one.yaml"):
    overrides = [one.removeprefix("--set=") for one in typed if one.startswith("--set=")]
    return remote_command("sweep", [config, *typed], Path(config), overrides, {})


def test_it_is_run_by_the_python_that_is_said():
    told = command("--set=name=a b").run_by("/a b/python")
    assert told == "'/a b/python' -m sweeps.cli sweep one.yaml '--set=name=a b'"


@pytest.mark.parametrize(("typed", "there"), [("./one.yaml", "one.yaml"), ("one", "one.yaml"), ("glyphs", "glyphs")])
def test_a_configuration_travels_by_its_path_and_a_shipped_one_by_its_name(here, typed, there):
    moved = command(config=typed).in_a_folder_that_travels(here)
    assert moved.typed == (there,)
    assert moved.config == Path(there)


def test_the_id_is_that_of_the_work_and_where_a_home_is_relative_of_the_folder(here):
    one, other = command(), command("--set=episodes.way=7")
    assert one.submission_id == command(config="glyphs").submission_id
    assert len({one.submission_id, other.submission_id, one.id_in(here), one.id_in(here.parent)}) == 4
