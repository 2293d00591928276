"""What is submitted, refused, followed and said, with a cluster in memory."""

import json
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.job_submission import JobStatus
from typer.testing import CliRunner

from sweeps import cli, dashboard
from sweeps import submit as jobs
from tests.sweeps.tiny import CONFIG

URL = "http://127.0.0.1:8265"


class Cluster:
    """A job server in memory. `log` comes in the given chunks; a chunk None is where the stream breaks off, once."""

    def __init__(self, log=("one\n", "two\n"), ends=JobStatus.SUCCEEDED, stops=True):
        self.jobs, self.staged, self.log, self.ends, self.stops = [], [], list(log), ends, stops
        self.stopped, self.beaten_by, self.lost, self.starting = [], None, 0, 0

    def add(self, submission_id, status, message=None):
        self.jobs.append(SimpleNamespace(submission_id=submission_id, status=status, message=message))

    def list_jobs(self):
        if self.lost:
            self.lost -= 1
            raise ConnectionError("gone")
        return [SimpleNamespace(submission_id=None, status=JobStatus.RUNNING, message=None), *self.jobs]

    def submit_job(self, entrypoint, submission_id, runtime_env):
        if self.starting:
            self.starting -= 1
            raise RuntimeError(
                "Request failed with status code 500: No available agent to submit job, please try again"
            )
        if self.beaten_by:
            self.add(submission_id, self.beaten_by)
        if any(job.submission_id == submission_id for job in self.jobs):
            raise RuntimeError("Request failed with status code 500: already exists")
        folder = Path(runtime_env["working_dir"])
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        self.staged.append((entrypoint, files, set(runtime_env)))
        self.add(submission_id, JobStatus.PENDING)

    def stop_job(self, submission_id):
        self.stopped.append(submission_id)
        if self.stops:
            self._job(submission_id).status = JobStatus.STOPPED
        return self.stops is not None

    def get_job_logs(self, submission_id):
        return "".join(chunk for chunk in self.log if chunk)

    async def tail_job_logs(self, submission_id):
        for i, chunk in enumerate(self.log):
            if chunk is None:
                del self.log[i]
                raise RuntimeError("WebSocket connection closed unexpectedly")
            yield chunk
        job = self._job(submission_id)
        if not job.status.is_terminal():
            job.status, job.message = self.ends, f"Job {self.ends}\nlast lines"

    def _job(self, submission_id):
        return next(job for job in self.jobs if job.submission_id == submission_id)


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def fpt(here, cluster, monkeypatch):
    """Types `fpt submit` in a folder that holds a configuration, for a cluster in memory."""
    for name in (*dashboard.ADDRESSES, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "FPT_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(here.parent))
    monkeypatch.setattr(dashboard, "connect", lambda address: cluster)
    monkeypatch.setattr(jobs, "PAUSE", 0.0)
    shutil.copy(CONFIG, here / "one.yaml")

    def typed(*arguments, options=("--address", URL)):
        return CliRunner().invoke(cli.app, ["submit", *options, "--", *arguments])

    return typed


def first_attempt(fpt, cluster):
    """The id of a job that has just been submitted."""
    assert fpt("sweep", "one.yaml").exit_code == 0
    (job,) = cluster.jobs
    return job.submission_id


def test_a_job_is_submitted_and_followed_to_its_end(fpt, cluster):
    result = fpt("sweep", "./one.yaml", "--set", "search.first={no prompts: {alpha: 0}}")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    (job,) = cluster.jobs
    assert job.submission_id.startswith("fpt-sweep-glyphs-")
    assert len(job.submission_id.rpartition("-")[2]) == 8
    ((entrypoint, files, runtime_env),) = cluster.staged
    command = ["python", "-m", "sweeps.cli", "sweep", "one.yaml", "--set", "search.first={no prompts: {alpha: 0}}"]
    assert shlex.split(entrypoint) == command
    assert (files, runtime_env) == (["one.yaml"], {"working_dir"})


def test_a_cluster_that_is_still_starting_is_waited_for(fpt, cluster):
    cluster.starting = 3
    result = fpt("sweep", "one.yaml")
    assert (result.exit_code, len(cluster.staged)) == (0, 1)
    assert result.stderr.count("the cluster is still starting; trying again") == 1
    cluster.starting, cluster.jobs = 10**6, []
    result = fpt("sweep", "one.yaml")
    assert (result.exit_code, len(cluster.jobs)) == (1, 0)
    assert "No available agent" in result.stderr


def test_an_absolute_path_becomes_one_that_the_cluster_has(fpt, cluster):
    assert fpt("run", str(Path("one.yaml").resolve())).exit_code == 0
    assert cluster.staged[0][0] == "python -m sweeps.cli run one.yaml"


def test_the_id_is_that_of_the_work(fpt, cluster):
    alike = [
        ("sweep", "one.yaml", "--set", "search.trials=3", "--set", "episodes.way=5"),
        ("sweep", "./one.yaml", "--set=episodes.way=5", "--set=search.trials=3", "--json"),
    ]
    others = [
        ("sweep", "one.yaml"),
        ("run", "one.yaml"),
        ("run", "one.yaml", "--set=name=a name/of two"),
        ("run", "one.yaml", "--set=home=/nfs/fpt"),
        ("bench", "one.yaml", "--stack=1"),
        ("bench", "one.yaml", "--stack=2"),
    ]
    for arguments in [*alike, *others]:
        assert fpt(*arguments).exit_code == 0
    names = [job.submission_id for job in cluster.jobs]
    assert len(set(names)) == len(names) == 1 + len(others)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)


