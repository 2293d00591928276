"""Workers as Ray actors: how many, on which part of a node, and how they end."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import ray

from pipeline.backbones import BackboneName
from pipeline.config import Compute, Run
from pipeline.data.store import PackedImages

# Of a core. A little less than one, so that trials and the dispatcher, which compute nothing, fit beside the workers.
WORKER_CPUS = 0.9
# Workers asked for beyond what the cluster has room for: that is what an autoscaler adds nodes for, and a node that
# joins gets the first of them at once.
WORKERS_AHEAD = 8
# Trials and the dispatcher stay where the cluster's own services are: a spot machine may be taken away.
HEAD = "node:__internal_head__"
ON_HEAD = {HEAD: 0.001}


@dataclass
class Staffing:
    """Staffing says how many workers there may be: `most` tells it for any time, and is asked again and again, as nodes
    come and go; `at_once` is how many are hired before there is any order.

    A worker that has had nothing to do for `idle_seconds` is let go, and so is its node, if somebody takes nodes back.
    An order may take `order_seconds` at most.
    """

    most: Callable[[], int]
    at_once: int
    idle_seconds: float
    order_seconds: float


@dataclass(frozen=True)
class Wanted:
    """These workers are wanted: each has `gpus` GPUs; `workers` is how many there are to be, None for as many as there
    is ever room for; `now` is how many to begin with. Nodes that are `barred`, by their ids, get none.
    """

    gpus: float
    workers: int | None
    now: int
    barred: frozenset[str] = frozenset()


def wanted_workers(compute: Compute, grows: bool) -> Wanted:
    """Returns which workers are wanted: as many as `compute` says, or else one for each GPU (or slice), or for each
    core where there are no GPUs. `grows` is whether the cluster may get nodes. Raises ValueError for GPUs that are not
    there and will not come.
    """
    resources = ray.cluster_resources()
    gpus = compute.gpus_per_worker
    if gpus is None:
        # A cluster that has no GPU yet, as its nodes come when they are asked for, cannot be told from one without.
        coming = float(os.environ.get("FPT_GPUS_PER_WORKER", 0))
        gpus = coming or (1.0 if resources.get("GPU", 0) else 0.0)
    fit, has = room(gpus), resources.get("GPU", 0)
    if gpus and not fit and not grows:
        cores = " (compute.gpus_per_worker=0 takes cores)" if compute.gpus_per_worker is not None else ""
        named = "compute.gpus_per_worker" if compute.gpus_per_worker is not None else "FPT_GPUS_PER_WORKER"
        raise ValueError(f"{named} must be at most {has:g}, the GPUs that Ray finds here{cores}, but got {gpus:g}")
    if compute.workers:
        return Wanted(gpus, compute.workers, compute.workers)
    return Wanted(gpus, None if grows else max(1, fit), max(1, fit))


def room(gpus: float) -> int:
    """Returns how many workers the cluster's nodes have room for, busy or not."""
    resources = ray.cluster_resources()
    return workers_of(resources.get("GPU", 0.0), gpus) if gpus else int(resources.get("CPU", 0))


def workers_of(cards: float, gpus: float) -> int:
    """Returns how many workers of so many GPUs each fit on some cards. Ray gives a worker of less than one a part of
    one card, and others whole ones.
    """
    slack = 1e-6  # a tenth times ten is one
    return int(cards) * int(1 / gpus + slack) if gpus < 1 else int(cards / gpus)


def room_beside(wanted: Wanted, nodes: Collection[str]) -> bool:
    """Tells whether the cluster has a node, busy or not, that could have workers and is not among `nodes`."""
    needed, name = (wanted.gpus, "GPU") if wanted.gpus else (WORKER_CPUS, "CPU")
    others = (one for one in ray.nodes() if one["Alive"] and one["NodeID"] not in nodes)
    return any(one["Resources"].get(name, 0) >= needed for one in others)


def staffing(wanted: Wanted, compute: Compute) -> Staffing:
    def most() -> int:
        return room(wanted.gpus) + WORKERS_AHEAD if wanted.workers is None else wanted.workers

    return Staffing(most, wanted.now, compute.idle_seconds, compute.order_seconds)


def hire(
    worker: type, wanted: Wanted, run: Run, images: Mapping[BackboneName, PackedImages], ledger: str, name: str
) -> Any:
    """Returns the handle of a new worker, which begins as soon as a node has room for it that is not barred."""
    placed: dict[str, Any] = {"num_cpus": WORKER_CPUS, "num_gpus": wanted.gpus, "scheduling_strategy": "SPREAD"}
    if wanted.barred:
        placed["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(wanted.barred))})"}
    return ray.remote(worker).options(**placed).remote(name, run, images, ledger)


def dismiss(worker: Any) -> None:
    ray.kill(worker)


def node_lives(node: str) -> bool:
    """Returns whether a node, by its id, is still part of the cluster."""
    return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())
