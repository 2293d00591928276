"""Configurations that come with the program, by their names."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from sweeps import cli
from sweeps.schema.loading import load
from sweeps.schema.shipped import CONFIGS, file_of, is_shipped, name_of

NAMES = sorted(file.stem for file in CONFIGS.glob("*.yaml"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_name_means_the_file_that_comes_with_the_program_from_any_folder():
    assert {"glyphs", "glyphs-table", "folder", "paper"} <= set(NAMES)
    for name in NAMES:
        assert file_of(Path(name)) == CONFIGS / f"{name}.yaml"
        assert is_shipped(Path(name))
        assert name_of(CONFIGS / f"{name}.yaml") == name
    assert load(Path("glyphs"), ["episodes.way=7"]).episodes.way == 7


@pytest.mark.parametrize("suffix", ["", ".yaml", ".yml"])
def test_a_file_of_that_name_goes_first(suffix):
    Path(f"glyphs{suffix}").write_text("name: mine\n")
    assert load(Path("glyphs"), []).name == "mine"
    assert not is_shipped(Path("glyphs"))


def test_what_is_no_mere_name_is_a_path_and_nothing_else():
    Path("glyphs").mkdir()  # a folder is no configuration
    assert is_shipped(Path("glyphs"))
    for typed in ("./x/glyphs", "glyphs.yaml", "/glyphs", "other"):
        assert file_of(Path(typed)) == Path(typed)
        assert not is_shipped(Path(typed))
    assert not is_shipped(CONFIGS / "glyphs.yaml")
    assert name_of(Path("glyphs.yaml")) is None


COMMANDS = {
    "sweep": ["glyphs"],
    "run": ["glyphs"],
    "table": ["glyphs"],
    "bench": ["glyphs"],
    "show": ["glyphs"],
    "ui": ["glyphs"],
    "doctor": ["glyphs"],
    "submit": ["--dry-run", "--", "sweep", "glyphs"],
    "fit": ["glyphs", "--support", "photos"],
    "data": ["validate", "photos", "--for", "glyphs"],
    "compare": ["glyphs", "glyphs"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_is_taken_wherever_a_configuration_is(command):
    """A field that is none is found wrong in the configuration, and so that was read."""
    wrong = ["--set-a" if command == "compare" else "--set", "episodes.nothing=1"]
    for number in range(4):
        Path(f"photos/{number % 2}").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(f"photos/{number % 2}/{number}.png")
    result = CliRunner().invoke(cli.app, [command, *COMMANDS[command], *wrong])
    assert "episodes.nothing is not a field" in result.stderr, result.output
    assert result.exit_code == 2
