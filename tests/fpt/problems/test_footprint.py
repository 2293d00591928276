"""The count of bytes, against what is allocated on a pretend GPU."""

import gc
from dataclasses import replace

import pytest
import torch

from fpt.backbones import memory
from fpt.problems.footprint import MOST_PROBLEMS, bytes_of_problem, problems_on_gpu
from fpt.problems.solving import solve
from tests.fpt.test_on_gpu import backbone_of, episodes_of, setting_of
from tests.pretend_cuda import pretend_cuda


def allocated(setting, few=2, more=4):
    """What one more problem of an episode takes at most, and what is counted."""
    peaks = []
    with pretend_cuda() as device:
        backbone = backbone_of("glyphs", "cuda", torch.float32)
        episodes, gathered = episodes_of(backbone, setting, 1), {}
        for count in (few, few, more):  # what is kept from the first is not counted
            settings = [replace(setting, lr=1e-3 * (i + 1)) for i in range(count)]
            gc.collect()
            device.forget()
            before = device.bytes
            solve(backbone, episodes, settings, count, gathered)
            peaks.append(device.peak - before)
        return (peaks[2] - peaks[1]) / (more - few), bytes_of_problem(backbone, episodes, setting)


CASES = [
    ("lora", {"blocks": 2}),
    ("lora", {"blocks": 2, "heads": "each"}),
    ("lora", {"blocks": 1}),
    ("ssf", {"blocks": 2}),
    ("vpt", {"blocks": 2}),
    ("full", {"blocks": 2}),
]


@pytest.mark.parametrize(
    ("solver", "values"), [CASES[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in CASES[1:])]
)
def test_what_is_counted_is_allocated_and_no_more_than_half_as_much_again(solver, values):
    found, counted = allocated(setting_of(solver, epochs=1, head="protonet", **values))
    assert 0.5 * counted < found < 1.05 * counted


def test_a_share_of_a_card_holds_a_share_of_the_problems(monkeypatch):
    setting = setting_of("lora")
    monkeypatch.setattr(memory, "_share", [1.0])  # a worker that lived in this process may have left its own
    monkeypatch.setattr(memory, "_kept", [0])
    with pretend_cuda():
        backbone = backbone_of("glyphs", "cuda", torch.float32)
        episodes = episodes_of(backbone, setting)
        assert problems_on_gpu(backbone, episodes, setting) == MOST_PROBLEMS
        each = bytes_of_problem(backbone, episodes, setting)
        monkeypatch.setattr(memory, "held_by", lambda device: 200 * each)
        monkeypatch.setattr("fpt.problems.footprint.images_a_pass", lambda device, elsewhere: 0)
        whole = problems_on_gpu(backbone, episodes, setting)
        monkeypatch.setattr(memory, "_share", [0.5])
        half = problems_on_gpu(backbone, episodes, setting)
        monkeypatch.setattr(memory, "_kept", [40 * each])
        assert 150 < whole < 170
        assert half == pytest.approx(whole - 85, abs=1)
        assert problems_on_gpu(backbone, episodes, setting) == half - 40
        monkeypatch.setattr(memory, "_share", [0.001])
        assert problems_on_gpu(backbone, episodes, setting) == 1
