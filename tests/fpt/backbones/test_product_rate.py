import pytest
import torch

from fpt.backbones import product_rate
from fpt.backbones.product_rate import matrix_product_rate


def test_the_rate_is_the_best_of_many(monkeypatch):
    """A machine that is busy for a while does not have a lower rate."""
    clock, seconds = [0.0], iter([2.0, 1.0, 8.0, 16.0])
    monkeypatch.setattr(product_rate, "SECONDS_OF_RATE", 20.0)

    class Matrix:
        def __matmul__(self, other):
            clock[0] += next(seconds)

    monkeypatch.setattr(product_rate.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(product_rate.torch, "randn", lambda *size, **how: Matrix())
    assert matrix_product_rate(torch.device("cpu"), torch.float32, size=2) == 16.0


def test_a_gpu_gets_more_products_before_it_is_waited_for(monkeypatch):
    """By hand: a product takes 1 ms and a wait 4; 1, 2 and 4 products take 5, 6 and 8."""
    clock, products, waits = [0.0], [], []
    monkeypatch.setattr(product_rate, "SECONDS_OF_RATE", 0.018)
    monkeypatch.setattr(product_rate, "SECONDS_BETWEEN_WAITS", 0.0055)

    class Matrix:
        def __matmul__(self, other):
            clock[0] += 0.001
            products.append(1)

    def wait():
        clock[0] += 0.004
        waits.append(len(products))

    monkeypatch.setattr(product_rate.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(product_rate.torch, "randn", lambda *size, **how: Matrix())
    monkeypatch.setattr(product_rate.torch.cuda, "synchronize", wait)
    rate = matrix_product_rate(torch.device("cuda:0"), torch.bfloat16, size=10)
    assert waits == [1, 3, 5, 7]
    assert rate == pytest.approx(2 * 10**3 * 2 / 0.006)


def test_memory_and_launches_have_rates(monkeypatch):
    monkeypatch.setattr(product_rate, "COPIED_BYTES", 2**20)
    monkeypatch.setattr(product_rate, "LAUNCHES", 10)
    seconds = iter([4.0, 2.0, 1.0, 2.0, 3.0] * 2)
    monkeypatch.setattr(product_rate, "_seconds", lambda device, work: (work(), next(seconds))[1])
    assert product_rate.launch_seconds(torch.device("cpu")) == 0.1
    assert product_rate.memory_rate(torch.device("cpu")) == 2 * 2**20 / 1.0
