"""The process of a worker, without Ray: what is loaded when, and which precision it takes."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import ray
import torch

from fpt.failures import DeviceFailedError
from pipeline.backbones import BackboneName
from pipeline.data.store import ImageStore, PackedImages
from pipeline.orders import WorkOrder
from pipeline.workers.process import WorkerProcess


@pytest.fixture
def process(run, store_path, tmp_path, monkeypatch):
    """Makes processes for backbones of a precision, and others."""
    monkeypatch.setenv("FPT_CACHE", str(tmp_path / "cache"))
    images = PackedImages(str(store_path.parent), store_path.name, ImageStore(store_path).fingerprint)

    def make(precision, *others):
        named = run.model_copy(update={"backbone": BackboneName(precision=precision)})
        return WorkerProcess(
            "worker-3", named, dict.fromkeys([named.backbone, *others], images), str(tmp_path / "ledger")
        )

    return make


def test_it_takes_the_precision_that_was_found_whatever_it_would_choose(process, run, monkeypatch):
    monkeypatch.setattr("pipeline.workers.worker.best_precision", lambda device: "tf32")
    first = process("auto").open(None)
    assert first.precision == "tf32"
    later = process("auto")
    assert later.open(replace(first, precision="float32")).precision == "float32"
    asked = run.model_copy(update={"backbone": BackboneName(precision="auto")})
    (row,) = later.solve(WorkOrder("order", {"hash": asked}, (0,)), 2, 0)
    assert (row["worker"], row["attempt"], row["device"]) == ("worker-3", 2, first.device)


def test_it_holds_several_backbones_until_it_is_told_which_to_keep(process, run):
    other = BackboneName(weights=False, precision="float32")
    first = process("float32", other)
    found = first.open(None)
    ours = BackboneName(precision="float32")
    assert list(found.each) == [ours, other]
    assert found.each[other].backbone_fingerprint != found.backbone_fingerprint == found.each[ours].backbone_fingerprint
    orders = [WorkOrder("order", {"hash": run.model_copy(update={"backbone": one})}, (0, 1)) for one in (ours, other)]
    trained, untrained = ([row["class_hits"] for row in first.solve(order, 1, 0)] for order in orders)
    assert trained != untrained

    # Each as a worker that holds it alone has it.
    alone = process("float32")
    alone.open(None)
    assert [row["class_hits"] for row in alone.solve(orders[0], 1, 0)] == trained

    # What caches may hold is for both together; later, both or one are loaded as the first worker found them.
    assert {worker.compute.cache_megabytes for worker in first.workers.values()} == {512}
    assert process("auto", other).workers == {}
    later = process("float32", other)
    assert later.open(found).differences(found) == {}
    late = process("float32", other)
    assert late.open(found.only([other])).differences(found.only([other])) == {}
    first.keep(found.only([other]))
    assert list(first.workers) == list(late.workers) == [other]


def test_it_says_where_it_is(process, monkeypatch):
    context = SimpleNamespace(get_node_id=lambda: "node-1")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr("pipeline.workers.process.socket.gethostname", lambda: "gpu7")
    place = process("float32").place()
    assert (place.node, place.host) == ("node-1", "gpu7")


@pytest.mark.parametrize(("cards", "device"), [([], "cpu"), (["3"], "cuda"), (None, "cuda")])
def test_a_worker_computes_on_the_gpu_that_it_holds_and_on_no_other(process, monkeypatch, cards, device):
    """A worker of a core on a node with GPUs sees them all, and would take the first."""
    asked = []

    def worker(name, run, store, home, device):
        asked.append(device)
        raise torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered")

    monkeypatch.setattr("pipeline.workers.process.cards_held", lambda: cards)
    monkeypatch.setattr("pipeline.workers.worker.Worker", worker)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("pipeline.workers.process.socket.gethostname", lambda: "box-7")
    named = "GPU 3" if cards else "the processor"
    with pytest.raises(DeviceFailedError, match=f"^{named} on box-7 has failed: CUDA error: uncorrectable ECC error"):
        process("float32").open(None)
    assert asked == [device]


def test_a_driver_that_is_too_old_is_told_and_does_not_become_the_processor(process, monkeypatch):
    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr("pipeline.workers.process.cards_held", lambda: ["0"])
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(
        DeviceFailedError, match=r"^GPU 0 on .+ does not fit the torch .+ driver .+ too old .+gpus_per_"
    ):
        process("float32").open(None)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceFailedError, match=r"^GPU 0 on .+ has failed: No CUDA GPUs are available to torch"):
        process("float32").open(None)


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
