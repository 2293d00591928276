import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sweeps import cli
from sweeps.times import Times
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


def test_show_draws_the_episode_that_is_asked_for(fpt, monkeypatch):
    drawn = []
    monkeypatch.setattr("sweeps.evaluate.packed_images", lambda run, home: "packed")
    monkeypatch.setattr("sweeps.evaluate.on_this_node", lambda packed: f"{packed} here")
    monkeypatch.setattr("sweeps.evaluate.picture_of_episode", lambda *asked: drawn.append(asked[1:]) or asked[-1])
    result = fpt("show", str(CONFIG), "--episode", "3", "--out", "here/it.png")
    assert (result.exit_code, result.stdout.strip()) == (0, "here/it.png")
    assert drawn == [("packed here", 3, Path("here/it.png"))]


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

    monkeypatch.setattr("sweeps.evaluate.evaluate", failing)
    result = fpt("run", str(CONFIG))
    assert result.exit_code == 1
    assert result.stderr == "fpt: RuntimeError: the disk is full (FPT_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("FPT_TRACEBACK", "1")
    assert isinstance(fpt("run", str(CONFIG)).exception, RuntimeError)


def test_an_interrupted_command_says_how_to_go_on(fpt, monkeypatch):
    def interrupted(sweep, address):
        raise KeyboardInterrupt

    monkeypatch.setattr("sweeps.evaluate.evaluate", interrupted)
    result = fpt("run", str(CONFIG))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the same command again goes on" in result.stderr


def test_run_prints_a_line_or_an_object(fpt, monkeypatch):
    asked = []

    def evaluated(sweep, address):
        asked.append((sweep.solver.lr, address))
        return {"text": "lora: 70.0 ± 1.0 %", "accuracy": 0.7, "episodes": 6}

    monkeypatch.setattr("sweeps.evaluate.evaluate", evaluated)
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

    monkeypatch.setattr("sweeps.times.timed_sweep", timed)
    assert fpt("bench", str(CONFIG), "--sweep").stdout == f"{times}\n"
    assert json.loads(fpt("bench", str(CONFIG), "--sweep", "--json").stdout) == times.as_json()
    assert not any(home.exists() for home in homes)
    assert list(here.iterdir()) == []


def test_the_browser_needs_results(fpt):
    refused(fpt("ui", str(CONFIG)), "home must hold results but 'home' has none yet; fpt sweep makes them")


def test_the_browser_is_mlflow_on_this_machine_only(fpt, monkeypatch):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments))
    Path("home").mkdir()
    Path("home/mlflow.db").touch()
    assert fpt("ui", str(CONFIG), "--port", "5123").exit_code == 0
    (arguments,) = started
    assert arguments[1:4] == ["-m", "mlflow", "ui"]
    options = dict(zip(arguments[4::2], arguments[5::2], strict=True))
    assert options == {
        "--backend-store-uri": f"sqlite:///{Path.cwd()}/home/mlflow.db",
        "--host": "127.0.0.1",
        "--port": "5123",
    }
    result = fpt("ui", str(CONFIG), overrides=["tracking_uri=http://host:5000"])
    assert result.exit_code == 0
    assert "http://host:5000" in result.stderr
    assert len(started) == 1


def test_help_names_the_commands():
    result = CliRunner().invoke(cli.app, ["--help"])
    assert result.exit_code == 0
    assert all(command in result.stdout for command in ("run", "sweep", "ui"))
