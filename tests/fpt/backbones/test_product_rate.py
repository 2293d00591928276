import torch

from fpt.backbones import product_rate
from fpt.backbones.product_rate import matrix_product_rates


def test_types_are_tried_in_turns(monkeypatch):
    """A machine that is busy for a while slows both types, not the one whose turn it happens to be."""
    clock, seconds = [0.0], iter([1.0, 2.0] * 2 + [8.0, 16.0] * 10)
    monkeypatch.setattr(product_rate, "SECONDS_OF_RATE", 20.0)

    def now():
        return clock[0]

    class Matrix:
        def __matmul__(self, other):
            clock[0] += next(seconds)

    monkeypatch.setattr(product_rate.time, "perf_counter", now)
    monkeypatch.setattr(product_rate.torch, "randn", lambda *size, **how: Matrix())
    rates = matrix_product_rates(torch.device("cpu"), [torch.float32, torch.bfloat16], size=2)
    assert rates == [16.0, 8.0]
