"""Pyramids: prompts of every window of every stage of a small Swin, against timm's own windows."""

import copy

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.swin_transformer import window_partition

import fpt
from fpt.backbones.backbone import Backbone
from fpt.prompts.pyramids import window_places
from fpt.solvers import Training
from fpt.solvers.fine_tuning import losses
from tests.fpt.prompts.test_contrast import log_ratios_one_by_one
from tests.fpt.prompts.test_variants import component_by_svd

TOP, WAY = 3, 3


def swin(side):
    """Two stages of two blocks, the second of each stage shifted where it has several windows; float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(
            "swin_tiny_patch4_window7_224",
            img_size=side,
            depths=(2, 2),
            embed_dim=24,
            num_heads=(2, 4),
            num_classes=0,
        )
        for weight in model.parameters():
            weight.requires_grad_(False)
            weight.mul_(4) if weight.ndim > 1 else weight.add_(torch.randn_like(weight) / 10)
    return model.double().eval()


@pytest.fixture(scope="module", params=[56, 64], ids=["whole windows", "padded windows"])
def backbone(request):
    return Backbone(swin(request.param))


@pytest.fixture(scope="module")
def labelled(backbone):
    side, random = backbone.image_size, torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, side, side, 3), dtype=torch.uint8, generator=random)
    weight, bias = (torch.randn(*size, generator=random, dtype=torch.float64) for size in ((WAY, 48), (WAY,)))
    return images, torch.tensor([0, 2, 1, 0]), weight, bias


def by_hand(backbone, images):
    """For each stage its last block, what enters it (with a graph) and its logits, images x windows x heads x N x N."""
    model = copy.deepcopy(backbone.model)
    blocks, entered, logits = [stage.blocks[-1] for stage in model.layers], [], []

    def multiply(attention, inputs, options):
        q, k, _ = attention.qkv(inputs[0]).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        found = (q * attention.scale @ k.transpose(2, 3) + attention._get_rel_pos_bias()).unflatten(
            0, (len(images), -1)
        )
        mask = options.get("mask", inputs[1] if len(inputs) > 1 else None)
        logits.append(found if mask is None else found + mask[None, :, None])

    for block in blocks:
        block.register_forward_pre_hook(lambda module, inputs: entered.append(inputs[0]))
        block.attn.register_forward_pre_hook(multiply, with_kwargs=True)
    features = model(backbone.normalise(images).requires_grad_())
    return blocks, entered, logits, features


def in_windows(block, tokens):
    """As timm's block: rolled, padded, partitioned."""
    height, width = tokens.shape[1:3]
    rolled = torch.roll(tokens, (-block.shift_size[0], -block.shift_size[1]), (1, 2))
    size = block.window_size
    padded = F.pad(rolled, (0, 0, 0, -width % size[1], 0, -height % size[0]))
    return window_partition(padded, size).flatten(1, 2).unflatten(0, (len(tokens), -1))


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_importance_and_targets_are_those_of_each_stages_last_block(variant, backbone, labelled):
    images, labels, weight, bias = labelled
    found = fpt.position_prompts(backbone, images, labels, weight, bias, lam=0.0, patches=TOP, variant=variant)
    _, _, logits, _ = by_hand(backbone, images)
    assert len(found.importance) == 2
    for stage, of_stage in enumerate(logits):
        maps = of_stage if variant == "official" else of_stage.softmax(-1)
        expected = maps.mean((2, 3))
        torch.testing.assert_close(found.importance[stage], expected, rtol=1e-6, atol=1e-9)
        cut = expected.sort(-1, descending=True).values[..., TOP - 1, None]
        assert torch.equal(found.mask[stage], expected >= cut)
        assert (found.mask[stage].sum(-1) == TOP).all()
        each = 1.0 if variant == "official" else 1 / TOP
        torch.testing.assert_close(found.target[stage], (expected >= cut).double() * each, rtol=1e-9, atol=0)
        assert not found.gradient_term[stage].any()


@pytest.mark.parametrize("variant", ["paper", "scaled"])
def test_the_gradient_term_is_that_of_timms_windows(variant, backbone, labelled):
    images, labels, weight, bias = labelled
    found = fpt.position_prompts(backbone, images, labels, weight, bias, lam=0.5, patches=TOP, variant=variant)
    blocks, entered, logits, features = by_hand(backbone, images)
    own = (features @ weight.T + bias)[torch.arange(4), labels].sum()
    gradients = torch.autograd.grad(own, entered)
    for stage, block in enumerate(blocks):
        gradient, tokens = (in_windows(block, part.detach()) for part in (gradients[stage], entered[stage]))
        component = torch.stack(
            [component_by_svd(gradient[i].flatten(0, 1), tokens[i].flatten(0, 1)) for i in range(4)]
        )
        if variant == "scaled":
            component = component / component.abs().sum(1, keepdim=True)
        expected = component.view_as(found.gradient_term[stage])
        tiny = 1e-6 * float(expected.abs().max())
        torch.testing.assert_close(found.gradient_term[stage], expected, rtol=1e-4, atol=tiny)
        received = logits[stage].softmax(-1).mean((2, 3))
        torch.testing.assert_close(found.importance[stage], received + 0.5 * expected, rtol=1e-4, atol=tiny)


