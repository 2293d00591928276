"""A job of Slurm's, submitted, followed and found again; Slurm is played."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sweeps import cli
from sweeps.jobs import slurm
from tests.sweeps.jobs.programs import SLURM, first_on_path, played

WELL = [["RUNNING", "one\ntw", None], ["RUNNING", "o\n", None], [None, "three\n", 0]]


@pytest.fixture
def played_slurm(here, tmp_path, monkeypatch):
    """A folder of programs that play Slurm; its `plan` says what becomes of a job."""
    folder = tmp_path / "slurm"
    played(folder, ("sbatch", "squeue", "scancel"), SLURM)
    monkeypatch.setenv("PATH", first_on_path(folder))
    monkeypatch.setattr(slurm.as_slurm_job, "__defaults__", (0.0,))
    planned(folder, WELL)
    return folder


def planned(folder, steps):
    (folder / "plan").write_text(json.dumps({"steps": steps}))


def calls(folder, program):
    lines = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    return [call for call in map(json.loads, lines) if call[0] == program]


def typed(*options, sets=()):
    command = ["submit", "--to=slurm", "--time=30", *options, "--", "sweep", "glyphs"]
    return CliRunner().invoke(cli.app, [*command, *(f"--set={one}" for one in sets)])


def test_a_job_is_submitted_and_its_log_followed_to_its_end(here, played_slurm):
    result = typed("--json")
    assert result.exit_code == 0, result.output
    *log, last = result.stdout.splitlines()
    assert log == ["one", "two", "three"]
    told = json.loads(last)
    assert (told["job"], told["status"], told["ended"]) == (42, 0, True)
    assert Path(told["log"]).parent == here / "runs" / "slurm"
    ((_, parsable, script),) = calls(played_slurm, "sbatch")
    assert parsable == "--parsable"
    assert Path(script).read_text().startswith("#!/bin/bash\n")
    assert "job 42 waits in the queue" in result.stderr


def test_one_that_has_succeeded_is_shown_and_not_run_again_unless_that_is_said(played_slurm):
    typed()
    again = typed()
    assert (again.exit_code, again.stdout) == (0, "one\ntwo\nthree\n")
    assert "job 42 has succeeded; --restart runs it again" in again.stderr
    assert len(calls(played_slurm, "sbatch")) == 1
    assert typed("--restart").exit_code == 0
    assert len(calls(played_slurm, "sbatch")) == 2


def test_one_that_runs_is_followed_and_not_submitted_again(played_slurm):
    detached = typed("--detach")
    assert (detached.exit_code, detached.stdout) == (0, "42\n")
    assert "job 42 goes on without you; the same command follows it; to stop it: scancel 42" in detached.stderr
    followed = typed()
    assert (followed.exit_code, followed.stdout) == (0, "one\ntwo\nthree\n")
    assert "job 42 is PENDING already" in followed.stderr
    assert len(calls(played_slurm, "sbatch")) == 1


def test_another_configuration_or_folder_is_another_job(here, played_slurm, monkeypatch):
    assert typed("--detach").stdout == "42\n"
    assert typed("--detach", sets=["episodes.way=7"]).stdout == "43\n"
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    assert typed("--detach").stdout == "44\n"


@pytest.mark.parametrize(
    ("end", "said"),
    [([None, "no room\n", 1], "ended with 1"), ([None, "", None], "ended without a word: cancelled, out of memory")],
)
def test_one_that_failed_is_said_to_and_has_a_next_one(played_slurm, end, said):
    planned(played_slurm, [["RUNNING", "one\n", None], end])
    result = typed("--json")
    assert result.exit_code == 1
    assert f"job 42 {said}" in result.stderr
    assert "the same command goes on where it stopped" in result.stderr
    planned(played_slurm, WELL)
    result = typed()
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\nthree\n")
    assert "job 42 has ended: the next one goes on from the ledger" in result.stderr
    assert "submitted job 43" in result.stderr


def test_one_that_goes_into_the_queue_again_is_followed_on(played_slurm):
    steps = [["RUNNING", "one\n", None], ["PENDING", "again\n", 143], ["RUNNING", "two\n", None], WELL[-1]]
    planned(played_slurm, steps)
    result = typed()
    assert (result.exit_code, result.stdout) == (0, "one\nagain\ntwo\nthree\n")
    assert result.stderr.count("job 42 waits in the queue") == 2


def test_one_that_is_out_of_the_queue_for_a_moment_has_not_ended(played_slurm):
    steps = [["RUNNING", "one\n", None], ["", "again\n", 143], ["PENDING", "", None], ["RUNNING", "two\n", None]]
    planned(played_slurm, [*steps, WELL[-1]])
    result = typed()
    assert (result.exit_code, result.stdout) == (0, "one\nagain\ntwo\nthree\n")


def test_one_that_is_out_of_the_queue_for_a_moment_is_not_submitted_again(played_slurm):
    steps = [["RUNNING", "one\n", None], ["", "again\n", 143], ["PENDING", "", None], ["RUNNING", "two\n", None]]
    planned(played_slurm, [*steps, WELL[-1]])
    typed("--detach")
    for _ in range(2):
        assert "already" in typed("--detach").stderr
    found = typed()  # at its first look the job is in no queue
    assert (found.exit_code, found.stdout) == (0, "one\nagain\ntwo\nthree\n")
    assert "job 42 is PENDING already" in found.stderr
    assert len(calls(played_slurm, "sbatch")) == 1


def test_a_slurm_that_is_restarted_meanwhile_is_waited_for(played_slurm):
    (played_slurm / "plan").write_text(json.dumps({"steps": WELL, "away": 3}))
    result = typed()
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\nthree\n")
    assert result.stderr.count("Slurm does not answer; trying again") == 1


def test_restart_stops_what_runs_first(played_slurm):
    typed("--detach")
    assert typed("--detach", "--restart").stdout == "43\n"
    assert calls(played_slurm, "scancel") == [["scancel", "42"]]


def test_a_database_on_a_disk_that_machines_share_is_told_of(played_slurm, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "SQLite" not in typed("--detach").stderr
    monkeypatch.setattr(slurm, "is_on_network", lambda path: True)
    monkeypatch.setattr(slurm, "kind_of_disk", lambda path: "lustre")
    said = "MLflow's database will be SQLite on a disk that machines share (lustre), which is safe for one sweep"
    assert said in typed("--detach").stderr
    assert "SQLite" not in typed("--detach", sets=["tracking_uri=http://mlflow:5000"]).stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert "SQLite" not in typed("--detach").stderr


def test_what_slurm_refuses_is_said_in_its_words(here, played_slurm):
    (played_slurm / "plan").write_text(json.dumps({"refuses": "sbatch: error: invalid partition specified: x\n"}))
    result = typed("--partition=x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "fpt: Slurm refuses the job: invalid partition specified: x\n"


def test_where_there_is_no_slurm_the_way_on_is_said(here, monkeypatch):
    monkeypatch.setenv("PATH", str(here))
    result = typed()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "must be typed where Slurm is, on a login node, but there is no squeue here; --print shows" in result.stderr
    assert typed("--print").stdout.startswith("#!/bin/bash\n")
    assert os.listdir(here) == ["runs"]
