"""A command as a RayJob on Kubernetes: applied once, found again by its name, its log followed."""

import json
import subprocess
import time
from typing import Any

from sweeps.jobs.command import GO_ON, Command, Say
from sweeps.jobs.kuberay import Pods, name_of_rayjob, rendered
from sweeps.jobs.patience import patiently

PAUSE = 5.0  # seconds between two looks at a job
ENDED = ("Complete", "Failed")  # what KubeRay calls a RayJob that does no more


def as_kubernetes_job(
    command: Command,
    pods: Pods,
    python: str | None,
    print_only: bool,
    say: Say,
    follow: bool,
    restart: bool,
    as_json: bool,
    pause: float = PAUSE,
) -> int:
    """Prints a command's RayJob, or applies it, or finds the one that there is, and follows it. Returns the exit
    status. Raises ValueError for what Kubernetes refuses, and where kubectl is not here.
    """
    text = rendered(command, pods, python or "python")
    if print_only:
        print(text, end="")
        return 0
    name, kubectl = name_of_rayjob(command), _Kubectl(pods.namespace)
    _apply_or_find(name, kubectl, text, say, restart)
    how = f"{name} goes on without you; the same command follows it; to stop it: {kubectl.shown} delete rayjob {name}"
    if follow:
        try:
            status = _follow(name, kubectl, say, pause)
        except KeyboardInterrupt:
            say(f"fpt: {how}")
            return 1
    else:
        say(f"fpt: {how}")
        status = kubectl.status(name) or {}
    succeeded = status.get("jobStatus") == "SUCCEEDED"
    if follow and not succeeded:
        why = " ".join(str(status.get("message") or status.get("reason") or "no reason is told").split())
        say(f"fpt: {name} ended as {status.get('jobStatus') or status.get('jobDeploymentStatus')}: {why}; {GO_ON}")
    if as_json:
        print(json.dumps({"submission_id": name, "status": status.get("jobStatus", "")}), flush=True)
    elif not follow:
        print(name, flush=True)
    return 1 if follow and not succeeded else 0


class _Kubectl:
    """Kubernetes' own program, asked about one namespace."""

    def __init__(self, namespace: str | None) -> None:
        self.command = ["kubectl", *([f"--namespace={namespace}"] if namespace else [])]

    @property
    def shown(self) -> str:
        return " ".join(self.command)

    def ask(self, *arguments: str, given: str | None = None) -> str:
        """Returns what kubectl prints. Raises ValueError, in its own words, for what it refuses."""
        try:
            done = subprocess.run([*self.command, *arguments], input=given, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise ValueError(
                "--to kuberay must be typed where kubectl is, but it is not here; --print shows the RayJob"
            ) from error
        if done.returncode:
            raise ValueError(f"Kubernetes refuses the job: {' '.join(done.stderr.split())}")
        return done.stdout

    def status(self, name: str) -> dict[str, Any] | None:
        """Returns the status of a RayJob, None where there is none of that name."""
        told = self.ask("get", "rayjob", name, "--ignore-not-found", "--output=json")
        return dict(json.loads(told).get("status") or {}) if told.strip() else None

    def show_log(self, name: str, shown: int) -> int:
        """Prints the log of a RayJob as it grows, without the lines that have been shown, until it ends, or breaks off,
        or at once where there is none yet. Returns how many lines have been shown by now.
        """
        command, lines = [*self.command, "logs", "--follow", f"job/{name}"], 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout or ():
                lines += 1
                if lines > shown:
                    print(line, end="", flush=True)
        return max(lines, shown)


def _apply_or_find(name: str, kubectl: _Kubectl, text: str, say: Say, restart: bool) -> None:
    """Applies a RayJob where there is none that does its work or has done it."""
    status = kubectl.status(name)
    if status is not None:
        state = status.get("jobStatus") or status.get("jobDeploymentStatus") or "PENDING"
        failed = status.get("jobDeploymentStatus") in ENDED and state != "SUCCEEDED"
        if not failed and not restart:
            more = "; --restart runs it again" if state == "SUCCEEDED" else " already"
            say(f"fpt: {name} is {state}{more}")
            return
        say(f"fpt: {name} is {state}: it is removed, and the next one goes on from the ledger")
        kubectl.ask("delete", "rayjob", name, "--wait=true")
    kubectl.ask("apply", "--filename=-", given=text)
    say(f"fpt: applied RayJob {name}")


def _follow(name: str, kubectl: _Kubectl, say: Say, pause: float) -> dict[str, Any]:
    """Prints the log of a RayJob until it ends, and returns its status. Raises RuntimeError where it is gone."""
    said, shown = "", 0
    while True:
        status = patiently(lambda: kubectl.status(name), "Kubernetes", say, pause)
        if status is None:
            raise RuntimeError(f"RayJob {name} is not there any more; {GO_ON}")
        state = str(status.get("jobDeploymentStatus") or "waits for KubeRay")
        if state in (*ENDED, "Running"):
            shown = kubectl.show_log(name, shown)
            status = patiently(lambda: kubectl.status(name), "Kubernetes", say, pause) or status
        elif state != said:
            say(f"fpt: {name}: {state}")
        said = state
        if status.get("jobDeploymentStatus") in ENDED:
            return status
        time.sleep(pause)
