from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

from sweeps import cli
from tests.sweeps.refusals import refused
from tests.sweeps.tiny import CONFIG

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


@pytest.mark.parametrize(
    ("command", "mistake"), [*(("run", one) for one in BAD.values()), *(("sweep", one) for one in BAD_SWEEPS.values())]
)
def test_bad_input_is_one_sentence_and_nothing_is_written(fpt, command, mistake):
    override, sentence = mistake
    refused(fpt(command, str(CONFIG), overrides=[override]), sentence)


@pytest.mark.parametrize("command", ["run", "sweep", "ui", "show"])
def test_a_missing_file_is_bad_input(fpt, command):
    refused(fpt(command, "nowhere.yaml"), "CONFIG must be a YAML file but 'nowhere.yaml' is none")


@pytest.mark.timeout(60)
def test_a_tracking_server_that_does_not_answer_is_bad_input(fpt, unreachable):
    refused(
        fpt("sweep", str(CONFIG), overrides=[f"tracking_uri={unreachable}"]),
        f"tracking_uri must be one that MLflow can reach but '{unreachable}' failed: ",
    )


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
