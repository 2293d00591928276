"""The dispatcher on several raylets of this machine, with workers that sleep, hang or die instead of computing."""

import os
import signal
import time
from contextlib import contextmanager

import pytest
import ray
from ray.cluster_utils import Cluster

from pipeline.config import Compute
from pipeline.data.store import PackedImages
from pipeline.dispatch.actors import Wanted
from pipeline.identity import Found
from pipeline.opening import connected, start_dispatcher
from pipeline.orders import Context, Place
from pipeline.storage.ledger import Ledger
from tests.pipeline.processes import alive, send

pytestmark = pytest.mark.slow

NODE = {"object_store_memory": 100 * 2**20}
FOUND = Found("none", "none", "float32", "cpu", 64, 6, True, {"novel": 6})
CONTEXT = Context(FOUND)


class Sleeper:
    """A worker that takes a tenth of a second, and dies of episode 13."""

    def __init__(self, name, run, images, ledger):
        self.ledger = Ledger(ledger)

    def place(self):
        return Place(ray.get_runtime_context().get_node_id(), "here")

    def load(self):
        return None

    def open(self, found):
        return FOUND

    def solve(self, order, attempt, smaller):
        if 13 in order.episodes:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.1)
        rows = [
            {"config_hash": one, "episode": i, "accuracy": i / 1000, "worker": self.place().node, "attempt": attempt}
            for one in order.configurations
            for i in order.episodes
        ]
        self.ledger.write(order.name, rows)
        return rows


@pytest.fixture
def cluster(monkeypatch):
    """A head without cores; what commands set in the environment is put back."""
    for name in (
        "RAY_AIR_NEW_OUTPUT",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS",
        "TUNE_DISABLE_SIGINT_HANDLER",
    ):
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)
    made = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    yield made
    made.shutdown()


@contextmanager
def dispatching(cluster, run, folder, wanted, compute=Compute(shard=4, idle_seconds=2.0)):  # noqa: B008
    """A dispatcher on the cluster, as a session makes it."""
    with connected(cluster.address):
        own = run.model_copy(update={"compute": compute})
        images = {own.backbone: PackedImages("none", "none.arrow", "none")}
        made = start_dispatcher(own, images, str(folder / "ledger"), wanted, None, Sleeper)
        try:
            yield made, own
        finally:
            ray.kill(made)


def rows(folder):
    return Ledger(str(folder / "ledger")).read().to_pylist()


def wait_until(condition, seconds=100.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def nodes():
    return {one["NodeID"] for one in ray.nodes() if one["Alive"]}


def test_nodes_come_and_go(cluster, run, tmp_path):
    first = cluster.add_node(**NODE, num_cpus=1, num_gpus=1)
    with dispatching(cluster, run, tmp_path, Wanted(1.0, None, 1)) as (dispatcher, own):
        asked = dispatcher.solve.remote(CONTEXT, [own], [i for i in range(800) if i != 13])
        wait_until(lambda: rows(tmp_path))
        before = nodes()
        cluster.add_node(**NODE, num_cpus=2, num_gpus=2)
        (new,) = nodes() - before
        wait_until(lambda: sum(row["worker"] == new for row in rows(tmp_path)) > 8)
        cluster.remove_node(first, allow_graceful=False)
        ((*answered,),) = ray.get(asked)
        assert [row["episode"] for row in answered] == [i for i in range(800) if i != 13]
        found = rows(tmp_path)
        assert {row["worker"] for row in found} == {new, *(before - {_head()})}
        # The node that left held one worker: what that was at and what it had in hand was sent again, no more.
        assert len({row["episode"] // 4 for row in found if row["attempt"] > 1}) <= 2
        # With nothing to do the workers are let go, so that an autoscaler could take the nodes back.
        wait_until(lambda: ray.get(dispatcher.status.remote()).workers == 0)
        wait_until(lambda: ray.available_resources().get("GPU") == 2.0)


def _head():
    return next(one["NodeID"] for one in ray.nodes() if "node:__internal_head__" in one["Resources"])


def test_a_dispatcher_that_is_killed_answers_what_it_was_asked(cluster, run, tmp_path):
    cluster.add_node(**NODE, num_cpus=2)
    with dispatching(cluster, run, tmp_path, Wanted(0.0, 2, 2)) as (dispatcher, own):
        asked = dispatcher.solve.remote(CONTEXT, [own], range(20, 140))
        wait_until(lambda: len(rows(tmp_path)) > 20)
        send(os.getpid(), "ray::Dispatcher", signal.SIGKILL)
        (answered,) = ray.get(asked)
        assert [row["episode"] for row in answered] == list(range(20, 140))
        status = ray.get(dispatcher.status.remote())
        assert status.restarted
        assert 20 < status.reused < 120
        assert status.computed + status.reused == 120
        ledger = Ledger(str(tmp_path / "ledger"))
        assert ledger.folder.names("rows") == sorted(set(ledger.folder.names("rows")))
        assert ledger.read()["episode"].to_pylist() == list(range(20, 140))


def test_a_poisonous_episode_is_isolated_and_named(cluster, run, tmp_path):
    cluster.add_node(**NODE, num_cpus=2)
    with dispatching(cluster, run, tmp_path, Wanted(0.0, 2, 2)) as (dispatcher, own):
        (answered,) = ray.get(dispatcher.solve.remote(CONTEXT, [own], range(40)))
        assert [row["episode"] for row in answered] == [i for i in range(40) if i != 13]
        status = ray.get(dispatcher.status.remote())
        assert status.lost == ("episode 13 of novel (3-way 1-shot, seed 0)",)
        assert status.computed == 39
        alone = [name for name in Ledger(str(tmp_path / "ledger")).folder.names("rows") if name.count("-") == 2]
        assert len(alone) == 3  # the other episodes of its shard


def test_a_worker_that_stands_still_is_replaced(cluster, run, tmp_path):
    """Stopped, as a process is that waits for a device for ever: it answers nobody, and cannot be asked to end."""
    cluster.add_node(**NODE, num_cpus=1)
    patient = Compute(shard=4, order_seconds=5.0)
    with dispatching(cluster, run, tmp_path, Wanted(0.0, 1, 1), patient) as (dispatcher, own):
        asked = dispatcher.solve.remote(CONTEXT, [own], range(20, 100))
        stopped = send(os.getpid(), "ray::Sleeper.solve", signal.SIGSTOP)
        (answered,) = ray.get(asked)
        assert [row["episode"] for row in answered] == list(range(20, 100))
        assert {row["episode"] // 4 for row in answered if row["attempt"] > 1} == {5, 6}  # at work, and in hand
        wait_until(lambda: not alive(stopped))
