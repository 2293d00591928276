"""How nodes are: processor, memory, disk, network, GPUs, by the names that MLflow's own monitor has for them.

Each worker samples its node from a thread, from its start on; one of each node is asked, between orders, and nobody
waits for it.
"""

import os
import threading
from collections import defaultdict, deque
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

import ray  # noqa: F401  # importing Ray is what makes its psutil findable

FIRST_SECONDS, EVERY_SECONDS = 1.0, 5.0  # to the first sample, and between others
MOST_SAMPLES = 60  # that are kept while nobody asks
MEGA = 1e6
NVML = ("pynvml", "ray._private.thirdparty.pynvml")  # NVIDIA's management library: as installed, or Ray's copy


class NodeSampler:
    """A sampler samples its node, all GPUs of it included, for as long as its process lives."""

    def __init__(self, first: float = FIRST_SECONDS, every: float = EVERY_SECONDS) -> None:
        self.first, self.every = first, every
        self.samples: dict[str, deque[float]] = defaultdict(partial(deque, maxlen=MOST_SAMPLES))
        self.lock = threading.Lock()
        self.ended = threading.Event()
        threading.Thread(target=self._work, name="node sampler", daemon=True).start()

    def said(self) -> dict[str, float]:
        """Returns means since it was last asked; for what was sent and received, how much since it began. Returns
        nothing where there is no sample since then.
        """
        with self.lock:
            samples, self.samples = self.samples, defaultdict(partial(deque, maxlen=MOST_SAMPLES))
        return {
            name: round(values[-1] if name.startswith("network_") else sum(values) / len(values), 1)
            for name, values in samples.items()
        }

    def _work(self) -> None:
        psutil, nvml = import_module("psutil"), management_library()
        psutil.cpu_percent()  # it tells what has passed since it was last called, by this thread
        began, pause = psutil.net_io_counters(), self.first
        while not self.ended.wait(pause):
            sample = {**_of_node(psutil, began), **(_of_gpus(nvml) if nvml else {})}
            with self.lock:
                for name, value in sample.items():
                    self.samples[name].append(value)
            pause = self.every


def management_library() -> Any:
    """Returns NVIDIA's management library, initialised, None where there is no such GPU or driver."""
    for name in NVML:
        with suppress(Exception):  # each copy has exceptions of its own
            library = import_module(name)
            library.nvmlInit()
            return library
    return None


def _of_node(psutil: Any, began: Any) -> dict[str, float]:
    memory, disk, network = psutil.virtual_memory(), psutil.disk_usage(os.sep), psutil.net_io_counters()
    sample = {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / MEGA,
        "system_memory_usage_percentage": 100 * memory.used / memory.total,
        "disk_usage_percentage": disk.percent,
        "disk_usage_megabytes": disk.used / MEGA,
        "disk_available_megabytes": disk.free / MEGA,
    }
    if network is not None:  # None on a machine without network
        sample["network_receive_megabytes"] = (network.bytes_recv - began.bytes_recv) / MEGA
        sample["network_transmit_megabytes"] = (network.bytes_sent - began.bytes_sent) / MEGA
    return sample


def _of_gpus(nvml: Any) -> dict[str, float]:
    """Returns what each GPU tells; slices of a GPU, and some drivers, do not tell all."""
    sample: dict[str, float] = {}
    for number in range(nvml.nvmlDeviceGetCount()):
        gpu = nvml.nvmlDeviceGetHandleByIndex(number)
        with suppress(nvml.NVMLError):
            memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
            sample[f"gpu_{number}_memory_usage_percentage"] = 100 * memory.used / memory.total
            sample[f"gpu_{number}_memory_usage_megabytes"] = memory.used / MEGA
        with suppress(nvml.NVMLError):
            sample[f"gpu_{number}_utilization_percentage"] = float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
        with suppress(nvml.NVMLError):
            watts = nvml.nvmlDeviceGetPowerUsage(gpu) / 1000
            sample[f"gpu_{number}_power_usage_watts"] = watts
            sample[f"gpu_{number}_power_usage_percentage"] = 1e5 * watts / nvml.nvmlDeviceGetEnforcedPowerLimit(gpu)
    return sample
