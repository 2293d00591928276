"""Weights that were read from a file, as they fit into a model."""

from argparse import Namespace

import numpy as np
import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import nn

import fpt.glyphs.backbone  # noqa: F401  (registers the embedded backbone with timm)
from fpt.backbones.weights import load_weights, read_weights
from tests.conftest import NARROW, SMALL

HEAD = {"mlp.0.weight": torch.ones(8, 48), "mlp.0.bias": torch.ones(8), "last_layer.weight_v": torch.ones(5, 8)}


def build(kind="vit", seed=0, **options):
    """A small model whose weights are all random: timm's own are zero or one in many places."""
    name, own = SMALL[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = timm.create_model(name, **{**NARROW, **own, **options}).eval().requires_grad_(False)
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) / 10)
    return model


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def zeros(state):
    return {name: torch.zeros_like(value) for name, value in state.items()}


def arguments():
    """What DINO's `args` and optimizer hold: text, numbers, and a learning rate out of a NumPy schedule."""
    groups = [{"lr": np.float64(0.1), "weight_decay": np.float32(0.2), "schedule": np.arange(3.0)}]
    return {"args": Namespace(arch="vit_small", momentum=np.float64(0.9)), "optimizer": {"param_groups": groups}}


LAYOUTS = {
    "plain": lambda state: state,
    "DataParallel": lambda state: prefixed(state, "module."),
    "compiled": lambda state: {"state_dict": prefixed(state, "module._orig_mod.")},
    "DINO": lambda state: {
        "student": prefixed({**prefixed(zeros(state), "backbone."), **prefixed(HEAD, "head.")}, "module."),
        "teacher": {**prefixed(state, "backbone."), **prefixed(HEAD, "head.")},
        "dino_loss": {"center": torch.zeros(1, 8)},
        "epoch": 3,
        **arguments(),
    },
    "DINO, wrapped teacher": lambda state: {
        "student": prefixed(zeros(state), "module.backbone."),
        "teacher": prefixed({**prefixed(state, "backbone."), **prefixed(HEAD, "head.")}, "module."),
    },
    "student alone": lambda state: {"student": prefixed(state, "module.backbone."), "epoch": 3},
    "iBOT": lambda state: {"state_dict": {**state, "masked_embed": torch.zeros(1, 48)}},
    "iBOT, teacher": lambda state: {
        "student": prefixed(zeros(state), "module.backbone."),
        "teacher": prefixed({**state, "masked_embed": torch.zeros(1, 48)}, "backbone."),
    },
    "MAE": lambda state: {
        "model": {
            **state,
            "mask_token": torch.zeros(1, 1, 32),
            "decoder_pos_embed": torch.zeros(1, 5, 32),
            "decoder_blocks.0.attn.proj.weight": torch.zeros(32, 32),
        },
        "scaler": {"scale": 65536.0},
        **arguments(),
    },
    "DeiT": lambda state: {
        "model": {**zeros(state), "head.weight": torch.ones(10, 48)},
        "model_ema": {**state, "head.weight": torch.ones(10, 48), "head.bias": torch.ones(10)},
    },
    "nested, averaged weights empty": lambda state: {"model_ema": {}, "model": {"state_dict": state}},
}


def saved(tmp_path, content, name="weights.pth", **options):
    torch.save(content, tmp_path / name, **options)
    return tmp_path / name


def outputs(model):
    side = model.patch_embed.img_size[0]
    return model(torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)))


def assert_same_model(loaded, original):
    torch.testing.assert_close(outputs(loaded), outputs(original), rtol=0, atol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_model_back(layout, tmp_path):
    original, other = build(), build(seed=1)
    assert not torch.allclose(outputs(other), outputs(original))
    path = saved(tmp_path, LAYOUTS[layout](original.state_dict()))
    result = load_weights(other, read_weights(path), str(path))
    assert_same_model(other, original)
    assert result.matched == tuple(sorted(original.state_dict()))
    assert result.missing == result.mismatched == ()
    assert not any(name.startswith(("module.", "backbone.", "blocks.")) for name in result.unexpected)


@pytest.mark.parametrize("kind", SMALL)
def test_every_architecture_gives_the_same_model_back(kind, tmp_path):
    original, other = build(kind), build(kind, seed=1)
    result = load_weights(other, read_weights(saved(tmp_path, original.state_dict())), "weights")
    assert_same_model(other, original)
    assert result.missing == result.unexpected == result.mismatched == ()


def test_the_embedded_backbone_is_loaded(tmp_path):
    original, other = (timm.create_model("vit_micro_glyphs") for _ in range(2))
    state = original.state_dict()
    result = load_weights(other, read_weights(saved(tmp_path, {"model": state})), "weights")
    assert result.missing == result.unexpected == result.mismatched == ()
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())


