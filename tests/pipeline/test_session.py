"""The pipeline on Ray: small, for a session takes seconds to open."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import opening
from pipeline.config import Compute, Run, with_hyper_parameters
from pipeline.data.store import ImageStore, PackedImages
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
    for name in (
        "RAY_AIR_NEW_OUTPUT",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS",
        "TUNE_DISABLE_SIGINT_HANDLER",
    ):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # so that they are put back
        monkeypatch.delenv(name)
    return lambda home: open_session(run.model_copy(update={"compute": Compute(workers=1, shard=4)}), Home(str(home)))


def results(rows):
    return [[{name: row[name] for name in row if name not in CIRCUMSTANCES} for row in own] for own in rows]


def test_a_session_survives_its_worker_and_is_gone_on_with_by_the_next(opened, run, store_path, tmp_path):
    runs = [with_hyper_parameters(run, {"epochs": 30, "alpha": alpha}) for alpha in (0.0, 2.0)]
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
