"""What Kubernetes is given: a RayJob of KubeRay's, and its configuration in a ConfigMap."""

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from sweeps.jobs.command import Command, named_by

LONGEST_NAME = 47  # of a RayJob: its cluster's name is longer, and has a limit
IDLE_SECONDS = 600  # without work after which a worker's pod is given back
KEPT_SECONDS = 600  # that the pods of a job that has ended stay, to be looked at
OBJECT_STORE_BYTES, SHARED_MEMORY = 1_000_000_000, "2Gi"  # questions and answers are small; images are on the disk
CONFIG_FOLDER, HOME_FOLDER, CONFIG_FILE = "/etc/fpt", "/fpt-home", "config.yaml"
USER_ID = 1000  # of the image's user
HEAD_CORES, HEAD_GIB = 2, 8

# What clouds put on nodes that they may take away, and on those with GPUs, to keep away whoever does not say this.
TOLERATIONS = [
    {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
    {"key": "cloud.google.com/gke-preemptible", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
    {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
    {"key": "spot", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
]


@dataclass(frozen=True)
class Pods:
    """What a job's pods are like: at most `nodes` workers come and go as there is work. The home is on the volume that
    `claim` names, where one is named; `secret` names the secret whose keys are environment variables of all pods.
    """

    image: str
    namespace: str | None
    nodes: int
    gpus: int
    cores: int
    gib: int
    claim: str | None
    secret: str | None


def pods_of(
    command: Command,
    nodes: int | None,
    gpus: int | None,
    cores: int | None,
    gib: int | None,
    image: str | None,
    namespace: str | None,
    claim: str | None,
    secret: str | None,
) -> Pods:
    """Returns what was typed as pods. Raises ValueError for what Kubernetes could not take, or a pod not reach."""
    if not image:
        raise ValueError("--image must be given with --to kuberay but is missing; docs/kubernetes.md makes one")
    for option, name in (("--namespace", namespace), ("--claim", claim), ("--secret", secret)):
        if name is not None and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name):
            raise ValueError(f"{option} must be a name of Kubernetes' (small letters, digits, -) but got {name!r}")
    wanted = command.wanted
    bucket = "://" in wanted.home
    if claim is None and not bucket:
        raise ValueError(
            f"home must be what every pod reaches, a URI like s3://bucket/fpt, or a volume that --claim names, but is "
            f"{wanted.home!r}"
        )
    if claim is not None and "home" in wanted.model_fields_set:
        raise ValueError(f"home must be left out where --claim names the volume that it is on, but is {wanted.home!r}")
    if bucket and not wanted.tracking_uri and not secret:
        raise ValueError(
            "tracking_uri must be an MLflow server's where home is a bucket, in the configuration or as "
            "MLFLOW_TRACKING_URI in the secret that --secret names, but neither is given"
        )
    for path in named_by(wanted):
        if "://" not in path and not Path(path).is_absolute():
            raise ValueError(
                "paths must be what every pod reaches, a URI, or absolute on the volume or in the image, but got "
                f"{path!r}"
            )
    gpus = gpus or 0
    return Pods(image, namespace, nodes or 1, gpus, cores or max(1, gpus) * 4, gib or 16 * max(1, gpus), claim, secret)


def name_of_rayjob(command: Command) -> str:
    """Returns the name of a command's RayJob, which Kubernetes allows: it is the same for the same work."""
    *_, digest = command.submission_id.rpartition("-")
    readable = re.sub("[^a-z0-9]+", "-", command.wanted.name.lower())
    start = f"fpt-{command.name}-{readable}"[: LONGEST_NAME - len(digest) - 1].rstrip("-")
    return f"{start}-{digest}"


def rendered(command: Command, pods: Pods, python: str) -> str:
    """Returns both documents as YAML that a person can read, keep and edit."""
    name = name_of_rayjob(command)
    head = "# Written by `fpt submit --to kuberay`; `kubectl apply -f` takes it as it is."
    documents = [config_map(command, pods, name), rayjob(command, pods, name, python)]
    return f"{head}\n" + yaml.dump_all(documents, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120)


class _Readable(yaml.SafeDumper):
    """A text of several lines is written as such, and what is there twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_lines(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _as_lines)


def config_map(command: Command, pods: Pods, name: str) -> dict[str, Any]:
    """Returns the configuration, with all that was typed in it."""
    text = yaml.safe_dump(dict(command.values), sort_keys=False, allow_unicode=True, width=120)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name, pods), "data": {CONFIG_FILE: text}}


def entrypoint(command: Command, python: str, folder: str = CONFIG_FOLDER) -> str:
    """Returns what runs on the head node. Overrides are in the configuration: KubeRay and Ray each quote in their own
    way what they hand on.
    """
    return command.without_overrides(f"{folder}/{CONFIG_FILE}").run_by(python)


def rayjob(command: Command, pods: Pods, name: str, python: str) -> dict[str, Any]:
    """Returns the RayJob: a head node that computes nothing, and workers that come when there is work."""
    workers = {
        "groupName": "workers",
        "replicas": 0,
        "minReplicas": 0,
        "maxReplicas": pods.nodes,
        "rayStartParams": {"object-store-memory": str(OBJECT_STORE_BYTES)},
        "template": _pod(pods, name, "ray-worker", pods.cores, pods.gib, pods.gpus),
    }
    head = {
        "rayStartParams": {"num-cpus": "0", "object-store-memory": str(OBJECT_STORE_BYTES)},
        "template": _pod(pods, name, "ray-head", HEAD_CORES, HEAD_GIB, 0),
    }
    cluster = {
        "rayVersion": version("ray"),
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"idleTimeoutSeconds": IDLE_SECONDS, "upscalingMode": "Default"},
        "headGroupSpec": head,
        "workerGroupSpecs": [workers],
    }
    spec = {
        "entrypoint": entrypoint(command, python),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "backoffLimit": 2,  # should the head node be lost: each goes on from the ledger
        "rayClusterSpec": cluster,
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": _metadata(name, pods), "spec": spec}


def _metadata(name: str, pods: Pods) -> dict[str, Any]:
    where = {"namespace": pods.namespace} if pods.namespace else {}
    return {"name": name, **where, "labels": {"app.kubernetes.io/name": "fpt"}}


def _pod(pods: Pods, config: str, name: str, cores: int, gib: int, gpus: int) -> dict[str, Any]:
    """Returns a pod of one container. What it may take is what it asks for: a node is not shared beyond that."""
    amounts = {"cpu": str(cores), "memory": f"{gib}Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    environment = {"FPT_HOME": HOME_FOLDER} if pods.claim else {}
    environment |= {"FPT_GPUS_PER_WORKER": "1"} if pods.gpus else {}
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": config}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
    ]
    mounts = [{"name": "config", "mountPath": CONFIG_FOLDER}, {"name": "shared-memory", "mountPath": "/dev/shm"}]
    if pods.claim:
        volumes.append({"name": "home", "persistentVolumeClaim": {"claimName": pods.claim}})
        mounts.append({"name": "home", "mountPath": HOME_FOLDER})
    container = {
        "name": name,
        "image": pods.image,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": mounts,
    }
    if pods.secret:
        container["envFrom"] = [{"secretRef": {"name": pods.secret}}]
    spec: dict[str, Any] = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER_ID, "fsGroup": USER_ID},
        "volumes": volumes,
    }
    if name == "ray-worker":
        spec["tolerations"] = TOLERATIONS
    return {"spec": spec}
