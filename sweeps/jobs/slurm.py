"""A command as a job of Slurm's: submitted once, found again by its name, its log followed."""

import getpass
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.folder import Home
from pipeline.storage.locking import waited_for
from pipeline.storage.mounts import is_on_network, kind_of_disk
from sweeps.jobs.command import GO_ON, Command, Say
from sweeps.jobs.patience import patiently
from sweeps.jobs.slurm_script import Allocation, script_of

PAUSE = 2.0  # seconds between two looks at a job
LOG_SECONDS = 10.0  # after its end that the log of a job may take to be seen here
STOP_TRIES = 60
GONE = 2  # looks that do not find a job that has left the queue: one that goes into it again is out of it for a moment


@dataclass(frozen=True)
class SlurmJob:
    """A job is known to Slurm by `name` and number (`job`). It leaves its log and its status in `logs`."""

    name: str
    job: int
    logs: Path

    @property
    def log(self) -> Path:
        return self.logs / f"{self.name}-{self.job}.log"

    @property
    def status(self) -> int | None:
        """Returns the status that the job has ended with, None where it has not, or could not say so any more."""
        ended = self.logs / f"{self.name}-ended-{self.job}"
        said = ended.read_text().strip() if ended.is_file() else ""
        return int(said) if said.isdigit() else None

    @property
    def state(self) -> str | None:
        """Returns Slurm's word for how the job is, None once it has left the queue."""
        return _queued(self.name).get(self.job)


def as_slurm_job(
    command: Command,
    allocation: Allocation,
    python: str | None,
    print_only: bool,
    say: Say,
    follow: bool,
    restart: bool,
    as_json: bool,
    pause: float = PAUSE,
) -> int:
    """Prints the script of a command's job, or submits it, or finds the job that there is, and follows it. Returns the
    exit status. Raises ValueError for what Slurm refuses, and where there is no Slurm.
    """
    folder = Path.cwd()
    name, logs = command.id_in(folder), _logs_of(command)
    script = script_of(command, allocation, name, folder, logs, python or sys.executable)
    if print_only:
        print(script, end="")
        return 0
    if said := shared_database(command):
        say(f"fpt: {said}")
    logs.mkdir(parents=True, exist_ok=True)
    with waited_for(logs / f"{name}.lock"):
        job, ended = _submit_or_find(name, logs, script, say, restart, pause)
    how = f"job {job.job} goes on without you; the same command follows it; to stop it: scancel {job.job}"
    if follow or ended:
        try:
            _follow(job, say, pause)
        except KeyboardInterrupt:
            say(f"fpt: {how}")
            return 1
        ended = True
    else:
        say(f"fpt: {how}")
    status = job.status if ended else None
    if ended and status != 0:
        why = "without a word: cancelled, out of memory, or its node was lost" if status is None else f"with {status}"
        say(f"fpt: job {job.job} ended {why}; {GO_ON}")
    if as_json:
        told = {"submission_id": name, "job": job.job, "status": status, "ended": ended, "log": str(job.log)}
        print(json.dumps(told), flush=True)
    elif not follow:
        print(job.job, flush=True)
    return 1 if ended and status != 0 else 0


def _logs_of(command: Command) -> Path:
    """Returns the folder for scripts and logs: in the home, or where that is in a bucket in the current folder."""
    home = Home(command.wanted.home)
    return (home.here or Path.cwd() / "runs") / "slurm"


def shared_database(command: Command) -> str | None:
    """Returns what is to be said of MLflow's database where that would be SQLite on a disk that machines share; None
    where it would not.
    """
    home = Home(command.wanted.home)
    elsewhere = command.wanted.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if elsewhere or home.here is None or not is_on_network(home.here):
        return None
    return (
        f"MLflow's database will be SQLite on a disk that machines share ({kind_of_disk(home.here)}), which is safe "
        "for one sweep at a time in this home; MLFLOW_TRACKING_URI names a server for several"
    )


