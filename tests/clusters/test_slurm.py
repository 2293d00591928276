"""Sweeps under a Slurm of this machine: to their end, side by side, out of time, cancelled, left and found again."""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.clusters.slurm import missing, slurm
from tests.sweeps.tiny import TINY
from tests.sweeps.whole import rows

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"needs Slurm: {missing()}"),
]


@pytest.fixture(scope="module")
def real():
    """Slurm with two nodes of two cores, and a folder for homes."""
    with tempfile.TemporaryDirectory(prefix="fpt-slurm-") as folder, slurm(Path(folder) / "slurm", nodes=2) as found:
        own = {name: value for name, value in found.items() if not name.startswith(("RAY_", "FPT_", "MLFLOW_"))}
        yield SimpleNamespace(folder=Path(folder), environment={**own, "PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="module")
def one(real):
    """A sweep that has run to its end on both nodes: what was printed, and its home."""
    status, out, err = ended(typed(real, "one", options=("--nodes=2", "--json")))
    assert status == 0, out + err
    return SimpleNamespace(out=out, err=err, home=real.folder / "one")


def typed(real, home, options=("--json",), time_limit="30"):
    """Types `fpt submit --to slurm` of a tiny sweep."""
    long = "final.episodes=400"  # or one has ended before Slurm looks at its time
    sets = [f"--set={override}" for override in (*TINY, long, f"home={real.folder / home}")]
    command = [sys.executable, "-m", "sweeps.cli", "submit", "--to=slurm", f"--time={time_limit}", "--cpus-per-node=1"]
    return subprocess.Popen(
        [*command, *options, "--", "sweep", "glyphs", *sets],
        cwd=ROOT,
        env=real.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate()
    return process.returncode, out, err


def job_of(out):
    return json.loads(out.splitlines()[-1])["job"]


def asked(real, *command):
    return subprocess.run(command, env=real.environment, capture_output=True, text=True, check=True).stdout


def described(real, job):
    """Returns what Slurm says of a job."""
    return dict(re.findall(r"(\w+)=(\S*)", asked(real, "scontrol", "show", "job", str(job))))


def until(condition, seconds=400):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.5)
    return found


def processes_of(job):
    """Returns the processes that a job has started, by what Slurm puts into their environment."""
    mark, found = f"SLURM_JOB_ID={job}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def open_ports_of(job):
    """Returns those of a job's twenty ports at which somebody listens."""
    first = 10_000 + job % 1000 * 20
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    listening = {int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == "0A"}
    return sorted(listening & set(range(first, first + 20)))


@pytest.mark.timeout(600)
def test_a_sweep_runs_to_its_end_on_two_nodes_and_is_found_again(real, one):
    assert "fpt: Ray has its 2 nodes" in one.out
    assert "Read it: " in one.out
    said = json.loads(one.out.splitlines()[-1])
    assert (said["status"], said["ended"]) == (0, True)
    assert (processes_of(said["job"]), open_ports_of(said["job"])) == ([], [])
    assert not list(Path("/tmp").glob(f"fpt-{said['job']}-*"))
    status, out, err = ended(typed(real, "one", options=("--nodes=2", "--json")))
    assert (status, out) == (0, one.out)
    assert f"job {said['job']} has succeeded; --restart runs it again" in err


@pytest.mark.timeout(900)
def test_two_jobs_share_a_node_and_one_is_left_and_found_again(real, one):
    on_one_node = ("--sbatch=--nodelist=n1", "--json")
    both = [typed(real, home, options=on_one_node) for home in ("left", "beside")]
    for line in both[0].stdout:
        if line.startswith("fpt: starting"):
            break
    both[0].send_signal(signal.SIGINT)
    status, _, err = ended(both[0])
    assert status == 1
    job = int(re.search(r"job (\d+) goes on without you; the same command follows it; to stop it: scancel \1", err)[1])
    both[0] = typed(real, "left", options=on_one_node)
    results = [ended(process) for process in both]
    for status, out, err in results:
        assert status == 0, out + err
    assert f"job {job} is RUNNING already" in results[0][2]
    assert job_of(results[0][1]) == job
    first, second = (described(real, job_of(out)) for _, out, _ in results)
    assert first["NodeList"] == second["NodeList"] == "n1"
    assert max(first["StartTime"], second["StartTime"]) < min(first["EndTime"], second["EndTime"])  # side by side
    assert rows(real.folder / "left") == rows(real.folder / "beside") == rows(one.home)


@pytest.mark.timeout(900)
def test_a_job_whose_time_is_over_goes_into_the_queue_again_and_ends_with_the_same_rows(real, one):
    status, out, err = ended(typed(real, "late", options=("--detach", "--json")))
    assert status == 0, err
    job = job_of(out)
    ledger = real.folder / "late" / "ledger" / "rows"
    until(lambda: list(ledger.glob("*.parquet")))
    spent = sum(int(part) * 60**i for i, part in enumerate(reversed(described(real, job)["RunTime"].split(":"))))
    asked(real, "scontrol", "update", f"JobId={job}", f"TimeLimit={spent // 60 + 2}")  # Slurm's notice is due
    until(lambda: described(real, job)["JobState"] == "PENDING")
    log = Path(json.loads(out.splitlines()[-1])["log"])
    assert f"job {job} goes into the queue again, and on from what is done" in log.read_text()
    assert "interrupted by SIGTERM; what was computed is kept" in log.read_text()
    before = {file.name for file in ledger.glob("*.parquet")}
    until(lambda: not processes_of(job))  # Slurm waits two minutes by itself, so that none of the first start is left
    asked(real, "scontrol", "update", f"JobId={job}", "TimeLimit=30", "StartTime=now")
    until(lambda: described(real, job)["JobState"] == "RUNNING")
    status, out, err = ended(typed(real, "late"))
    assert status == 0, out + err
    assert job_of(out) == job
    assert f"fpt: job {job}, start 2, on n1" in out
    assert before < {file.name for file in ledger.glob("*.parquet")}
    assert rows(real.folder / "late") == rows(one.home)


@pytest.mark.timeout(600)
def test_what_is_cancelled_leaves_no_process_and_no_port(real):
    following = typed(real, "cancelled", options=("--nodes=2", "--json"))
    for line in following.stdout:
        if line.startswith("fpt: ready"):
            break
    (name,) = {path.name for path in (real.folder / "cancelled" / "slurm").glob("*.log")}
    job = int(re.search(r"-(\d+)\.log", name)[1])
    assert len(processes_of(job)) > 5
    assert open_ports_of(job)
    asked(real, "scancel", str(job))
    status, out, err = ended(following)
    assert (status, job_of(out)) == (1, job)
    assert f"job {job} ended" in err
    until(lambda: not processes_of(job), seconds=60)
    assert open_ports_of(job) == []
    assert described(real, job)["JobState"] == "CANCELLED"


def test_what_slurm_refuses_is_one_sentence(real):
    status, out, err = ended(typed(real, "refused", options=("--partition=nowhere",)))
    assert (status, out) == (2, "")
    assert err.startswith("fpt: Slurm refuses the job: ")
    assert "partition" in err
    assert len(err.splitlines()) == 1
