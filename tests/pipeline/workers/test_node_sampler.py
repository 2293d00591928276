import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.workers import node_sampler
from pipeline.workers.node_sampler import NodeSampler

# As MLflow's own monitor names them.
CPU = {"cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage"}
DISK = {"disk_usage_percentage", "disk_usage_megabytes", "disk_available_megabytes"}
NETWORK = {"network_receive_megabytes", "network_transmit_megabytes"}


class Nvml:
    """A library of two GPUs; the second is a slice, which tells no more than its memory."""

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, number):  # noqa: N802
        return number

    def nvmlDeviceGetMemoryInfo(self, gpu):  # noqa: N802
        return SimpleNamespace(used=20e9, total=80e9)

    def nvmlDeviceGetUtilizationRates(self, gpu):  # noqa: N802
        if gpu:
            raise self.NVMLError
        return SimpleNamespace(gpu=97)

    def nvmlDeviceGetPowerUsage(self, gpu):  # noqa: N802
        if gpu:
            raise self.NVMLError
        return 350_000

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu):  # noqa: N802
        return 700_000


@pytest.fixture
def sampler(monkeypatch):
    """Makes samplers that sample at once, and ends them."""
    made = []

    def make(nvml=None):
        monkeypatch.setattr(node_sampler, "management_library", lambda: nvml)
        made.append(NodeSampler(0.05, 0.05))
        return made[-1]

    yield make
    for one in made:
        one.ended.set()


def first_said(sampler):
    while not (said := sampler.said()):
        time.sleep(0.01)
    return said


def test_a_node_without_gpus_is_told_by_mlflows_names(sampler):
    said = first_said(sampler())
    assert set(said) == CPU | DISK | NETWORK
    assert 0 <= said["cpu_utilization_percentage"] <= 100
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total = int(lines["MemTotal"].split()[0]) * 1024 / 1e6
    used = 100 * said["system_memory_usage_megabytes"] / said["system_memory_usage_percentage"]
    assert used == pytest.approx(total, rel=0.02)  # the share is told to a tenth
    assert min(said.values()) >= 0


def test_gpus_tell_what_they_can(sampler):
    said = first_said(sampler(Nvml()))
    assert {name: value for name, value in said.items() if name.startswith("gpu_")} == {
        "gpu_0_memory_usage_percentage": 25.0,
        "gpu_0_memory_usage_megabytes": 20000.0,
        "gpu_0_utilization_percentage": 97.0,
        "gpu_0_power_usage_watts": 350.0,
        "gpu_0_power_usage_percentage": 50.0,
        "gpu_1_memory_usage_percentage": 25.0,
        "gpu_1_memory_usage_megabytes": 20000.0,
    }


def test_a_mean_is_since_the_last_time_and_traffic_since_the_start(sampler):
    one = sampler()
    one.ended.set()
    one.samples["cpu_utilization_percentage"].extend([10.0, 20.0, 60.0])
    one.samples["network_receive_megabytes"].extend([1.0, 2.0, 6.0])
    said = one.said()
    assert (said["cpu_utilization_percentage"], said["network_receive_megabytes"]) == (30.0, 6.0)
    assert one.said() == {}


def test_no_library_is_no_gpu(monkeypatch):
    monkeypatch.setattr(node_sampler, "NVML", ("no.such.package",))
    assert node_sampler.management_library() is None
