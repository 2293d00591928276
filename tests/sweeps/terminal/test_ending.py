"""How a command takes signals; tests/sweeps/test_ending.py sends them to whole sweeps."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from sweeps.terminal.ending import Interrupted, ending_well
from tests.pipeline.processes import alive


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_the_block_and_handlers_are_put_back(number, status):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"^interrupted by {number.name}$") as ended, ending_well():
        os.kill(os.getpid(), number)
    assert ended.value.status == status
    assert isinstance(ended.value, KeyboardInterrupt)  # so that nothing takes it for a mistake
    assert signal.getsignal(number) is before


def test_what_ray_makes_of_it_while_it_waits_is_told_as_the_signal_that_it_was():
    def waiting_as_ray_does():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None

    with pytest.raises(Interrupted, match=r"^interrupted by SIGTERM$") as ended, ending_well():
        waiting_as_ray_does()
    assert ended.value.status == 143
    with pytest.raises(KeyboardInterrupt) as other, ending_well():
        raise KeyboardInterrupt  # of nobody's signal
    assert type(other.value) is KeyboardInterrupt


def test_a_thread_leaves_signals_as_they_are():
    seen = []

    def work():
        with ending_well():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


ENDS_SLOWLY = """
import os, signal, subprocess, sys, time
from sweeps.terminal.ending import ending_well
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with ending_well():
    try:
        print(child.pid, flush=True)
        time.sleep(600)
    finally:
        print("ending", flush=True)
        time.sleep(600)
"""


def test_a_second_signal_ends_the_process_and_what_it_has_started():
    with subprocess.Popen([sys.executable, "-c", ENDS_SLOWLY], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "ending\n"
        assert alive(child)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
    assert not alive(child)
