import json
import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.storage.folder import Home
from pipeline.workers.node_report import NodeReport, versions
from sweeps.gate.cluster import of_node, ray_and_nodes
from sweeps.gate.told import BAD, FINE, LOOK, Told

FREE = {"cache": 2**31, "temporary": 2**30}
NODE = NodeReport("worker-1", versions(), ("H200",), "580.1", None, None, FREE, "in RAY_AUTH_TOKEN", (), 65536)


def test_ray_on_this_machine_is_not_started_to_be_looked_at(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (told,) = ray_and_nodes(None, Home(str(tmp_path)))
    assert told.state == FINE
    assert told.said.endswith("which each command starts for itself, on 127.0.0.1 alone")


def test_a_cluster_that_does_not_answer_is_a_line(tmp_path):
    (told,) = ray_and_nodes("127.0.0.1:1", Home(str(tmp_path)))
    assert (told.about, told.state) == ("Ray", BAD)
    assert told.said.startswith("--address must be that of a Ray cluster that answers but '127.0.0.1:1' refuses connec")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_node_of_a_cluster_is_asked(tmp_path):
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 150 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        address = cluster.address
        ran = subprocess.run(
            [sys.executable, "-m", "sweeps.cli", "doctor", "--home", tmp_path, "--address", address, "--json"],
            capture_output=True,
            text=True,
            timeout=280,
        )
    finally:
        cluster.shutdown()
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])["told"]
    assert [one["said"] for one in told if one["about"] == "Ray"] == [f"{address} answers; it has 2 nodes"]
    seen = [one["about"] for one in told if one["said"] == "the home is seen and can be written"]
    assert len(set(seen)) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_node_as_it_should_be():
    told = of_node("10.0.0.2", NODE)
    assert {one.state for one in told} == {FINE}
    assert (
        told[1].said
        == "worker-1: H200; driver 580.1; 2.0 GiB free for cache, 1.0 GiB free for temporary; 65536 open files"
    )
    assert told[2].said == "the home is seen and can be written"


@pytest.mark.parametrize(
    ("change", "state", "said"),
    [
        ({"versions": {**versions(), "torch": "1.0"}}, BAD, "versions as here: not torch 1.0, here "),
        (
            {"reads": "it is another folder"},
            BAD,
            "home cannot be read: it is another folder; it must be a folder that all",
        ),
        (
            {"writes": "Permission denied"},
            BAD,
            "home cannot be written: Permission denied; it must be a folder that all",
        ),
        ({"token": "in x (0644, which others can read)"}, LOOK, "Ray's token: in x (0644, which others can read)"),
        ({"listens": ("raylet on :::1",)}, LOOK, "Ray's ports: raylet on :::1; the token is all that stands before"),
    ],
)
def test_what_is_wrong_with_a_node_is_told(change, state, said):
    (told,) = (one for one in of_node("10.0.0.2", replace(NODE, **change)) if one.state != FINE)
    assert told.state == state
    assert told.said.startswith(said)


def test_a_node_that_does_not_answer_is_told():
    said = "No module named 'pipeline'"
    assert of_node("10.0.0.2", said) == [Told("node 10.0.0.2", BAD, said)]
