"""What every node of a cluster is like, as a task on each of them tells."""

import os
import platform
import resource
import shutil
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.cluster.local import OTHERS, token_file
from pipeline.storage.folder import Home, cache_folder
from pipeline.storage.masking import sentence
from pipeline.storage.room import free_bytes
from pipeline.workers.node_sampler import management_library

PACKAGES = ("fpt", "ray", "torch", "timm", "pyarrow", "mlflow", "optuna")
RAYS = ("gcs_server", "raylet")  # processes whose ports run code for whoever reaches them
ASK_SECONDS = 60.0  # that a node may take to answer, its first process included


@dataclass(frozen=True)
class NodeReport:
    """A node says: what is installed, which GPUs it has and their driver, whether it `reads` what was written into the
    home elsewhere and can `write` there (None, or why not), free bytes by place, how Ray's token is kept, on which
    addresses Ray listens, and how many files may be open.
    """

    host: str
    versions: dict[str, str]
    gpus: tuple[str, ...]
    driver: str | None
    reads: str | None
    writes: str | None
    free: dict[str, int]
    token: str
    listens: tuple[str, ...]
    open_files: int


def report_here(home: str | None, probe: str | None = None) -> NodeReport:
    """Returns what this machine says of itself. `probe` is the name of a file that was written into the home from
    elsewhere, whose content is its name.
    """
    reads = writes = None
    free = {"cache": free_bytes(cache_folder()), "temporary": free_bytes(_temporary())}
    if home is not None and probe is not None:
        reads, writes = _tried(home, probe)
    gpus, driver = _gpus()
    return NodeReport(
        host=socket.gethostname(),
        versions=versions(),
        gpus=gpus,
        driver=driver,
        reads=reads,
        writes=writes,
        free=free,
        token=token_kept(),
        listens=listening(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def report_nodes(home: str | None, probe: str | None) -> dict[str, NodeReport | str]:
    """Returns what each node of the cluster says that this process is connected to, by address; why not, where one does
    not answer.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in (one for one in ray.nodes() if one["Alive"]):
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(report_here).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked[f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"] = task.remote(home, probe)
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=ASK_SECONDS)
    told: dict[str, NodeReport | str] = {}
    for address, reference in asked.items():
        try:
            told[address] = ray.get(reference, timeout=0.1)
        except Exception as error:
            told[address] = sentence(error)[:300] or f"it has not answered for {ASK_SECONDS:.0f} seconds"
    return told


def versions() -> dict[str, str]:
    """Returns the versions of Python and of what results depend on."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def token_kept() -> str:
    """Returns in words how Ray's token is kept on this machine."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return f"RAY_AUTH_MODE is {os.environ['RAY_AUTH_MODE']}: whoever reaches Ray's ports runs code"
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "in RAY_AUTH_TOKEN"
    file = token_file()
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return "none yet"
    return f"in {file} ({mode:04o}{', which others can read' if mode & OTHERS else ''})"


def listening() -> tuple[str, ...]:
    """Returns the addresses on which Ray's processes listen beyond this machine, as far as this user is told."""
    found = set()
    with suppress(Exception):  # no psutil, or not allowed
        import ray  # noqa: F401  # it brings its own psutil

        psutil = import_module("psutil")
        for process in psutil.process_iter(["name"]):
            if process.info["name"] not in RAYS:
                continue
            with suppress(psutil.Error):
                for one in process.net_connections("tcp"):
                    if one.status == psutil.CONN_LISTEN and not one.laddr.ip.removeprefix("::ffff:").startswith("127."):
                        found.add(f"{process.info['name']} on {one.laddr.ip}:{one.laddr.port}")
    return tuple(sorted(found))


def _temporary() -> Path:
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")


def shared_memory() -> int | None:
    """Returns the bytes of shared memory, in which Ray keeps what it passes on; None where there is no such disk."""
    return shutil.disk_usage("/dev/shm").total if os.path.isdir("/dev/shm") else None


def _tried(home: str, probe: str) -> tuple[str | None, str | None]:
    """Returns why this node cannot read what another has written into the home, and why it cannot write there."""
    reads = writes = None
    own = f"{probe}-{os.getpid()}"
    try:
        content = Home(home).read(probe)
        if content != probe.encode():
            reads = "it does not see what was written there from here: it is another folder"
    except (OSError, ValueError) as error:
        reads = sentence(error)
    if reads is None:
        try:
            Home(home).write(own, own.encode())
            Home(home).delete(own)
        except (OSError, ValueError) as error:
            writes = sentence(error)
    return reads, writes


def _gpus() -> tuple[tuple[str, ...], str | None]:
    """Returns the names of this machine's GPUs, and the version of their driver."""
    library = management_library()
    if library is None:
        return (), None
    handles = [library.nvmlDeviceGetHandleByIndex(number) for number in range(library.nvmlDeviceGetCount())]
    return tuple(_text(library.nvmlDeviceGetName(one)) for one in handles), _text(library.nvmlSystemGetDriverVersion())


def _text(told: Any) -> str:
    return told.decode() if isinstance(told, bytes) else str(told)
