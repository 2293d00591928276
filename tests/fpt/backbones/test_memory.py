"""The allocator of this machine, asked in a process of its own."""

import os
import resource
import subprocess
import sys

import pytest

from fpt.backbones.memory import HUGE_PAGES

ALLOCATE = """
import resource, torch
from fpt.backbones.memory import tune_allocator
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


@pytest.mark.slow
def test_blocks_that_were_freed_are_used_again_without_a_page_fault():
    kept, faults = page_faults(keep=True)
    if not kept:
        pytest.skip("this system's allocator is not glibc's")
    pages = 20 * 2**26 // resource.getpagesize()
    assert faults < pages / 100
    assert page_faults(keep=False)[1] > 10 * faults


@pytest.mark.slow
@pytest.mark.parametrize(("own", "left"), [(None, "1"), ("0", "0")])
def test_huge_pages_are_asked_for_unless_the_user_has_chosen(own, left):
    environment = {name: value for name, value in os.environ.items() if name != HUGE_PAGES}
    if own is not None:
        environment[HUGE_PAGES] = own
    told = "import os; from fpt.backbones.memory import *; tune_allocator(); print(os.environ[HUGE_PAGES])"
    found = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == left
