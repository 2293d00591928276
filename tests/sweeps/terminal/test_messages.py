"""What commands say to people, and how what goes wrong ends them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sweeps import cli
from sweeps.schema.shipped import CONFIGS, file_of
from sweeps.terminal import messages as terminal
from tests.sweeps.refusals import refused
from tests.sweeps.tiny import CONFIG


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("the disk is full"), "RuntimeError: the disk is full"),
        (OSError(28, "home must have room"), "OSError: home must have room"),  # a sentence of ours
        (OSError(28, "No space left", "a/file"), "OSError: [Errno 28] No space left: 'a/file'"),
    ],
)
def test_what_fails_is_no_bad_input(fpt, monkeypatch, error, said):
    def failing(sweep, address):
        raise error

    monkeypatch.setattr("sweeps.run.evaluate", failing)
    result = fpt("run", str(CONFIG))
    assert result.exit_code == 1
    assert result.stderr == f"fpt: {said} (FPT_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("FPT_TRACEBACK", "1")
    assert fpt("run", str(CONFIG)).exception is error


def test_an_interrupt_of_which_python_made_another_error_is_one(fpt, monkeypatch):
    class Asked:
        def __set_name__(self, owner, name):
            raise KeyboardInterrupt

    def loading(sweep, address):
        return type("Loaded", (), {"asked": Asked()})

    monkeypatch.setattr("sweeps.run.evaluate", loading)
    result = fpt("run", str(CONFIG))
    assert result.exit_code == 130
    assert "the same command again goes on" in result.stderr


def test_an_interrupted_command_says_how_to_go_on(fpt, monkeypatch):
    def interrupted(sweep, address):
        raise KeyboardInterrupt

    monkeypatch.setattr("sweeps.run.evaluate", interrupted)
    result = fpt("run", str(CONFIG))
    assert (result.exit_code, result.stdout) == (130, "")
    assert "the same command again goes on" in result.stderr


def test_by_itself_it_says_what_to_type_first(here):
    result = CliRunner().invoke(cli.app, [])
    assert result.exit_code == 0
    typed = [line.split() for line in result.stdout.splitlines() if line.startswith("  fpt")]
    assert [one[1] for one in typed] == ["sweep", "ui", "data", "sweep"]
    assert all(file_of(Path(one[-1] if one[1] == "data" else one[2])).parent == CONFIGS for one in typed)


MISTYPED = {
    "swep": "'swep' is no command of fpt; did you mean sweep?",
    "help": "'help' is no command of fpt; did you mean --help?",
    "pack photos": "'pack' is no command of fpt; did you mean data pack?",
    "data packk": "'packk' is no command of fpt data; did you mean pack?",
    "data zzz": "'zzz' is no command of fpt data; they are list, validate, pack",
    "sweep --overide a": "--overide is no option of fpt sweep; did you mean --set?",
    "sweep --sett a": "--sett is no option of fpt sweep; did you mean --set?",
    "sweep --search.trials=4": "--search.trials is no option of fpt sweep; did you mean --set search.trials=...?",
    "compare --zzz": "--zzz is no option of fpt compare; they are --set-a, --set-b, --home, --split, --json, --help",
    "sweep --set": "--set must be followed by a value but has none",
    "sweep c.yaml --set": "--set must be followed by a value but has none",
    "sweep": "CONFIG must be given but is missing; fpt sweep --help shows an example",
    "ui --port x": "--port must be a valid integer",
    "show c.yaml --episode -1": "--episode must be greater than or equal to 0",
    "run a.yaml b.c=3": "fpt run: got unexpected extra argument(s) (b.c=3); did you mean --set b.c=3?",
    "run a.yaml --set x.y=1 b.c=3 d=e f": "fpt run: got unexpected extra argument(s) (b.c=3 d=e f); did you mean "
    "--set b.c=3 --set d=e f?",
    "run c.yaml d.yaml": "fpt run: got unexpected extra argument(s) (d.yaml); see fpt run --help",
    "ui --set a=b": "CONFIG must be given for --set but is missing",
}


@pytest.mark.parametrize("typed", MISTYPED)
def test_a_mistyped_command_is_one_sentence_with_the_right_one(typed, here):
    refused(CliRunner().invoke(cli.app, typed.split(), prog_name="fpt"), MISTYPED[typed])


def test_a_configuration_that_is_none_names_the_nearest(here):
    def said(name):
        result = CliRunner().invoke(cli.app, ["run", name])
        assert (result.exit_code, result.stdout) == (2, "")
        return result.stderr.removeprefix("fpt: CONFIG must be a YAML file but ").rstrip()

    assert said("glyph") == "'glyph' is none; did you mean glyphs?"
    assert said("sweeps/configs/glyphs.yaml") == "'sweeps/configs/glyphs.yaml' is none; did you mean glyphs?"
    assert said("glyphs-tabel.yaml").endswith("did you mean glyphs-table?")
    Path("mine").mkdir()
    Path("mine/birds.yaml").touch()
    Path("glyphs.yml").touch()
    assert said("mine/bird.yaml") == "'mine/bird.yaml' is none; did you mean mine/birds.yaml?"
    assert said("glyph") == "'glyph' is none; did you mean glyphs.yml?"
    assert said("mine") == "'mine' is a folder; its images are searched with folder --set dataset.path=mine"
    shipped = "folder, glyphs, glyphs-table, paper"
    assert said("zzz") == f"'zzz' is none, and no name of one that comes with fpt, which are {shipped}"


def test_how_to_browse_says_where_the_results_are_but_no_password():
    overrides = ["home=a b", "search.trials=2", "tracking_uri=postgresql://me:secret@host/db", "name=mine"]
    assert terminal.browsing(Path("c.yaml"), overrides) == "fpt ui c.yaml '--set=home=a b' --set=name=mine"
    secret = ["home=s3://KEY:SECRET@bucket/x", "name=mine"]  # a command with *** in it would be none
    assert terminal.browsing(Path("c.yaml"), secret) == "fpt ui c.yaml --set=home=... --set=name=mine"
