"""`fpt submit` runs a command as a job of a Ray cluster: one job for each configuration, however often it is typed."""

import asyncio
import json
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sweeps.jobs.command import GO_ON, Command, Say, named_by
from sweeps.jobs.dashboard import find_token
from sweeps.jobs.missing import what_is_missing
from sweeps.jobs.upload import MIB, Upload, stage, travelling
from sweeps.schema.lines import on_a_line
from sweeps.schema.shipped import is_shipped

SILENT_SECONDS = 60.0  # without a line of log, after which the server is asked how the job is
PAUSE, TRIES = 5.0, 60  # seconds between two tries to reach a server that is gone, and how many
STOP_TRIES = 12
MOST_TOLD = 10  # names of what stays here, for each reason
STARTING, START_TRIES = (
    "No available agent",
    24,
)  # what Ray answers until its first nodes are ready, and how often it may


def rehearse(command: Command, python: str | None, say: Say, as_json: bool) -> None:
    """Lists what would travel with a command, and what would stay here and why. Sends nothing."""
    upload = _upload_of(command)
    if as_json:
        files = {path.as_posix(): size for path, size in upload.files.items()}
        told = {"files": files, "bytes": upload.size, "left_out": upload.left_out}
        entrypoint = command.run_by(python or "python")
        print(json.dumps({"submission_id": command.submission_id, "entrypoint": entrypoint, **told}))
        return
    for line in upload.told(most=1000):
        say(f"fpt: {line}")
    for path, size in upload.files.items():
        print(f"{size:>12,}  {on_a_line(path.as_posix())}")
    print(f"{upload.size:>12,}  bytes in {len(upload.files)} files would travel; nothing was sent")


def submit(
    command: Command,
    address: str,
    client: Any,
    python: str,
    say: Say,
    follow: bool,
    restart: bool,
    as_json: bool,
    pause: float,
) -> int:
    """Starts a command's job, which `python` there runs, or finds the job that there is, and follows it. Returns the
    exit status.

    Raises ValueError where the folder cannot travel.
    """
    name, status = _start_or_find(command, client, python, say, restart, pause)
    mode = "RAY_AUTH_MODE=token " if find_token() else ""
    stop = f"{mode}ray job stop {name} --address {address}"
    how = f"{name} goes on without you; the same command follows it; to stop it: {stop}"
    if follow:
        try:
            job = _follow(client, name, say, pause)
        except KeyboardInterrupt:
            say(f"fpt: {how}")
            return 1
        status = job.status.value
        if status != "SUCCEEDED":
            missing = what_is_missing(job)
            why = (job.message or "").strip().partition("\n")[0].partition(", last available logs")[0]
            say(f"fpt: {name} ended as {status}: {missing or f'{why}; {GO_ON}'}")
    elif status != "SUCCEEDED":
        say(f"fpt: {how}")
    if as_json:
        print(json.dumps({"submission_id": name, "status": status, "address": address}), flush=True)
    elif not follow:
        print(name, flush=True)
    return 1 if follow and status != "SUCCEEDED" else 0


def _start_or_find(
    command: Command, client: Any, python: str, say: Say, restart: bool, pause: float
) -> tuple[str, str]:
    """Returns submission id and status of the job that does a command's work: the last attempt, or a new attempt."""
    known = _attempts(client, command.submission_id)
    last = max(known, default=0)
    if last:
        name, status = _attempt(command.submission_id, last), known[last].status.value
        if status == "SUCCEEDED" and not restart:
            say(f"fpt: {name} has SUCCEEDED; --restart runs it again")
            return name, status
        if status in ("PENDING", "RUNNING"):
            if not restart:
                say(f"fpt: {name} is {status} already; where its head node died, --restart starts the next attempt")
                return name, status
            _stop(client, command.submission_id, last, say, pause)
            status = "stopped"
        say(f"fpt: {name} is {status}: attempt {last + 1} goes on from the ledger")
    name = _attempt(command.submission_id, last + 1)
    folder = Path.cwd()
    upload = _upload_of(command)
    for line in upload.told(MOST_TOLD):
        say(f"fpt: {line}")
    say(f"fpt: submitting {name} with {len(upload.files)} files ({upload.size / MIB:.1f} MiB)")
    with TemporaryDirectory(prefix="fpt-submit-") as staged:
        stage(folder, upload.files, Path(staged))
        try:
            _submit(client, command.run_by(python), name, staged, say, pause)
        except RuntimeError:
            if last + 1 not in _attempts(client, command.submission_id):
                raise
            say(f"fpt: {name} has just been submitted by another")
    return name, "PENDING"


