"""What is submitted, followed and said, with a cluster in memory."""

import json
import shlex
from pathlib import Path

import pytest
from ray.job_submission import JobStatus

from sweeps import submit as jobs
from tests.sweeps.jobs.job_server import URL, Cluster


def first_attempt(submit, cluster):
    """The id of a job that has just been submitted."""
    assert submit("sweep", "one.yaml").exit_code == 0
    (job,) = cluster.jobs
    return job.submission_id


def test_a_job_is_submitted_and_followed_to_its_end(submit, cluster):
    result = submit("sweep", "./one.yaml", "--set", "search.first={no prompts: {alpha: 0}}")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    (job,) = cluster.jobs
    assert job.submission_id.startswith("fpt-sweep-glyphs-")
    assert len(job.submission_id.rpartition("-")[2]) == 8
    ((entrypoint, files, runtime_env),) = cluster.staged
    command = ["python", "-m", "sweeps.cli", "sweep", "one.yaml", "--set", "search.first={no prompts: {alpha: 0}}"]
    assert shlex.split(entrypoint) == command
    assert (files, runtime_env) == (["one.yaml"], {"working_dir"})


def test_a_cluster_that_is_still_starting_is_waited_for(submit, cluster):
    cluster.starting = 3
    result = submit("sweep", "one.yaml")
    assert (result.exit_code, len(cluster.staged)) == (0, 1)
    assert result.stderr.count("the cluster is still starting; trying again") == 1
    cluster.starting, cluster.jobs = 10**6, []
    result = submit("sweep", "one.yaml")
    assert (result.exit_code, len(cluster.jobs)) == (1, 0)
    assert "No available agent" in result.stderr


def test_an_absolute_path_becomes_one_that_the_cluster_has(submit, cluster):
    assert submit("run", str(Path("one.yaml").resolve())).exit_code == 0
    assert cluster.staged[0][0] == "python -m sweeps.cli run one.yaml"


def test_the_id_is_that_of_the_work(submit, cluster):
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
        assert submit(*arguments).exit_code == 0
    names = [job.submission_id for job in cluster.jobs]
    assert len(set(names)) == len(names) == 1 + len(others)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)


def test_a_job_that_goes_on_is_followed_and_not_started_again(submit, cluster):
    name = first_attempt(submit, cluster)
    for status in (JobStatus.PENDING, JobStatus.RUNNING):
        cluster.jobs[0].status = status
        result = submit("sweep", "one.yaml")
        assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
        assert f"{name} is {status.value} already" in result.stderr
    assert len(cluster.jobs) == len(cluster.staged) == 1


def test_a_job_that_has_succeeded_is_shown_and_not_started_again(submit, cluster):
    name = first_attempt(submit, cluster)
    result = submit("sweep", "one.yaml")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    assert f"{name} has SUCCEEDED" in result.stderr
    assert len(cluster.jobs) == len(cluster.staged) == 1


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED])
def test_a_job_that_failed_has_a_next_attempt(submit, cluster, status):
    name = first_attempt(submit, cluster)
    for attempt in range(2, 12):
        cluster.jobs[-1].status = status
        result = submit("sweep", "one.yaml")
        assert result.exit_code == 0
        assert f"is {status.value}: attempt {attempt} goes on from the ledger" in result.stderr
    assert [job.submission_id for job in cluster.jobs] == [name, *(f"{name}-{attempt}" for attempt in range(2, 12))]


def test_restart_stops_what_runs_and_submits_the_next_attempt(submit, cluster):
    name = first_attempt(submit, cluster)
    cluster.jobs[0].status = JobStatus.RUNNING
    assert submit("sweep", "one.yaml", options=("--address", URL, "--restart")).exit_code == 0
    assert cluster.stopped == [name]
    assert [job.submission_id for job in cluster.jobs] == [name, f"{name}-2"]
    # Its head died: nothing is there that could be stopped, and it is shown as running for ever.
    cluster.jobs[1].status, cluster.stops = JobStatus.RUNNING, None
    assert submit("sweep", "one.yaml", options=("--address", URL, "--restart")).exit_code == 0
    assert [job.submission_id for job in cluster.jobs] == [name, f"{name}-2", f"{name}-3"]
    # What does not stop must not get company.
    cluster.jobs[2].status, cluster.stops = JobStatus.RUNNING, False
    result = submit("sweep", "one.yaml", options=("--address", URL, "--restart"))
    assert result.exit_code == 1
    assert f"{name}-3 does not stop" in result.stderr
    assert len(cluster.jobs) == 3


def test_who_comes_second_follows_the_first(submit, cluster):
    cluster.beaten_by = JobStatus.RUNNING
    result = submit("sweep", "one.yaml")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    assert "has just been submitted by another" in result.stderr
    assert (len(cluster.jobs), cluster.staged) == (1, [])


@pytest.mark.parametrize("ends", [JobStatus.FAILED, JobStatus.STOPPED])
def test_a_job_that_fails_is_said_to(submit, cluster, ends):
    cluster.ends = ends
    result = submit("sweep", "one.yaml", options=("--address", URL, "--json"))
    assert result.exit_code == 1
    name = cluster.jobs[0].submission_id
    *log, last = result.stdout.splitlines()
    assert log == ["one", "two"]
    assert json.loads(last) == {"submission_id": name, "status": ends.value, "address": URL}
    assert f"{name} ended as {ends.value}: Job {ends}; the same command goes on where it stopped" in result.stderr
    assert "last lines" not in result.stderr


