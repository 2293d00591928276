"""Which products are rounded, seen by what torch is told at each: processors have no TF32 to look at."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fpt.backbones.attention import AttentionCall
from fpt.exact import exact_products, rounds_products
from fpt.heads.closed_form import named_head, scores
from fpt.problems.problem import Setting
from fpt.problems.solving import solve
from fpt.prompts.columnar import first_component
from fpt.registry import HEADS
from fpt.solvers import Training

PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "linalg_lu_factor_ex", "linalg_solve_ex", "_linalg_solve_ex"}


class Products(TorchDispatchMode):
    """Notes of each product whether it may be rounded."""

    def __init__(self):
        super().__init__()
        self.rounded = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name.partition("::")[2] in PRODUCTS:
            self.rounded.append(torch.get_float32_matmul_precision())
        return func(*args, **(kwargs or {}))


@pytest.fixture
def tf32():
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("head", HEADS)
def test_heads_and_their_scores_are_float32s(tf32, head):
    features, labels = torch.rand(2, 6, 8), torch.arange(3).repeat(2, 2)
    with Products() as products:
        made = named_head(head, features, labels, 3, 1.0, [(0, 0), (0, 1)])
        scores(features, made)
    assert set(products.rounded) <= {"highest"}
    assert products.rounded or head in ("zero", "random")
    assert rounds_products()


def test_g_and_attention_that_is_read_are_float32s(tf32):
    call = AttentionCall(torch.rand(2, 3, 5, 4), torch.rand(2, 3, 5, 4), 0.5, None)
    with Products() as products:
        first_component(torch.rand(2, 5, 7), torch.rand(2, 5))
        call.logits(slice(None))
        call.head_mean_logits(slice(0, 1))
    assert set(products.rounded) == {"highest"}


def test_a_backbone_is_as_fast_as_it_was_told_to_be(tf32, backbone, episodes):
    setting = Setting("lora", replace(Training(way=3), blocks=2, epochs=1), alpha=1.0)
    with Products() as products:
        solve(backbone, episodes, [setting], 8)
    assert {"high", "highest"} == set(products.rounded)


def test_what_was_told_before_is_put_back():
    with pytest.raises(KeyError), exact_products():
        raise KeyError
    assert not rounds_products()


def test_logits_of_half_precision_are_not_rounded_again():
    """Products of bfloat16 numbers have up to 16 bits; a logit in bfloat16 keeps 8."""
    random = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, 16, 32, generator=random, dtype=torch.bfloat16) for _ in range(2))
    call = AttentionCall(query, key, 32**-0.5, None)
    exact = torch.einsum("bhrc,bhtc->bhrt", query.double(), key.double()) * 32**-0.5
    torch.testing.assert_close(call.logits(slice(None)).double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(call.head_mean_logits(slice(None)).double(), exact.mean(1), rtol=1e-5, atol=1e-5)
    assert float((exact - exact.bfloat16().double()).abs().max()) > 1e-3
