"""The pipeline on Ray: small, for a session takes seconds to open."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray

from pipeline import opening
from pipeline.config import Compute, Run, with_hyper_parameters
from pipeline.data.store import ImageStore, PackedImages
from pipeline.dispatch import actors as staff
from pipeline.dispatch.actors import Wanted, staffing, wanted_workers
from pipeline.opening import open_session
from pipeline.orders import WorkOrder
from pipeline.storage.folder import Home
from pipeline.storage.ledger import CIRCUMSTANCES
from pipeline.workers.worker import Worker
from tests.pipeline.processes import kill_one

EPISODES = [0, 1, 5]


@pytest.fixture
def opened(run: Run, store_path: Path, monkeypatch):
    """Opens sessions on the store of noise, with one worker."""
    packed = PackedImages(str(store_path.parent), store_path.name, ImageStore(store_path).fingerprint)
    monkeypatch.setattr(opening, "packed_images", lambda run, home: packed)
    for name in ("RAY_AIR_NEW_OUTPUT", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # so that they are put back
        monkeypatch.delenv(name)
    return lambda home: open_session(run.model_copy(update={"compute": Compute(workers=1, shard=4)}), Home(str(home)))


def results(rows):
    return [[{name: row[name] for name in row if name not in CIRCUMSTANCES} for row in own] for own in rows]


def test_a_session_survives_its_worker_and_is_gone_on_with_by_the_next(opened, run, store_path, tmp_path):
    runs = [with_hyper_parameters(run, {"epochs": 60, "alpha": alpha}) for alpha in (0.0, 2.0)]
    with opened(tmp_path) as one:
        assert one.store == store_path
        assert one.found.classes == {"validation": 6, "novel": 6}

        with ThreadPoolExecutor() as aside:
            asked = aside.submit(one.solve, runs, EPISODES)
            kill_one(os.getpid(), "ray::WorkerProcess.solve")
            first = asked.result()
        assert {row["attempt"] for own in first for row in own} == {1, 2}

        impossible = run.model_copy(update={"episodes": run.episodes.model_copy(update={"way": 7})})
        with pytest.raises(ValueError, match="way must be from 2 to 6"):
            one.solve([impossible], [0])
        hashes = one.hashes(runs)

    with opened(tmp_path) as other:
        again, status = other.solve(runs, EPISODES), other.status()
    assert (status.computed, status.reused) == (0, 6)
    assert results(again) == results(first)

    here = Worker("here", run, store_path, str(tmp_path / "another"))
    order = dict(zip(hashes, runs, strict=True))
    expected = [*here.solve(WorkOrder("shard 0", order, (0, 1)), 1), *here.solve(WorkOrder("shard 1", order, (5,)), 1)]
    of_run = [[row for row in expected if row["config_hash"] == config_hash] for config_hash in hashes]
    assert results(of_run) == results(first)


@pytest.mark.parametrize(
    ("resources", "compute", "expected"),
    [
        ({"CPU": 6.0}, {}, (0.0, 6)),
        ({}, {}, (0.0, 1)),
        ({"CPU": 6.0, "GPU": 3.0}, {}, (1.0, 3)),
        ({"CPU": 6.0, "GPU": 3.0}, {"gpus_per_worker": 0.25}, (0.25, 12)),
        ({"CPU": 6.0, "GPU": 3.0}, {"gpus_per_worker": 0}, (0.0, 6)),
        ({"CPU": 6.0, "GPU": 3.0}, {"workers": 2}, (1.0, 2)),
        ({"CPU": 6.0}, {"workers": 4, "gpus_per_worker": 0.5}, (0.5, 4)),
        ({"CPU": 1.0, "GPU": 1.0}, {"gpus_per_worker": 2}, (2.0, 1)),
    ],
)
def test_one_worker_for_each_gpu_or_core(monkeypatch, resources, compute, expected):
    monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
    gpus, now = expected
    asked = Compute(**compute)
    assert wanted_workers(asked, grows=False) == Wanted(gpus, now, now)
    assert wanted_workers(asked, grows=True) == Wanted(gpus, asked.workers or None, now)


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


def test_a_job_must_not_take_its_results_with_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(opening.IN_JOB, "{}")
    sentence = "^home must be a folder that all nodes reach, or like s3://bucket/path, in a job"
    with pytest.raises(ValueError, match=sentence), open_session(run, Home("runs")):
        pass
    assert list(tmp_path.iterdir()) == []
