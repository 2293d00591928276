import json
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sweeps import cli
from sweeps.terminal import messages as terminal
from sweeps.terminal.times import Times
from tests.sweeps.tiny import CONFIG, TINY

BAD = {
    "an unknown key": ("prompts.alpa=1", "prompts.alpa is not a field; did you mean prompts.alpha?"),
    "way": ("episodes.way=1000", "episodes.way must be at most 262, the classes of split novel, but got 1000"),
    "patches": (
        "prompts.patches=65",
        "prompts.patches must be at most 64, the patches of vit_micro_glyphs, but got 65",
    ),
    "tau": ("prompts.tau=0", "prompts.tau must be greater than 0 but got 0"),
    "an override": ("prompts.tau", "--set must be like a.b=c but got 'prompts.tau'"),
}
BAD_SWEEPS = {
    **BAD,
    "way": ("episodes.way=1000", "episodes.way must be at most 197, the classes of split validation, but got 1000"),
    "a space for others": (
        "search.space.tokens={low: 1, high: 4}",
        "search.space.tokens must matter to a solver that is tried, lora, but does not",
    ),
    "no search": ("search=null", "search must be in CONFIG for a sweep but is missing"),
    "tracking": (
        "tracking_uri=runs/mlflow",
        "tracking_uri must be one that MLflow can reach but 'runs/mlflow' failed: ",
    ),
}


@pytest.fixture
def fpt(here: Path, monkeypatch):
    """Types a command in an empty folder, with a home below it."""
    monkeypatch.delenv("FPT_TRACEBACK", raising=False)

    def typed(*arguments, overrides=()):
        sets = [f"--set={override}" for override in (*TINY, "home=home", *overrides)]
        return CliRunner().invoke(cli.app, [*arguments, *sets])

    return typed


def refused(result, sentence):
    """Status 2 and the sentence alone, below what says that the command has begun."""
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("fpt: starting")]
    assert len(lines) == 1
    assert lines[0].startswith(f"fpt: {sentence}")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("command", "mistake"), [*(("run", one) for one in BAD.values()), *(("sweep", one) for one in BAD_SWEEPS.values())]
)
def test_bad_input_is_one_sentence_and_nothing_is_written(fpt, command, mistake):
    override, sentence = mistake
    refused(fpt(command, str(CONFIG), overrides=[override]), sentence)


@pytest.mark.parametrize(
    ("arguments", "override", "sentence"),
    [
        ([], "prompts.alpha=0", "solver.name must be one that takes prompts (full, lora, ssf, vpt)"),
        (
            [],
            "solver.name=r2d2",
            "solver.name must be one that takes prompts (full, lora, ssf, vpt)",
        ),
        (["--out", "a.jpg"], "prompts.alpha=1", "--out must be a PNG file but got 'a.jpg'"),
    ],
)
def test_a_picture_needs_prompts_and_a_place(fpt, arguments, override, sentence):
    refused(fpt("show", str(CONFIG), *arguments, overrides=[override]), sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--attention", "all"], "--attention must be one of map, cover, both but got 'all'"),
        (["--images", "base"], "--images must be one of support, query, both but got 'base'"),
        (["--most", "0"], "--most must be from 1 to 100 but got 0"),
        (["--most", "101"], "--most must be from 1 to 100 but got 101"),
    ],
)
def test_a_picture_shows_what_there_is(fpt, arguments, sentence):
    refused(fpt("show", str(CONFIG), *arguments), sentence)


def test_windows_have_no_map_of_the_image(fpt, monkeypatch):
    monkeypatch.setattr("sweeps.run.check_run", lambda run: None)
    override = "backbone={name: swin_tiny_patch4_window7_224}"
    refused(
        fpt("show", str(CONFIG), overrides=[override]),
        "backbone.name must be one without windows or stages for a picture of its attention",
    )


def test_show_draws_the_episode_that_is_asked_for(fpt, monkeypatch):
    asked = []
    monkeypatch.setattr("sweeps.run.packed_images", lambda run, home: "packed")
    monkeypatch.setattr("sweeps.run.on_this_node", lambda packed: f"{packed} here")
    monkeypatch.setattr("sweeps.run.solved_episode", lambda *these: asked.append(these[1:]) or "solved")
    monkeypatch.setattr("sweeps.run.draw_solved", lambda *these: asked.append(these) or these[1])
    monkeypatch.setattr("sweeps.run.as_json", lambda solved, path: {"file": str(path), "accuracy": 0.5})
    result = fpt("show", str(CONFIG), "--episode", "3", "--out", "here/it.png")
    assert (result.exit_code, result.stdout.strip()) == (0, "here/it.png")
    assert asked == [("packed here", 3), ("solved", Path("here/it.png"), "map", "both", 8)]
    options = ["--attention", "cover", "--images", "query", "--most", "20", "--json"]
    result = fpt("show", str(CONFIG), "--out", "it.png", *options)
    assert json.loads(result.stdout.splitlines()[-1]) == {"file": "it.png", "accuracy": 0.5}
    assert asked[2:] == [("packed here", 0), ("solved", Path("it.png"), "cover", "query", 20)]


