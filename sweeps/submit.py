"""`fpt submit` runs a command as a job of a Ray cluster: one job for each configuration, however often it is typed."""

import asyncio
import hashlib
import json
import re
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.storage.masking import has_secrets
from sweeps.jobs.dashboard import find_token
from sweeps.jobs.upload import MIB, stage, travelling
from sweeps.schema.lines import on_a_line
from sweeps.schema.loading import load
from sweeps.schema.sweep import Sweep

SILENT_SECONDS = 60.0  # without a line of log, after which the server is asked how the job is
PAUSE, TRIES = 5.0, 60  # seconds between two tries to reach a server that is gone, and how many
STOP_TRIES = 12
MOST_TOLD = 10  # names of what stays here, for each reason
STARTING, START_TRIES = (
    "No available agent",
    24,
)  # what Ray answers until its first nodes are ready, and how often it may

Say = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """A command is as the cluster will run it: `arguments` follow `name`, `config` is relative to the current folder.

    `options` are the arguments besides the configuration that change what is done.
    """

    name: str
    arguments: tuple[str, ...]
    config: Path
    wanted: Sweep
    options: Mapping[str, Any]

    @property
    def entrypoint(self) -> str:
        return shlex.join(["python", "-m", "sweeps.cli", self.name, *self.arguments])

    @property
    def submission_id(self) -> str:
        """Returns the id of the first attempt, which is the same for all commands that would do the same work."""
        left_out = {"home", "tracking_uri"} - self.wanted.model_fields_set  # the cluster's own
        described = [self.name, self.wanted.model_dump(mode="json", by_alias=True, exclude=left_out), self.options]
        digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:8]
        return f"fpt-{self.name}-{re.sub('[^A-Za-z0-9_.]+', '-', self.wanted.name)}-{digest}"


def remote_command(
    name: str, typed: list[str], config: Path, overrides: list[str], options: Mapping[str, Any]
) -> Command:
    """Checks a command that was typed as `name` and `typed`. Raises ValueError for what the cluster could not run."""
    for argument in typed:
        _refuse_password(argument, f"--set {argument.removeprefix('--set=').partition('=')[0]}")
    if config.is_file():
        _refuse_password(config.read_text(encoding="utf-8", errors="replace"), "CONFIG")
    wanted = load(config, overrides)
    _refuse_password(json.dumps(wanted.model_dump(), default=str), "CONFIG")
    if "home" in wanted.model_fields_set and "://" not in wanted.home and not Path(wanted.home).is_absolute():
        raise ValueError(
            f"home must be what every node reaches, a URI like s3://bucket/fpt or an absolute path, but got "
            f"{wanted.home!r}; leave it out where the cluster sets FPT_HOME"
        )
    place = config.parent.resolve() / config.name
    if not place.is_relative_to(Path.cwd()):
        raise ValueError(f"CONFIG must lie in the current folder, which is what travels, but got {str(config)!r}")
    relative = place.relative_to(Path.cwd())
    at = next(i for i, argument in enumerate(typed) if Path(argument) == config)
    arguments = (*typed[:at], relative.as_posix(), *typed[at + 1 :])
    return Command(name, arguments, relative, wanted, options)


def _refuse_password(text: str, where: str) -> None:
    if has_secrets(text):
        raise ValueError(
            f"{where} must hold no password, token or key, for the dashboard shows it to all who reach the cluster, "
            "but holds what looks like one; set it in the cluster's environment instead (MLFLOW_TRACKING_URI)"
        )


def named_by(wanted: Sweep) -> list[str]:
    """Returns the paths that a configuration names: of images and weights, those of a table too."""
    datasets: list[Mapping[str, Any]] = [wanted.dataset.model_dump()]
    backbones: list[Mapping[str, Any]] = [wanted.backbone.model_dump(), *wanted.backbones.values()]
    if wanted.table is not None:
        datasets += wanted.table.datasets.values()
        backbones += wanted.table.backbones.values()
    paths = [*(one.get("path") for one in datasets), *(one.get("weights") for one in backbones), wanted.fit.support]
    return [path for path in paths if isinstance(path, str)]


def rehearse(command: Command, say: Say, as_json: bool) -> None:
    """Lists what would travel with a command, and what would stay here and why. Sends nothing."""
    upload = travelling(Path.cwd(), command.config, named_by(command.wanted))
    if as_json:
        files = {path.as_posix(): size for path, size in upload.files.items()}
        told = {"files": files, "bytes": upload.size, "left_out": upload.left_out}
        print(json.dumps({"submission_id": command.submission_id, "entrypoint": command.entrypoint, **told}))
        return
    for line in upload.told(most=1000):
        say(f"fpt: {line}")
    for path, size in upload.files.items():
        print(f"{size:>12,}  {on_a_line(path.as_posix())}")
    print(f"{upload.size:>12,}  bytes in {len(upload.files)} files would travel; nothing was sent")


def submit(
    command: Command, address: str, client: Any, say: Say, follow: bool, restart: bool, as_json: bool, pause: float
) -> int:
    """Starts a command's job, or finds the job that there is, and follows it. Returns the exit status.

    Raises ValueError where the folder cannot travel.
    """
    name, status = _start_or_find(command, client, say, restart, pause)
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
            why = (job.message or "").strip().partition("\n")[0].partition(", last available logs")[0]
            say(f"fpt: {name} ended as {status}: {why}; the same command goes on where it stopped")
    elif status != "SUCCEEDED":
        say(f"fpt: {how}")
    if as_json:
        print(json.dumps({"submission_id": name, "status": status, "address": address}), flush=True)
    elif not follow:
        print(name, flush=True)
    return 1 if follow and status != "SUCCEEDED" else 0


def _start_or_find(command: Command, client: Any, say: Say, restart: bool, pause: float) -> tuple[str, str]:
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
    upload = travelling(folder, command.config, named_by(command.wanted))
    for line in upload.told(MOST_TOLD):
        say(f"fpt: {line}")
    say(f"fpt: submitting {name} with {len(upload.files)} files ({upload.size / MIB:.1f} MiB)")
    with TemporaryDirectory(prefix="fpt-submit-") as staged:
        stage(folder, upload.files, Path(staged))
        try:
            _submit(client, command.entrypoint, name, staged, say, pause)
        except RuntimeError:
            if last + 1 not in _attempts(client, command.submission_id):
                raise
            say(f"fpt: {name} has just been submitted by another")
    return name, "PENDING"


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