def _submit_or_find(name: str, logs: Path, script: str, say: Say, restart: bool, pause: float) -> tuple[SlurmJob, bool]:
    """Returns the job that does a command's work, the last or a new one, and whether it has succeeded already."""
    queued = _queued(name)
    last = SlurmJob(name, max([*queued, *_numbers(name, logs)], default=0), logs)
    for _ in range(GONE - 1):
        if last.job and last.job not in queued and last.status != 0:
            time.sleep(pause)
            queued = _queued(name)
    if last.job in queued:
        if not restart:
            say(f"fpt: job {last.job} is {queued[last.job]} already")
            return last, False
        _cancel(last, say, pause)
    elif last.job and last.status == 0 and not restart:
        say(f"fpt: job {last.job} has succeeded; --restart runs it again")
        return last, True
    elif last.job:
        say(f"fpt: job {last.job} has ended: the next one goes on from the ledger")
    file = logs / f"{name}.sbatch"
    file.write_text(script)
    number = int(_slurm("sbatch", "--parsable", str(file)).partition(";")[0])
    say(f"fpt: submitted job {number}, {file}")
    return SlurmJob(name, number, logs), False


def _numbers(name: str, logs: Path) -> list[int]:
    """Returns the numbers of the jobs that have left a log."""
    pattern = re.compile(rf"{re.escape(name)}-(\d+)\.log")
    return [int(match[1]) for file in logs.glob(f"{name}-*.log") if (match := pattern.fullmatch(file.name))]


def _queued(name: str) -> dict[int, str]:
    """Returns Slurm's words for how the jobs of a name are that wait, run or are about to end, by their numbers."""
    told = _slurm("squeue", "--noheader", f"--name={name}", f"--user={getpass.getuser()}", "--format=%A %T")
    return {int(number): state for number, _, state in (line.partition(" ") for line in told.splitlines())}


def _cancel(job: SlurmJob, say: Say, pause: float) -> None:
    """Ends a job. Raises RuntimeError where it goes on: two would do the same work."""
    say(f"fpt: stopping job {job.job}")
    _slurm("scancel", str(job.job))
    for _ in range(STOP_TRIES):
        if job.state is None:
            return
        time.sleep(pause)
    raise RuntimeError(f"job {job.job} does not stop")


def _follow(job: SlurmJob, say: Say, pause: float) -> None:
    """Prints a job's log until the job has left the queue."""
    shown, missed, said = 0, 0, ""
    while missed < GONE:
        state = patiently(lambda: job.state, "Slurm", say, pause)
        shown = _show(job.log, shown)
        if state != said and state == "PENDING":
            say(f"fpt: job {job.job} waits in the queue")
        said, missed = state or said, 0 if state else missed + 1
        time.sleep(pause if missed < GONE else 0)
    for _ in range(int(LOG_SECONDS / max(pause, 0.1))):  # a disk that nodes share may show it late
        if job.log.is_file():
            break
        time.sleep(pause)
    _show(job.log, shown, to_the_end=True)


def _show(log: Path, shown: int, to_the_end: bool = False) -> int:
    """Prints the lines of a log that have not been shown, and returns how many bytes of it have been by now."""
    if not log.is_file():
        return shown
    with log.open("rb") as file:
        file.seek(shown)
        new = file.read()
    whole = new if to_the_end else new[: new.rfind(b"\n") + 1]
    print(whole.decode(errors="replace"), end="", flush=True)
    return shown + len(whole)


def _slurm(*command: str) -> str:
    """Returns what one of Slurm's programs prints. Raises ValueError, in its own words, for what it refuses."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise ValueError(
            f"--to slurm must be typed where Slurm is, on a login node, but there is no {command[0]} here; --print "
            "shows the script"
        ) from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise ValueError(f"Slurm refuses the job: {said.removeprefix(f'{command[0]}: ').removeprefix('error: ')}")
    return done.stdout
