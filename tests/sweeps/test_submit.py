"""`fpt submit` as it is typed: which options go with which target, and which Python runs a job."""

import shlex

import pytest
from typer.testing import CliRunner

from sweeps import cli
from sweeps.jobs import dashboard
from sweeps.submit import GOES_WITH
from tests.sweeps.jobs.job_server import URL

VALUES = {
    "address": URL,
    "nodes": "2",
    "gpus_per_node": "1",
    "cpus_per_node": "1",
    "memory_per_node": "8",
    "time": "30",
    "sbatch": "--account=x",
}
FLAGS = {"dry_run": "--dry-run", "print_only": "--print"}


@pytest.mark.parametrize("target", ["ray", "slurm", "kuberay"])
@pytest.mark.parametrize("name", GOES_WITH)
def test_an_option_of_another_target_is_refused(submit, cluster, name, target):
    if target in GOES_WITH[name]:
        return
    option = FLAGS.get(name) or f"--{name.replace('_', '-')}"
    given = (option,) if name in FLAGS else (f"{option}={VALUES.get(name, 'x')}",)
    result = submit("sweep", "one.yaml", options=(f"--to={target}", *given))
    assert (result.exit_code, result.stdout, cluster.staged) == (2, "", [])
    allowed = " or ".join(GOES_WITH[name])
    assert result.stderr == f"fpt: {option} must go with --to {allowed} but --to is {target}\n"


@pytest.mark.parametrize(
    ("told", "options", "python"),
    [("/of/ray", (), "/of/ray"), (None, (), "python"), ("/of/ray", ("--python=/a b/python",), "/a b/python")],
)
def test_the_python_is_the_one_that_is_said_or_rays_own(submit, cluster, monkeypatch, told, options, python):
    monkeypatch.setattr(dashboard, "python_of_ray", lambda address: told)
    assert submit("sweep", "one.yaml", options=("--address", URL, *options)).exit_code == 0
    assert shlex.split(cluster.staged[0][0]) == [python, "-m", "sweeps.cli", "sweep", "one.yaml"]


def test_a_shipped_configuration_needs_no_file_here(submit, cluster):
    assert submit("sweep", "glyphs").exit_code == 0
    ((entrypoint, files, _),) = cluster.staged
    assert entrypoint.endswith(" -m sweeps.cli sweep glyphs")
    assert files == ["one.yaml"]


def test_its_help_shows_both_ways():
    said = CliRunner().invoke(cli.app, ["submit", "--help"], env={"COLUMNS": "200"}).stdout
    assert "--to slurm --nodes 4 --gpus-per-node 8 --time 12:00:00 -- sweep" in " ".join(said.split())