def test_a_job_that_goes_on_is_followed_and_not_started_again(fpt, cluster):
    name = first_attempt(fpt, cluster)
    for status in (JobStatus.PENDING, JobStatus.RUNNING):
        cluster.jobs[0].status = status
        result = fpt("sweep", "one.yaml")
        assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
        assert f"{name} is {status.value} already" in result.stderr
    assert len(cluster.jobs) == len(cluster.staged) == 1


def test_a_job_that_has_succeeded_is_shown_and_not_started_again(fpt, cluster):
    name = first_attempt(fpt, cluster)
    result = fpt("sweep", "one.yaml")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    assert f"{name} has SUCCEEDED" in result.stderr
    assert len(cluster.jobs) == len(cluster.staged) == 1


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED])
def test_a_job_that_failed_has_a_next_attempt(fpt, cluster, status):
    name = first_attempt(fpt, cluster)
    for attempt in range(2, 12):
        cluster.jobs[-1].status = status
        result = fpt("sweep", "one.yaml")
        assert result.exit_code == 0
        assert f"is {status.value}: attempt {attempt} goes on from the ledger" in result.stderr
    assert [job.submission_id for job in cluster.jobs] == [name, *(f"{name}-{attempt}" for attempt in range(2, 12))]


def test_restart_stops_what_runs_and_submits_the_next_attempt(fpt, cluster):
    name = first_attempt(fpt, cluster)
    cluster.jobs[0].status = JobStatus.RUNNING
    assert fpt("sweep", "one.yaml", options=("--address", URL, "--restart")).exit_code == 0
    assert cluster.stopped == [name]
    assert [job.submission_id for job in cluster.jobs] == [name, f"{name}-2"]
    # Its head died: nothing is there that could be stopped, and it is shown as running for ever.
    cluster.jobs[1].status, cluster.stops = JobStatus.RUNNING, None
    assert fpt("sweep", "one.yaml", options=("--address", URL, "--restart")).exit_code == 0
    assert [job.submission_id for job in cluster.jobs] == [name, f"{name}-2", f"{name}-3"]
    # What does not stop must not get company.
    cluster.jobs[2].status, cluster.stops = JobStatus.RUNNING, False
    result = fpt("sweep", "one.yaml", options=("--address", URL, "--restart"))
    assert result.exit_code == 1
    assert f"{name}-3 does not stop" in result.stderr
    assert len(cluster.jobs) == 3


def test_who_comes_second_follows_the_first(fpt, cluster):
    cluster.beaten_by = JobStatus.RUNNING
    result = fpt("sweep", "one.yaml")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    assert "has just been submitted by another" in result.stderr
    assert (len(cluster.jobs), cluster.staged) == (1, [])


@pytest.mark.parametrize("ends", [JobStatus.FAILED, JobStatus.STOPPED])
def test_a_job_that_fails_is_said_to(fpt, cluster, ends):
    cluster.ends = ends
    result = fpt("sweep", "one.yaml", options=("--address", URL, "--json"))
    assert result.exit_code == 1
    name = cluster.jobs[0].submission_id
    *log, last = result.stdout.splitlines()
    assert log == ["one", "two"]
    assert json.loads(last) == {"submission_id": name, "status": ends.value, "address": URL}
    assert f"{name} ended as {ends.value}: Job {ends}; the same command goes on where it stopped" in result.stderr
    assert "last lines" not in result.stderr


def test_a_log_that_breaks_off_is_taken_up_where_it_broke_off(fpt, cluster):
    cluster.log = ["one\n", "two ", None, "and a half\n", None, "three\n"]
    cluster.lost = 0
    result = fpt("sweep", "one.yaml")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo and a half\nthree\n")
    assert "lost the cluster" in result.stderr


def test_a_cluster_that_is_lost_for_long_is_given_up(fpt, cluster, monkeypatch):
    monkeypatch.setattr(jobs, "TRIES", 3)

    def losing(submission_id):
        cluster.lost = 1000
        return Cluster.tail_job_logs(cluster, submission_id)

    cluster.tail_job_logs = losing
    result = fpt("sweep", "one.yaml")
    assert (result.exit_code, result.stdout) == (1, "one\ntwo\n")
    assert "the cluster does not answer any more" in result.stderr


