"""The process of a worker, without Ray: what is loaded when, and which precision it takes."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import ray

from pipeline.config import BackboneName
from pipeline.data.store import ImageStore, PackedImages
from pipeline.orders import WorkOrder
from pipeline.workers.process import WorkerProcess


@pytest.fixture
def process(run, store_path, tmp_path, monkeypatch):
    """Makes processes for backbones of a precision."""
    monkeypatch.setenv("FPT_CACHE", str(tmp_path / "cache"))
    images = PackedImages(str(store_path.parent), store_path.name, ImageStore(store_path).fingerprint)

    def make(precision):
        named = run.model_copy(update={"backbone": BackboneName(precision=precision)})
        return WorkerProcess("worker-3", named, images, str(tmp_path / "ledger"))

    return make


def test_it_takes_the_precision_that_was_found_whatever_it_would_choose(process, run, monkeypatch):
    monkeypatch.setattr("pipeline.workers.worker.best_precision", lambda device: "tf32")
    first = process("auto").open(None)
    assert first.precision == "tf32"
    later = process("auto")
    assert later.open(replace(first, precision="float32")).precision == "float32"
    (row,) = later.solve(WorkOrder("order", {"hash": run}, (0,)), 2, 0)
    assert (row["worker"], row["attempt"], row["device"]) == ("worker-3", 2, first.device)


def test_it_says_where_it_is(process, monkeypatch):
    context = SimpleNamespace(get_node_id=lambda: "node-1")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr("pipeline.workers.process.socket.gethostname", lambda: "gpu7")
    place = process("float32").place()
    assert (place.node, place.host) == ("node-1", "gpu7")


def test_torch_is_loaded_when_it_is_told_to_and_not_before():
    code = (
        "import sys\n"
        "from pipeline.workers.process import WorkerProcess\n"
        "process = WorkerProcess('w', None, None, '')\n"
        "before = 'torch' in sys.modules\n"
        "process.load()\n"
        "print(before, 'torch' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "True"]