def _upload_of(command: Command) -> Upload:
    own = [] if is_shipped(command.config) else [command.config]
    return travelling(Path.cwd(), own, named_by(command.wanted))


def _submit(client: Any, entrypoint: str, name: str, folder: str, say: Say, pause: float) -> None:
    """Submits a job; tries again while a cluster that has just been started is not ready for any."""
    for tried in range(1, START_TRIES + 1):
        try:
            client.submit_job(entrypoint=entrypoint, submission_id=name, runtime_env={"working_dir": folder})
        except RuntimeError as error:
            if STARTING not in str(error) or tried == START_TRIES:
                raise
            if tried == 1:
                say("fpt: the cluster is still starting; trying again")
            time.sleep(pause)
        else:
            return


def _attempt(first: str, number: int) -> str:
    return first if number == 1 else f"{first}-{number}"


def _attempts(client: Any, first: str) -> dict[int, Any]:
    """Returns the attempts that the cluster knows, by number."""
    pattern = re.compile(rf"{re.escape(first)}(?:-(\d+))?")
    found = ((pattern.fullmatch(job.submission_id or ""), job) for job in client.list_jobs())
    return {int(match[1] or 1): job for match, job in found if match}


def _stop(client: Any, first: str, number: int, say: Say, pause: float) -> None:
    """Ends an attempt that is shown as running. Raises RuntimeError where it goes on: two would do the same work."""
    name = _attempt(first, number)
    if not client.stop_job(name):
        say(f"fpt: nothing runs {name} any more")
        return
    for _ in range(STOP_TRIES):
        if _attempts(client, first)[number].status.is_terminal():
            return
        time.sleep(pause)
    raise RuntimeError(f"{name} does not stop")


class _Shown:
    """An instance remembers how much of a log has been printed: a stream that is opened again
    begins at the beginning.
    """

    def __init__(self) -> None:
        self.characters = 0

    def show(self, text: str, position: int) -> None:
        """Prints what is new in a text that stands at a position of the log."""
        new = text[max(0, self.characters - position) :]
        print(new, end="", flush=True)
        self.characters += len(new)


def _follow(client: Any, name: str, say: Say, pause: float) -> Any:
    """Prints a job's log until the job ends, and returns the job. Raises RuntimeError where the cluster is lost."""
    import aiohttp

    shown, failures = _Shown(), 0
    while True:
        try:
            asyncio.run(_tail(client, name, shown))
            job = _job(client, name)
            ended = job is None or job.status.is_terminal()
            if job is not None and ended:
                shown.show(client.get_job_logs(name), 0)
        except (OSError, RuntimeError, aiohttp.ClientError) as error:
            failures += 1
            if failures == TRIES:
                raise RuntimeError(f"the cluster does not answer any more; {name} may go on there") from error
            if failures == 1:
                say("fpt: lost the cluster; trying to reach it again (Ctrl-C leaves the job running)")
        else:
            failures = 0
            if job is None:
                raise RuntimeError(f"the cluster knows no {name} any more; the same command submits it again")
            if ended:
                return job
        time.sleep(pause)


def _job(client: Any, name: str) -> Any:
    return next((job for job in client.list_jobs() if job.submission_id == name), None)


async def _tail(client: Any, name: str, shown: _Shown) -> None:
    """Prints a log as it grows, until the stream ends, or has been silent and the job has ended."""
    chunks, position = client.tail_job_logs(name), 0
    coming = asyncio.ensure_future(anext(chunks, None))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=SILENT_SECONDS)
            if not done:
                job = await asyncio.to_thread(_job, client, name)
                if job is None or job.status.is_terminal():
                    return
                continue
            chunk = coming.result()
            if chunk is None:
                return
            shown.show(chunk, position)
            position += len(chunk)
            coming = asyncio.ensure_future(anext(chunks, None))
    finally:
        coming.cancel()