def test_half_precision_is_widened(tmp_path):
    original, other = build(), build(seed=1)
    path = saved(tmp_path, {name: value.half() for name, value in original.state_dict().items()})
    load_weights(other, read_weights(path), "weights")
    for name, value in other.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, original.state_dict()[name].half().float())


def test_layer_scales_of_deit_3_are_renamed():
    original, other = (timm.create_model("deit3_small_patch16_224", img_size=32, **NARROW) for _ in range(2))
    nn.init.normal_(original.blocks[1].ls2.gamma)
    state = {name.replace("ls1.gamma", "gamma_1"): value for name, value in original.state_dict().items()}
    state = {name.replace("ls2.gamma", "gamma_2"): value for name, value in state.items()}
    assert "blocks.1.gamma_2" in state
    assert load_weights(other, state, "weights").missing == ()
    assert torch.equal(other.blocks[1].ls2.gamma, original.blocks[1].ls2.gamma)


@pytest.mark.parametrize("side", [32, 96, (32, 64)])
def test_another_image_size_resamples_the_position_embeddings(side):
    original, other = build(img_size=64), build(seed=1, img_size=side)
    result = load_weights(other, original.state_dict(), "weights")
    assert result.missing == result.unexpected == result.mismatched == ()
    expected = resample_abs_pos_embed(original.pos_embed, other.patch_embed.grid_size, (4, 4), num_prefix_tokens=1)
    assert torch.equal(other.pos_embed, expected)
    assert torch.equal(other.pos_embed[:, 0], original.pos_embed[:, 0])
    assert torch.equal(other.blocks[1].mlp.fc2.weight, original.blocks[1].mlp.fc2.weight)


def test_a_head_may_lack_and_anything_may_lie_beside():
    state, model = build().state_dict(), build(seed=1, num_classes=7)
    result = load_weights(model, state | {"head.weight": torch.ones(10, 48), "center": torch.ones(48)}, "weights")
    assert (result.missing, result.unexpected) == (("head.bias",), ("center",))
    assert result.mismatched == (("head.weight", (10, 48), (7, 48)),)
    assert len(result.matched) == len(model.state_dict()) - 2


def test_a_model_that_timm_knows_nothing_of_is_filled_by_name():
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    assert load_weights(model, other.state_dict(), "weights").matched == ("bias", "weight")
    assert torch.equal(model.weight, other.weight)


def without(*parts):
    return lambda state: {name: value for name, value in state.items() if not any(part in name for part in parts)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("blocks.1.attn.proj.bias"), r"1 missing \(blocks.1.attn.proj.bias\), 0 unexpected"),
        (without("cls_token"), r"1 missing \(cls_token\)"),
        (without("patch_embed"), r"2 missing \(patch_embed.proj.bias, patch_embed.proj.weight\)"),
        (without("fc1", "fc2"), r"8 missing \(blocks.0.mlp.fc1.bias, blocks.0.mlp.fc1.weight, .*, \.\.\.\)"),
        (lambda state: HEAD, r"but 0.0% of them fit, 0 by name and shape, 30 missing"),
        (lambda state: state | {"blocks.2.norm1.bias": torch.ones(48)}, r"1 unexpected \(blocks.2.norm1.bias\)"),
        (
            lambda state: state | {"a": torch.ones(1), "fc_norm.bias": torch.ones(1)},
            r"2 unexpected \(fc_norm.bias, a\)",
        ),
        (lambda state: {k: v for k, v in state.items() if not k.startswith("norm.")}, r"2 missing \(norm.bias, norm.w"),
        (
            lambda state: state | {"blocks.0.norm1.bias": torch.ones(64)},
            r"1 of another shape \(blocks.0.norm1.bias \(64,\) for \(48,\)\)",
        ),
    ],
)
def test_too_little_is_refused_with_numbers(change, told):
    model = build(seed=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"^a\.pth must hold the weights of vit_tiny_patch16_224: .*{told}"):
        load_weights(model, change(build().state_dict()), "a.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_share_is_of_values_without_the_head():
    """Of 4 + 96 + head values, the file has 4."""
    model = nn.Module()
    model.small, model.large, model.head = nn.Linear(4, 1, bias=False), nn.Linear(96, 1, bias=False), nn.Linear(99, 99)
    with pytest.raises(ValueError, match=r"; but 4\.0% of them fit, 1 by name and shape, 3 missing"):
        load_weights(model, {"small.weight": torch.ones(1, 4)}, "weights")


def test_a_file_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"a\.pth must hold the weights of vit_tiny_patch16_224.*of another shape"):
        load_weights(build(), build(embed_dim=96).state_dict(), "a.pth")


def test_what_timm_cannot_translate_is_refused_in_words():
    state = build("vit").state_dict() | {"pos_embed": torch.ones(1, 5, 4, 48)}
    with pytest.raises(ValueError, match=r"^a\.pth must hold the weights of vit_tiny_patch16_224"):
        load_weights(build(), state, "a.pth")