def test_contrast_is_of_timms_windows(backbone, labelled):
    """Tokens of a stage's last block, window after window, each against those of all windows of the other images."""
    images, labels, weight, bias = labelled
    found = fpt.position_prompts(backbone, images, labels, weight, bias, lam=0.0, patches=TOP, variant="contrast")
    plain = fpt.position_prompts(backbone, images, labels, weight, bias, lam=0.0, patches=TOP, variant="scaled")
    blocks, entered, _, _ = by_hand(backbone, images)
    for stage, block in enumerate(blocks):
        tokens = in_windows(block, entered[stage].detach()).flatten(1, 2)
        slow = log_ratios_one_by_one(tokens, labels, matched=256)
        joined = plain.importance[stage] * torch.from_numpy(np.exp(slow)).view_as(plain.importance[stage])
        joined = joined / joined.sum(-1, keepdim=True)
        torch.testing.assert_close(found.importance[stage], joined, rtol=1e-3, atol=1e-9)
        target = found.mask[stage].double() / TOP * found.confidence[stage][:, None, None]
        torch.testing.assert_close(found.target[stage], target, rtol=1e-9, atol=1e-12)


def test_official_takes_no_gradient_at_any_lambda(backbone, labelled):
    with_lambda, without = (
        fpt.position_prompts(backbone, *labelled, lam=lam, patches=TOP, variant="official") for lam in (1.0, 0.0)
    )
    for ours, theirs in zip(with_lambda.importance, without.importance, strict=True):
        assert torch.equal(ours, theirs)


def test_places_in_windows_are_timms(backbone):
    """Tokens numbered from 1, rolled and partitioned by timm; padding is 0."""
    for stage, of_stage in enumerate(backbone.model.layers):
        block = of_stage.blocks[-1]
        side = block.input_resolution[0]
        numbers = 1 + torch.arange(side * side, dtype=torch.float64).view(1, side, side, 1)
        expected = in_windows(block, numbers)[0, ..., 0] - 1
        assert torch.equal(window_places(backbone, stage), expected.long())


@pytest.mark.parametrize("rows", ["patches", "all"])
def test_losses_add_up_over_stages(rows, backbone, labelled):
    """Mean over windows and rows within a stage; cross-entropy with a head of zeros is ln 3."""
    images, labels, weight, bias = labelled
    prompts = fpt.position_prompts(backbone, images, labels, weight, bias, lam=0.0, patches=TOP, variant="official")
    zero = torch.zeros(1, WAY, 48, dtype=torch.float64), torch.zeros(1, WAY, dtype=torch.float64)
    alpha, tau = torch.tensor([0.7], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    training = Training(way=WAY, blocks=4, rows=rows)
    found = losses(
        backbone,
        training,
        zero,
        backbone.lower(images, 0)[None],
        labels[None],
        [target[None] for target in prompts.target],
        alpha,
        tau,
        0,
    )
    _, _, logits, _ = by_hand(backbone, images)
    pulled = 0
    for target, of_stage in zip(prompts.target, logits, strict=True):
        log_attention = (of_stage.mean(2) / 2).log_softmax(-1)
        pulled = pulled + (target[:, :, None] * log_attention).sum(-1).mean()
    expected = torch.tensor(3.0, dtype=torch.float64).log() - 0.7 * pulled
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("solver", ["linear_probe", "lora", "ssf", "full"])
def test_solvers_run_on_a_pyramid_and_a_stack_is_its_problems(solver, backbone):
    random = torch.Generator().manual_seed(1)
    side = backbone.image_size
    episodes = [
        fpt.Episode(
            torch.randint(0, 256, (4, side, side, 3), dtype=torch.uint8, generator=random),
            torch.tensor([0, 1, 0, 1]),
            torch.randint(0, 256, (4, side, side, 3), dtype=torch.uint8, generator=random),
            torch.tensor([0, 0, 1, 1]),
            index=index,
        )
        for index in range(3)
    ]
    options = {"solver": solver, "seed": 0, "lr": 1e-3, "epochs": 2, "patches": TOP, "lam": 0.1, "head": "r2d2"}
    together = fpt.solve(backbone, episodes, **options, alpha=0.5, stack=3)
    alone = fpt.solve(backbone, episodes, **options, alpha=0.5, stack=1)
    plain = fpt.solve(backbone, episodes, **options, alpha=0.0)
    for ours, theirs, unsteered in zip(together, alone, plain, strict=True):
        torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-6, atol=1e-7)
        assert ((ours.logits - unsteered.logits).abs().max() > 1e-6) == (solver != "linear_probe")


def test_class_rows_and_vpt_are_refused(backbone, labelled):
    images, labels, _, _ = labelled
    episode = fpt.Episode(images, labels, images, labels, index=0)
    with pytest.raises(ValueError, match=r"rows must be patches or all for a backbone without a .CLS. token"):
        fpt.solve(backbone, [episode], solver="lora", seed=0, alpha=1.0, patches=TOP, rows="class")
    with pytest.raises(ValueError, match="solver vpt must have a columnar backbone"):
        fpt.solve(backbone, [episode], solver="vpt", seed=0)
