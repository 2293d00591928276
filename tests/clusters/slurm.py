"""Slurm on this machine, on 127.0.0.1 and nowhere else: `apt-get install -y slurm-wlm munge` is all that it needs.

`python -m tests.clusters.slurm FOLDER` starts it and keeps it until Ctrl-C, to try things by hand.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol", "srun")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
CORES = 2  # that each node says it has
START_SECONDS = 60.0

CONF = """
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={control}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=5
JobRequeue=1
KillWait=10
ReturnToService=2
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES:2
"""


def missing() -> str:
    """Returns in words what is not installed here or allowed, nothing where all is."""
    if os.geteuid():
        return "root alone may run slurmd"
    absent = [name for name in PROGRAMS if shutil.which(name, path=PLACES) is None]
    return f"apt-get install -y slurm-wlm munge brings {', '.join(absent)}" if absent else ""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def slurm(folder: Path, nodes: int = 1) -> Iterator[dict[str, str]]:
    """Runs Slurm with so many nodes, all of them this machine, while the block runs. Yields the environment in which
    its programs find it. More than one node needs a build that allows several slurmd on a machine.
    """
    for name in ("state", *(f"spool-n{number}" for number in range(1, nodes + 1))):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    control, *ports = free_ports(1 + nodes)
    lines = [
        f"NodeName=n{number} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CORES} State=UNKNOWN"
        for number, port in enumerate(ports, 1)
    ]
    conf = folder / "slurm.conf"
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    conf.write_text(CONF.format(folder=folder, control=control, user=user, nodes="\n".join(lines)))
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": PLACES}
    munged = [
        f"--{name}={folder}/munge.{name.removesuffix('-file')}"
        for name in ("key-file", "pid-file", "log-file", "seed-file")
    ]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munged],
        ["slurmctld", "-D", "-c", "-f", str(conf)],
        *(["slurmd", "-D", "-f", str(conf), "-N", f"n{number}"] for number in range(1, nodes + 1)),
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (folder / f"{command[0]}.out").open("ab") as out:
                started.append(
                    subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
                )
            if command[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), started, folder)
        _wait(lambda: _idle(environment) == nodes, started, folder)
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            if process.poll() is None:
                process.kill()
                process.wait()


def _idle(environment: dict[str, str]) -> int:
    told = subprocess.run(["sinfo", "-N", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
    return told.stdout.split().count("idle")


def _wait(ready: Callable[[], bool], started: list[subprocess.Popen[bytes]], folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while not ready():
        logs = "\n".join(
            f"{log.name}: {log.read_text(errors='replace')[-800:]}" for log in folder.glob("*.[lo][ou][gt]")
        )
        assert all(process.poll() is None for process in started), logs
        assert time.monotonic() < until, logs
        time.sleep(0.2)


if __name__ == "__main__":
    with slurm(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 1) as found:
        print(f"SLURM_CONF={found['SLURM_CONF']}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit())
        signal.pause()
