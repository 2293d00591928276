"""The [CLS] row of a block, against the whole block."""

import numpy as np
import pytest
import torch
from torch import nn

from fpt.backbones.class_row import class_row, is_plain
from fpt.solvers.adapters import lora_applied

KINDS = ("vit", "normed queries and keys")


def tokens_of(model):
    return torch.randn(4, 5, model.embed_dim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("class_row_only", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_first_row_of_the_whole_block(kind, class_row_only, small_model):
    model = small_model(kind)
    block, tokens = model.blocks[0], tokens_of(model)
    row, _ = class_row(block, tokens, class_row_only)
    torch.testing.assert_close(row, block(tokens)[:, :1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("class_row_only", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_its_attention_is_that_of_query_and_keys_by_hand(kind, class_row_only, small_model):
    model = small_model(kind)
    block, tokens = model.blocks[0], tokens_of(model)
    attention = block.attn
    _, call = class_row(block, tokens, class_row_only)
    found = call.logits(slice(0, 1)).softmax(-1)[:, :, 0].numpy()
    qkv = attention.qkv(block.norm1(tokens)).view(4, 5, 3, attention.num_heads, attention.head_dim)
    query, key = (norm(qkv[:, :, i]) for i, norm in enumerate((attention.q_norm, attention.k_norm)))
    for image in range(4):
        for head in range(attention.num_heads):
            logits = key[image, :, head].double().numpy() @ query[image, 0, head].double().numpy()
            expected = np.exp((logits - logits.max()) / attention.head_dim**0.5)
            np.testing.assert_allclose(found[image, head], expected / expected.sum(), rtol=1e-3, atol=1e-5)


def test_updates_of_each_problem_are_seen_by_either_road(small_model):
    """Two problems of two images each, with updates of their own, merged into weights or added to outputs."""
    model = small_model("vit")
    block, tokens = model.blocks[0], tokens_of(model)
    random = torch.Generator().manual_seed(1)
    linear = block.attn.qkv
    down, up = (
        torch.randn(2, *shape, generator=random) for shape in ((2, linear.in_features), (linear.out_features, 2))
    )
    with lora_applied([linear], [(down, up)]):
        row, _ = class_row(block, tokens, True)
        expected = block(tokens)[:, :1]
    torch.testing.assert_close(row, expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(expected, block(tokens)[:, :1], atol=0.1)


def test_only_timm_s_standard_block_is_plain(small_model):
    assert is_plain(small_model("vit").blocks[0])
    assert not is_plain(small_model("rotary").blocks[0])
    assert not is_plain(nn.Linear(2, 2))
