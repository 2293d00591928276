import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from fpt.backbones.backbone import Backbone
from fpt.solvers.adapters import attention_projections, computed_once, lora_applied, lora_start

RANK = 3
STACK, INPUTS, OUTPUTS = 3, 5, 4
LIKE = torch.zeros(0)


def generators(count):
    return [np.random.default_rng(seed) for seed in range(count)]


def trained(projections, stack):
    """Adapters as after some steps: both factors far from zero."""
    adapters = lora_start(projections, RANK, generators(stack), LIKE)
    random = torch.Generator().manual_seed(0)
    return [(down, torch.randn(up.shape, generator=random) / 4) for down, up in adapters]


def features_of_merged_weights(backbone, adapters, start, problem, images):
    """A whole copy of the model whose projections are W + B A / rank for one problem."""
    merged = Backbone(copy.deepcopy(backbone.model))
    for linear, (down, up) in zip(attention_projections(merged, start), adapters, strict=True):
        linear.weight.add_(up[problem] @ down[problem] / RANK)
    return merged.model.forward_head(merged.model.forward_features(merged.normalise(images)), pre_logits=True)


def assert_hooks_are_merged_weights(backbone, start, stack=3, each=2):
    side = backbone.image_size
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (stack * each, side, side, 3), dtype=torch.uint8, generator=random)
    tokens = backbone.lower(images, start)
    projections = attention_projections(backbone, start)
    adapters = trained(projections, stack)
    frozen = backbone.upper(tokens, start).features
    with lora_applied(projections, adapters):
        stacked = backbone.upper(tokens, start).features.unflatten(0, (stack, each))
        class_rows = backbone.upper(tokens, start, class_row_only=True).features.unflatten(0, (stack, each))
    torch.testing.assert_close(class_rows, stacked, rtol=1e-4, atol=1e-5)
    assert (stacked.flatten(0, 1) - frozen).abs().max() > 0.01
    for problem, own in enumerate(images.split(each)):
        expected = features_of_merged_weights(backbone, adapters, start, problem, own)
        torch.testing.assert_close(stacked[problem], expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(backbone.upper(tokens, start).features, frozen)


@pytest.mark.parametrize("start", [5, 3])
def test_updates_are_those_of_merged_weights(backbone, start):
    assert_hooks_are_merged_weights(backbone, start)


@pytest.mark.parametrize("kind", ["vit", "layer scale, registers", "rotary", "position bias"])
def test_updates_of_other_backbones_are_those_of_merged_weights(kind, small_model):
    assert_hooks_are_merged_weights(Backbone(small_model(kind)), 0)


def test_a_model_that_does_not_call_its_projection_is_adapted_right_or_refused(small_model):
    """timm's EVA and BEiT multiply with the weight of `qkv` themselves where its bias is kept apart."""
    try:
        assert_hooks_are_merged_weights(Backbone(small_model("bias beside its projection")), 0)
    except ValueError as error:
        assert "backbone" in str(error)  # noqa: PT017


def test_the_projections_are_those_of_attention(backbone):
    projections = attention_projections(backbone, 4)
    expected = [linear for block in backbone.blocks[4:] for linear in (block.attn.qkv, block.attn.proj)]
    assert [id(linear) for linear in projections] == [id(linear) for linear in expected]


@pytest.mark.parametrize("kind", ["rotary", "position bias"])
def test_only_queries_keys_values_and_output_are_adapted(kind, small_model):
    """Nothing that makes position biases."""
    backbone = Backbone(small_model(kind))
    names = {id(module): name for name, module in backbone.model.named_modules()}
    adapted = {names[id(linear)].rsplit(".", 1)[1] for linear in attention_projections(backbone, 0)}
    assert adapted <= {"qkv", "q_proj", "k_proj", "v_proj", "proj"}


def test_adapters_start_as_lora_says(backbone):
    """Down uniform within 1 / sqrt(inputs), so of variance 1 / (3 inputs); up zero, so that nothing changes yet."""
    projections = attention_projections(backbone, 5)
    for linear, (down, up) in zip(projections, lora_start(projections, 16, generators(4), LIKE), strict=True):
        assert down.shape == (4, 16, linear.in_features)
        assert down.dtype == torch.float32
        bound = linear.in_features**-0.5
        assert 0.98 * bound < down.abs().max() <= bound
        assert down.var().item() == pytest.approx(bound**2 / 3, rel=0.1)
        assert torch.equal(up, torch.zeros(4, linear.out_features, 16))


def test_a_problem_starts_alike_whoever_shares_its_stack(backbone):
    projections = attention_projections(backbone, 5)
    together = lora_start(projections, RANK, generators(3), LIKE)
    alone = lora_start(projections, RANK, generators(3)[2:], LIKE)
    for (down, _), (own, _) in zip(together, alone, strict=True):
        assert torch.equal(down[2], own[0])
        assert not torch.equal(down[1], down[2])


def test_hooks_go_away_after_an_error(backbone):
    projections = attention_projections(backbone, 5)
    with pytest.raises(KeyError), lora_applied(projections, trained(projections, 1)):
        raise KeyError
    assert not any(linear._forward_hooks for linear in projections)


@pytest.mark.parametrize("rows", [2, 7], ids=["too few rows for a sum", "rows that pay for a sum"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_low_rank_update_is_a_product_with_the_sum(rows, bias):
    random = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    linear = nn.Linear(INPUTS, OUTPUTS, bias=bias, dtype=torch.float64).requires_grad_(False)
    inputs, down, up = (
        part.requires_grad_()
        for part in (normal(STACK * rows, 1, INPUTS), normal(STACK, RANK, INPUTS), normal(STACK, OUTPUTS, RANK))
    )

    def adapted(inputs, down, up):
        with lora_applied([linear], [(down, up)]):
            return linear(inputs)

    weights = linear.weight + up @ down / RANK
    expected = torch.stack(
        [nn.functional.linear(inputs[i], weights[i // rows], linear.bias) for i in range(STACK * rows)]
    )
    torch.testing.assert_close(adapted(inputs, down, up), expected)
    assert gradcheck(adapted, (inputs, down, up))
    torch.testing.assert_close(linear(inputs), nn.functional.linear(inputs, linear.weight, linear.bias))


def test_half_precision_keeps_the_update_beside_the_weight():
    """In a sum it would be lost: 1 + 2^-10 is 1 in bfloat16."""
    linear = nn.Linear(2, 1, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    linear.weight.copy_(torch.tensor([[1.0, -1.0]]))
    inputs = torch.ones(4, 2, dtype=torch.bfloat16)
    with lora_applied([linear], [(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[2.0**-10]]]))]):
        assert torch.equal(linear(inputs), torch.full((4, 1), 2.0**-10, dtype=torch.bfloat16))


def test_what_is_computed_once_is_given_again_until_the_end():
    linear, first, second = nn.Linear(INPUTS, OUTPUTS), torch.ones(2, INPUTS), torch.zeros(2, INPUTS)
    with torch.no_grad():
        expected, of_second = linear(first), linear(second)
        with computed_once([linear]):
            adapters = trained([linear], 1)
            with lora_applied([linear], adapters), torch.enable_grad():
                updated = linear(first)
            assert torch.equal(linear(first), expected)
            assert torch.equal(linear(second), expected)
        assert torch.equal(linear(second), of_second)
    assert not torch.allclose(updated, expected)
    assert "forward" not in vars(linear)
