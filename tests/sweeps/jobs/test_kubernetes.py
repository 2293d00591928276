"""A RayJob, applied, followed and found again; kubectl is played."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from sweeps import cli
from sweeps.jobs import kubernetes
from tests.sweeps.jobs.programs import KUBECTL, first_on_path, played

RUNS = [{"jobDeploymentStatus": "Initializing"}, {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}]
DONE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
FAILED = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": "exit\ncode 1", "reason": "AppFailed"}


@pytest.fixture
def cluster(here, tmp_path, monkeypatch):
    """A folder with a kubectl; its `plan` says what a RayJob goes through."""
    folder = tmp_path / "kubectl"
    played(folder, ("kubectl",), KUBECTL)
    monkeypatch.setenv("PATH", first_on_path(folder))
    monkeypatch.setattr(kubernetes.as_kubernetes_job, "__defaults__", (0.0,))
    planned(folder, [*RUNS, DONE])
    return folder


def planned(folder, steps, **more):
    (folder / "plan").write_text(json.dumps({"steps": steps, "log": ["one", "two"], **more}))


def calls(folder, verb):
    lines = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    return [call for call in map(json.loads, lines) if verb in call]


def typed(*options):
    machines = ("--image=i", "--claim=c", "--namespace=lab")
    return CliRunner().invoke(cli.app, ["submit", "--to=kuberay", *machines, *options, "--", "sweep", "glyphs"])


def test_a_job_is_applied_and_its_log_followed_to_its_end(cluster, capfd):
    result = typed("--json")
    assert result.exit_code == 0, result.output
    *log, last = result.stdout.splitlines()
    assert log == ["one", "two"]  # each line once, though it was asked for twice
    applied = list(yaml.safe_load_all((cluster / "applied.yaml").read_text()))
    assert [one["kind"] for one in applied] == ["ConfigMap", "RayJob"]
    assert json.loads(last) == {"submission_id": applied[1]["metadata"]["name"], "status": "SUCCEEDED"}
    assert all("--namespace=lab" in call for verb in ("get", "apply", "logs") for call in calls(cluster, verb))
    assert "Initializing" in result.stderr


def test_one_that_runs_or_has_succeeded_is_followed_and_not_applied_again(cluster):
    detached = typed("--detach")
    assert detached.exit_code == 0
    assert "goes on without you; the same command follows it; to stop it: kubectl --namespace=lab delete rayjob" in (
        detached.stderr
    )
    followed = typed()
    assert (followed.exit_code, followed.stdout) == (0, "one\ntwo\n")
    again = typed()
    assert (again.exit_code, again.stdout) == (0, "one\ntwo\n")
    assert "is SUCCEEDED; --restart runs it again" in again.stderr
    assert len(calls(cluster, "apply")) == 1


def test_one_that_failed_is_said_to_and_the_next_one_goes_on(cluster):
    planned(cluster, [*RUNS, FAILED])
    result = typed()
    assert result.exit_code == 1
    assert "ended as FAILED: exit code 1; the same command goes on where it stopped" in result.stderr
    planned(cluster, [*RUNS, DONE])
    result = typed()
    assert result.exit_code == 0
    assert "is FAILED: it is removed, and the next one goes on from the ledger" in result.stderr
    assert (len(calls(cluster, "delete")), len(calls(cluster, "apply"))) == (1, 2)


def test_restart_removes_what_is_there_first(cluster):
    typed("--detach")
    assert typed("--restart").exit_code == 0
    assert (len(calls(cluster, "delete")), len(calls(cluster, "apply"))) == (1, 2)


def test_one_that_is_gone_while_it_is_followed_is_said_to(cluster, monkeypatch):
    planned(cluster, RUNS)
    shown = kubernetes._Kubectl.show_log

    def removed(kubectl, name, lines):
        (cluster / "rayjob").unlink()
        return shown(kubectl, name, lines)

    monkeypatch.setattr(kubernetes._Kubectl, "show_log", removed)
    result = typed()
    assert result.exit_code == 1
    assert "is not there any more; the same command goes on where it stopped" in result.stderr


def test_what_kubernetes_refuses_is_said_in_its_words(cluster):
    planned(cluster, [], refuses='error: the server doesn\'t have a resource type "rayjob"\n')
    result = typed()
    assert (result.exit_code, result.stdout) == (2, "")
    said = 'fpt: Kubernetes refuses the job: error: the server doesn\'t have a resource type "rayjob"\n'
    assert result.stderr == said


def test_where_there_is_no_kubectl_the_way_on_is_said(here, monkeypatch):
    monkeypatch.setenv("PATH", str(here))
    result = typed()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--to kuberay must be typed where kubectl is, but it is not here; --print shows the RayJob" in result.stderr