def test_a_cluster_that_knows_the_job_no_more_is_left(fpt, cluster):
    async def forgetting(submission_id):
        yield "one\n"
        cluster.jobs.clear()

    cluster.tail_job_logs = forgetting
    result = fpt("sweep", "one.yaml")
    assert result.exit_code == 1
    assert "any more; the same command submits it again" in result.stderr


def test_an_interrupt_leaves_the_job_running(fpt, cluster):
    async def interrupted(submission_id):
        yield "one\n"
        raise KeyboardInterrupt

    cluster.tail_job_logs = interrupted
    result = fpt("sweep", "one.yaml")
    (job,) = cluster.jobs
    assert (result.exit_code, result.stdout, job.status) == (1, "one\n", JobStatus.PENDING)
    assert f"{job.submission_id} goes on without you; the same command follows it" in result.stderr
    assert f"ray job stop {job.submission_id} --address {URL}" in result.stderr


def test_detached_the_id_is_all_that_is_printed(fpt, cluster):
    result = fpt("sweep", "one.yaml", options=("--address", URL, "--detach"))
    (job,) = cluster.jobs
    assert (result.exit_code, result.stdout, job.status) == (0, f"{job.submission_id}\n", JobStatus.PENDING)
    assert "the same command follows it" in result.stderr
    result = fpt("sweep", "one.yaml", options=("--address", URL, "--detach", "--json"))
    assert json.loads(result.stdout) == {"submission_id": job.submission_id, "status": "PENDING", "address": URL}


BAD = {
    "a command for this machine": (("ui", "one.yaml"), "COMMAND must be one of run, sweep, table, bench"),
    "itself": (("submit", "one.yaml"), "COMMAND must be one of run, sweep, table, bench"),
    "no command": (("swep", "one.yaml"), "COMMAND must be one of run, sweep, table, bench"),
    "no configuration": (("sweep",), "CONFIG must be given but is missing; fpt sweep --help"),
    "an unknown option": (("sweep", "one.yaml", "--trials=3"), "--trials is no option of fpt sweep"),
    "an address inside": (("sweep", "one.yaml", "--address=auto"), "--address must come before the command"),
    "a missing file": (("sweep", "two.yaml"), "CONFIG must be a YAML file but 'two.yaml' is none"),
    "an unknown field": (("sweep", "one.yaml", "--set=prompts.alpa=1"), "prompts.alpa is not a field"),
    "a value": (("sweep", "one.yaml", "--set", "prompts.tau=0"), "prompts.tau must be greater than 0 but got 0"),
    "a home that only this folder has": (("sweep", "one.yaml", "--set=home=runs"), "home must be what every node"),
    "another folder": (("sweep", str(CONFIG)), "CONFIG must lie in the current folder"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_and_nothing_is_sent(fpt, cluster, arguments, sentence):
    result = fpt(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"fpt: {sentence}")
    assert (cluster.jobs, cluster.staged) == ([], [])


@pytest.mark.parametrize(
    "argument",
    [
        "tracking_uri=postgresql://me:hunter2@host/db",
        "search.trials=https://me:hunter2/@host",
        "nothing=s3+x://:hunter2@host",
        'tracking_uri="http://me:hunter2\\x40host"',
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_a_password_is_refused_and_not_repeated(fpt, cluster, argument, joined):
    result = fpt("sweep", "one.yaml", *([f"--set={argument}"] if joined else ["--set", argument]))
    assert (result.exit_code, cluster.staged) == (2, [])
    assert "must hold no password" in result.stderr
    assert "MLFLOW_TRACKING_URI" in result.stderr
    assert "hunter2" not in result.output


def test_a_password_in_the_file_is_refused_even_where_it_is_overridden(fpt, cluster):
    with Path("one.yaml").open("a") as file:
        file.write("tracking_uri: mysql://me:hunter2@host/db\n")
    result = fpt("sweep", "one.yaml", "--set=tracking_uri=http://host:5000")
    assert (result.exit_code, cluster.staged) == (2, [])
    assert result.stderr.startswith("fpt: CONFIG must hold no password")
    assert "hunter2" not in result.output


def test_addresses_without_a_password_are_taken(fpt, cluster):
    assert fpt("sweep", "one.yaml", "--set=tracking_uri=http://host:5000/path").exit_code == 0
    assert len(cluster.staged) == 1


@pytest.mark.parametrize("given", ["auto", "ray://host:10001", "127.0.0.1:8265", "http://", "http://me:hunter2@host"])
def test_an_address_is_a_url(fpt, cluster, given):
    result = fpt("sweep", "one.yaml", options=("--address", given))
    assert (result.exit_code, result.stdout, cluster.staged) == (2, "", [])
    assert result.stderr.startswith("fpt: address must be the URL of a Ray dashboard, e.g. http://127.0.0.1:8265,")
    assert "hunter2" not in result.output
