"""The allocator of this machine, asked in a process of its own."""

import resource
import subprocess
import sys

import pytest

ALLOCATE = """
import resource, torch
from fpt.memory import tune_allocator
kept = {keep} and tune_allocator()
for _ in range(3):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep):
    found = subprocess.run(
        [sys.executable, "-c", ALLOCATE.format(keep=keep)], capture_output=True, text=True, check=True
    )
    return [int(number) for number in found.stdout.split()]


def test_blocks_that_were_freed_are_used_again_without_a_page_fault():
    kept, faults = page_faults(keep=True)
    if not kept:
        pytest.skip("this system's allocator is not glibc's")
    pages = 20 * 2**26 // resource.getpagesize()
    assert faults < pages / 100
    assert page_faults(keep=False)[1] > 10 * faults