def test_a_log_that_breaks_off_is_taken_up_where_it_broke_off(submit, cluster):
    cluster.log = ["one\n", "two ", None, "and a half\n", None, "three\n"]
    cluster.lost = 0
    result = submit("sweep", "one.yaml")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo and a half\nthree\n")
    assert "lost the cluster" in result.stderr


def test_a_cluster_that_is_lost_for_long_is_given_up(submit, cluster, monkeypatch):
    monkeypatch.setattr(jobs, "TRIES", 3)

    def losing(submission_id):
        cluster.lost = 1000
        return Cluster.tail_job_logs(cluster, submission_id)

    cluster.tail_job_logs = losing
    result = submit("sweep", "one.yaml")
    assert (result.exit_code, result.stdout) == (1, "one\ntwo\n")
    assert "the cluster does not answer any more" in result.stderr


def test_a_cluster_that_knows_the_job_no_more_is_left(submit, cluster):
    async def forgetting(submission_id):
        yield "one\n"
        cluster.jobs.clear()

    cluster.tail_job_logs = forgetting
    result = submit("sweep", "one.yaml")
    assert result.exit_code == 1
    assert "any more; the same command submits it again" in result.stderr


def test_an_interrupt_leaves_the_job_running(submit, cluster):
    async def interrupted(submission_id):
        yield "one\n"
        raise KeyboardInterrupt

    cluster.tail_job_logs = interrupted
    result = submit("sweep", "one.yaml")
    (job,) = cluster.jobs
    assert (result.exit_code, result.stdout, job.status) == (1, "one\n", JobStatus.PENDING)
    assert f"{job.submission_id} goes on without you; the same command follows it" in result.stderr
    assert f"ray job stop {job.submission_id} --address {URL}" in result.stderr


def test_detached_the_id_is_all_that_is_printed(submit, cluster):
    result = submit("sweep", "one.yaml", options=("--address", URL, "--detach"))
    (job,) = cluster.jobs
    assert (result.exit_code, result.stdout, job.status) == (0, f"{job.submission_id}\n", JobStatus.PENDING)
    assert "the same command follows it" in result.stderr
    result = submit("sweep", "one.yaml", options=("--address", URL, "--detach", "--json"))
    assert json.loads(result.stdout) == {"submission_id": job.submission_id, "status": "PENDING", "address": URL}


def test_a_rehearsal_lists_what_would_travel_and_sends_nothing(submit, cluster):
    Path(".env").write_text("TOKEN=x")
    Path("code.py").write_text("pass")
    result = submit("sweep", "one.yaml", options=("--dry-run",))
    assert (result.exit_code, cluster.staged, cluster.jobs) == (0, [], [])
    *files, last = result.stdout.splitlines()
    assert [line.split()[1] for line in files] == ["code.py", "one.yaml"]
    assert last.split(maxsplit=1)[1] == "bytes in 2 files would travel; nothing was sent"
    assert result.stderr == "fpt: stays here, as their names begin with a dot: .env\n"
    told = json.loads(submit("sweep", "one.yaml", options=("--dry-run", "--json")).stdout)
    assert set(told["files"]) == {"code.py", "one.yaml"}
    assert told["bytes"] == sum(told["files"].values())
    assert told["left_out"] == {"their names begin with a dot": [".env"]}


def test_images_and_weights_that_a_configuration_names_travel(submit, cluster):
    for name in ("photos/a/1.png", "own.pth", "others/2.png"):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).write_text("x")
    sets = ("--set=dataset.source=folder", "--set=dataset.path=photos", "--set=backbone.weights=own.pth")
    assert submit("run", "one.yaml", *sets).exit_code == 0
    assert cluster.staged[0][1] == ["one.yaml", "own.pth", "photos/a/1.png"]


def test_pictures_that_the_winner_is_fitted_to_travel(submit, cluster):
    Path("few/a").mkdir(parents=True)
    Path("few/a/3.png").write_text("x")
    assert submit("run", "one.yaml", "--set=fit.support=few").exit_code == 0
    assert cluster.staged[0][1] == ["few/a/3.png", "one.yaml"]


def test_weights_of_backbones_that_a_search_may_choose_travel(submit, cluster):
    Path("mine.pth").write_text("x")
    sets = ("--set=backbones={mine: {weights: mine.pth}}", "--set=search.space.backbone={choices: [vit_x, mine]}")
    assert submit("sweep", "one.yaml", *sets).exit_code == 0
    assert cluster.staged[0][1] == ["mine.pth", "one.yaml"]


@pytest.mark.parametrize(
    "secret",
    [
        "dataset.path=s3://KEY:hunter2@bucket/x",
        "tracking_uri=https://hunter2@host",
        "tracking_uri=postgresql://u@h/db?password=hunter2",
        "dataset.path=s3://bucket/x?token=hunter2",
        "home=s3://bucket/x?X-Amz-Signature=hunter2",
    ],
)
def test_no_secret_of_any_kind_is_submitted(submit, cluster, secret):
    result = submit("sweep", "one.yaml", f"--set={secret}", "--set=dataset.source=packed")
    assert (result.exit_code, cluster.staged) == (2, [])
    assert "must hold no password, token or key" in result.stderr
    assert "hunter2" not in result.output