@pytest.mark.parametrize("command", ["run", "sweep", "ui", "show"])
def test_a_missing_file_is_bad_input(fpt, command):
    refused(fpt(command, "nowhere.yaml"), "CONFIG must be a YAML file but 'nowhere.yaml' is none")


@pytest.mark.timeout(60)
def test_a_tracking_server_that_does_not_answer_is_bad_input(fpt, unreachable):
    refused(
        fpt("sweep", str(CONFIG), overrides=[f"tracking_uri={unreachable}"]),
        f"tracking_uri must be one that MLflow can reach but '{unreachable}' failed: ",
    )


def test_what_fails_is_no_bad_input(fpt, monkeypatch):
    def failing(sweep, address):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("sweeps.run.evaluate", failing)
    result = fpt("run", str(CONFIG))
    assert result.exit_code == 1
    assert result.stderr == "fpt: RuntimeError: the disk is full (FPT_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("FPT_TRACEBACK", "1")
    assert isinstance(fpt("run", str(CONFIG)).exception, RuntimeError)


def test_an_interrupted_command_says_how_to_go_on(fpt, monkeypatch):
    def interrupted(sweep, address):
        raise KeyboardInterrupt

    monkeypatch.setattr("sweeps.run.evaluate", interrupted)
    result = fpt("run", str(CONFIG))
    assert (result.exit_code, result.stdout) == (130, "")
    assert "the same command again goes on" in result.stderr


def test_run_prints_a_line_or_an_object(fpt, monkeypatch):
    asked = []

    def evaluated(sweep, address):
        asked.append((sweep.solver.lr, address))
        return {"text": "lora: 70.0 ± 1.0 %", "accuracy": 0.7, "episodes": 6}

    monkeypatch.setattr("sweeps.run.evaluate", evaluated)
    assert fpt("run", str(CONFIG), overrides=["solver.lr=0.5"]).stdout == "lora: 70.0 ± 1.0 %\n"
    result = fpt("run", str(CONFIG), "--json", "--address", "auto")
    assert json.loads(result.stdout) == {"accuracy": 0.7, "episodes": 6}
    assert asked == [(0.5, None), (0.01, "auto")]


def test_bench_of_a_sweep_prints_a_line_or_an_object_and_leaves_nothing(fpt, here, monkeypatch):
    times, homes = Times({"imports": 2.0}, 10.0, 9.5), []

    def timed(sweep, address):
        homes.append(Path(sweep.home))
        assert homes[-1].is_dir()
        return None, {}, times

    monkeypatch.setattr("sweeps.timing.timed_sweep", timed)
    assert fpt("bench", str(CONFIG), "--sweep").stdout == f"{times}\n"
    assert json.loads(fpt("bench", str(CONFIG), "--sweep", "--json").stdout) == times.as_json()
    assert not any(home.exists() for home in homes)
    assert list(here.iterdir()) == []


def test_by_itself_it_says_what_to_type_first(here):
    result = CliRunner().invoke(cli.app, [])
    assert result.exit_code == 0
    typed = [line.split() for line in result.stdout.splitlines() if line.startswith("  fpt")]
    assert [one[1] for one in typed] == ["sweep", "ui", "data", "sweep"]
    assert Path(typed[0][2]).samefile(CONFIG)


@pytest.mark.parametrize("command", [[], ["data"], *([name] for name in typer.main.get_group(cli.app).commands)])
def test_help_fits_80_columns_and_shows_an_example(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    if command != ["data"]:
        assert f"fpt {' '.join(command)}" in result.stdout.partition("Usage")[2].partition("\n")[2]


def test_help_groups_the_commands():
    result = CliRunner().invoke(cli.app, ["--help"])
    commands = typer.main.get_group(cli.app).commands
    for panel in ("Search", "Look at results", "Your own images", "Clusters and speed"):
        assert f"─ {panel} ─" in result.stdout
    assert all(f"│ {command} " in result.stdout for command in commands)


def test_the_version_is_told():
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"fpt {version('fpt')}\n")


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

    assert said("glyphs") == f"'glyphs' is none; did you mean {CONFIG}?"
    assert said("glyphs-tabel.yaml").endswith("did you mean " + str(CONFIG.with_name("glyphs-table.yaml")) + "?")
    Path("mine").mkdir()
    Path("mine/birds.yaml").touch()
    Path("glyphs.yml").touch()
    assert said("mine/bird.yaml") == "'mine/bird.yaml' is none; did you mean mine/birds.yaml?"
    assert said("glyphs") == "'glyphs' is none; did you mean glyphs.yml?"
    assert said("mine").startswith("'mine' is a folder; its images are searched with ")
    assert said("mine").endswith("folder.yaml --set dataset.path=mine")
    assert said("zzz") == f"'zzz' is none; {CONFIG} is one"


def test_how_to_browse_says_where_the_results_are_but_no_password():
    overrides = ["home=a b", "search.trials=2", "tracking_uri=postgresql://me:secret@host/db", "name=mine"]
    assert terminal.browsing(Path("c.yaml"), overrides) == "fpt ui c.yaml '--set=home=a b' --set=name=mine"
