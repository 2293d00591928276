"""`fpt submit`, as it is typed, with a cluster of this machine that takes jobs only with its token."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from tests.pipeline.processes import descendants
from tests.sweeps.tiny import CONFIG, TINY

REPOSITORY = CONFIG.parents[2]
TOKEN = "a-token-of-the-tests-and-of-nothing-else"

pytestmark = pytest.mark.slow


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def plain_environment(home):
    """This process's environment without anything that leads to another cluster or token."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FPT_", "MLFLOW_"))}
    return {**own, "HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture(scope="module")
def real():
    """A cluster of this machine with a token: its URL, a folder for homes, and Ray's own client."""
    folder = Path(tempfile.mkdtemp(prefix="fpt-"))  # sockets lie below it, and their paths must be short
    (folder / "token").write_text(TOKEN)
    environment = {
        **plain_environment(folder),
        "PATH": "/usr/bin:/bin",  # no Python of ours: what Ray runs is known all the same
        "PYTHONPATH": os.environ.get("PYTHONPATH", str(REPOSITORY)),
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
    }
    dashboard = free_port()
    ports = {
        "port": free_port(),
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": free_port(),
        "ray-client-server-port": free_port(),
    }
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"),
                *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"),
                *(f"--{name}={port}" for name, port in ports.items()),
            ],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{dashboard}"
    try:
        yield SimpleNamespace(url=url, folder=folder, client=reached(url, head, folder / "head.log"))
    finally:
        own = descendants(head.pid)
        head.terminate()
        head.wait()
        for process in own:
            if Path(f"/proc/{process}").exists():
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def reached(url, head, log, tries=600):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(tries):
        assert head.poll() is None, log.read_text()
        try:
            client = JobSubmissionClient(url, headers=headers)
            client.list_jobs()
        except (ConnectionError, RuntimeError):
            time.sleep(0.2)
        else:
            return client
    raise AssertionError(f"{url} does not answer:\n{log.read_text()}")


def typed(real, home, *overrides, token=TOKEN, options=("--json",)):
    """Types `fpt submit`, with the settings of tiny.py and a token, in this repository."""
    sets = [f"--set={override}" for override in (*TINY, f"home={real.folder / home}", *overrides)]
    environment = plain_environment(real.folder)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "sweeps.cli", "submit", "--address", real.url, *options, "--"),
            *("sweep", str(CONFIG.relative_to(REPOSITORY)), *sets),
        ],
        cwd=REPOSITORY,
        env={**environment, **({"RAY_AUTH_TOKEN": token} if token else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate()
    assert TOKEN not in out + err
    return process.returncode, out, err


def attempts(real, name):
    known = real.client.list_jobs()
    return [job for job in known if (job.submission_id or "").startswith(name)]


def sweeps_in(home):
    """MLflow's runs of sweeps: their status."""
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        query = "select status from runs join tags using (run_uuid) where key = 'fpt.kind' and value = 'sweep'"
        return [status for (status,) in database.execute(query)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("token", [None, "another"])
def test_without_its_token_a_cluster_takes_nothing_and_it_is_said_how_to_get_it(real, token):
    known = len(real.client.list_jobs())
    status, out, err = ended(typed(real, "refused", token=token))
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "ray exec cluster.yaml 'ray get-auth-token'" in err
    assert "RAY_AUTH_TOKEN" in err
    assert "another" not in err.replace("is another", "")
    assert len(real.client.list_jobs()) == known


@pytest.mark.timeout(900)
def test_submitted_twice_at_once_it_is_one_job_and_one_sweep(real):
    both = [typed(real, "twice") for _ in range(2)]
    results = [ended(process) for process in both]
    said = []
    for status, out, err in results:
        assert status == 0, out + err
        *log, last = out.splitlines()
        assert any(line.startswith("Read it: ") for line in log)
        said.append(json.loads(last))
    assert said[0] == said[1]
    assert (said[0]["status"], said[0]["address"]) == ("SUCCEEDED", real.url)
    (job,) = attempts(real, said[0]["submission_id"])
    assert (job.status, set(job.runtime_env)) == (JobStatus.SUCCEEDED, {"working_dir"})
    assert TOKEN not in str(job)
    assert sweeps_in(real.folder / "twice") == ["FINISHED"]

    status, out, err = ended(typed(real, "twice"))
    assert status == 0, out + err
    assert "has SUCCEEDED" in err
    assert out.splitlines() == results[0][1].splitlines()
    assert len(attempts(real, said[0]["submission_id"])) == 1


@pytest.mark.timeout(900)
def test_interrupted_the_job_goes_on_and_the_same_command_follows_it(real):
    process = typed(real, "interrupted")
    for line in process.stdout:
        if line.startswith("fpt: starting"):
            break
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    assert status == 1
    assert "goes on without you; the same command follows it" in err

    status, out, err = ended(typed(real, "interrupted"))
    assert status == 0, out + err
    assert "is RUNNING already" in err
    *log, last = out.splitlines()
    assert [line for line in log if line.startswith("fpt: starting")] == ["fpt: starting (images, Ray, backbone)"]
    assert any(line.startswith("Read it: ") for line in log)
    said = json.loads(last)
    assert said["status"] == "SUCCEEDED"
    assert len(attempts(real, said["submission_id"])) == 1
    assert sweeps_in(real.folder / "interrupted") == ["FINISHED"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("folder", "said"),
    [("nowhere", "there is no {} on "), ("bare", "{} on ")],
)
def test_a_python_that_lacks_something_is_told_with_where_it_is(real, folder, said):
    python = real.folder / folder / "bin" / "python"
    if folder == "bare":
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", real.folder / folder], check=True)
    status, _, err = ended(typed(real, folder, options=("--json", "--python", str(python))))
    assert status == 1
    (line,) = (line for line in err.splitlines() if "ended as FAILED" in line)
    assert f"ended as FAILED: {said.format(python)}" in line
    assert "--python names another Python there" in line


@pytest.mark.timeout(600)
def test_a_job_that_fails_has_a_next_attempt(real):
    bad = "search.split=novel"  # well-formed, so that it is the job that refuses it
    for attempt in ("", "-2"):
        status, out, err = ended(typed(real, "failing", bad))
        assert status == 1
        *log, last = out.splitlines()
        assert any("search.split must differ from episodes.split" in line for line in log)
        said = json.loads(last)
        assert (said["status"], said["submission_id"].count("-")) == ("FAILED", 3 + len(attempt) // 2)
        assert f"{said['submission_id']} ended as FAILED: Job entrypoint command failed with exit code 2" in err
    assert said["submission_id"].endswith("-2")
    assert not (real.folder / "failing").exists()
