import os
import signal
import time
from importlib import import_module

import pytest
import ray

from pipeline.cluster.raylet import keep_errors_quiet, raylet_here


@pytest.fixture
def alone(monkeypatch):
    """A Ray of this test's own."""
    monkeypatch.setattr(ray._private.worker, "print_to_stdstream", ray._private.worker.print_to_stdstream)
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=40)
    yield
    ray.shutdown()


def test_a_raylet_is_there_until_it_is_killed_and_ray_does_not_print_its_last_lines(alone, capfd):
    keep_errors_quiet()
    there = raylet_here()
    assert there()
    (raylet,) = (one for one in import_module("psutil").Process().children() if one.name() == "raylet")
    os.kill(raylet.pid, signal.SIGSTOP)
    assert there()  # a process that is stopped goes on
    raylet.kill()
    until = time.monotonic() + 20
    while there() and time.monotonic() < until:
        time.sleep(0.05)
    assert not there()
    time.sleep(3)  # Ray's agent looks at its raylet once a second, and tells drivers
    assert capfd.readouterr().out == ""


def test_ray_still_prints_by_what_is_kept_quiet():
    assert callable(ray._private.worker.print_to_stdstream)
