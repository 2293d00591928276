import pytest
from typer.testing import CliRunner

from sweeps import cli


@pytest.mark.parametrize("command", ["status", "report"])
def test_commands_that_read_a_home_take_it_alike(command):
    told = CliRunner().invoke(cli.app, [command, "--help"]).stdout
    assert "--home" in told
    assert "--json" in told
    assert "FPT_HOME" in told
