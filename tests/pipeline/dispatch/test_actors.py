"""How many workers there are, and on which part of a node."""

import pytest
import ray

from pipeline.config import Compute
from pipeline.dispatch import actors as staff
from pipeline.dispatch.actors import Wanted, node_lives, staffing, wanted_workers


@pytest.mark.parametrize(
    ("resources", "compute", "expected"),
    [
        ({"CPU": 6.0}, {}, (0.0, 6)),
        ({}, {}, (0.0, 1)),
        ({"CPU": 6.0, "GPU": 3.0}, {}, (1.0, 3)),
        ({"CPU": 6.0, "GPU": 3.0}, {"gpus_per_worker": 0.25}, (0.25, 12)),
        ({"CPU": 6.0, "GPU": 3.0}, {"gpus_per_worker": 0}, (0.0, 6)),
        ({"CPU": 6.0, "GPU": 2.0}, {"gpus_per_worker": 0.4}, (0.4, 4)),  # two on each card; a fifth would span both
        ({"CPU": 6.0, "GPU": 1.0}, {"gpus_per_worker": 0.1}, (0.1, 10)),
        ({"CPU": 6.0, "GPU": 3.0}, {"workers": 2}, (1.0, 2)),
        ({"CPU": 6.0, "GPU": 1.0}, {"workers": 4, "gpus_per_worker": 0.5}, (0.5, 4)),
    ],
)
def test_one_worker_for_each_gpu_or_core(monkeypatch, resources, compute, expected):
    monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
    gpus, now = expected
    asked = Compute(**compute)
    assert wanted_workers(asked, grows=False) == Wanted(gpus, now, now)
    assert wanted_workers(asked, grows=True) == Wanted(gpus, asked.workers or None, now)


@pytest.mark.parametrize(
    ("resources", "asked", "said"),
    [({"CPU": 6.0}, 0.5, "at most 0, .* but got 0.5"), ({"CPU": 1.0, "GPU": 1.0}, 2.0, "at most 1, .* but got 2")],
)
def test_gpus_that_are_not_there_are_refused_where_none_can_come(monkeypatch, resources, asked, said):
    monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
    with pytest.raises(ValueError, match=rf"^compute\.gpus_per_worker must be {said}$"):
        wanted_workers(Compute(gpus_per_worker=asked), grows=False)
    assert wanted_workers(Compute(gpus_per_worker=asked), grows=True) == Wanted(asked, None, 1)
    monkeypatch.setenv("FPT_GPUS_PER_WORKER", "3")
    with pytest.raises(ValueError, match=r"^FPT_GPUS_PER_WORKER must be at most \d, .* but got 3$"):
        wanted_workers(Compute(), grows=False)


def test_a_cluster_that_grows_is_asked_for_a_little_more_than_it_has(monkeypatch):
    resources = {"CPU": 8.0}
    monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
    assert wanted_workers(Compute(), grows=True) == Wanted(0.0, None, 8)
    monkeypatch.setenv("FPT_GPUS_PER_WORKER", "1")  # an autoscaler adds them when they are asked for
    wanted = wanted_workers(Compute(), grows=True)
    assert wanted == Wanted(1.0, None, 1)
    most = staffing(wanted, Compute()).most
    assert most() == staff.WORKERS_AHEAD
    resources["GPU"] = 4.0
    assert most() == 4 + staff.WORKERS_AHEAD
    assert staffing(Wanted(1.0, 3, 3), Compute()).most() == 3


def test_a_node_lives_while_the_cluster_says_so(monkeypatch):
    nodes = [{"NodeID": "a", "Alive": True}, {"NodeID": "b", "Alive": False}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert [node_lives(name) for name in ("a", "b", "never seen")] == [True, False, False]
