"""Layouts of other repositories: each gives the same model back, and what it does not tell has to be told."""

import pytest
import timm
import torch

from fpt.backbones.checkpoints.layouts import CLIPS, IMAGENET, SIGLIPS, in_timms_words, layout_of, without_prefix
from fpt.backbones.weights import load_weights, read_file
from tests.fpt.backbones.checkpoints.foreign import (
    dinov2_with_registers,
    dinov3,
    eva02,
    hugging_beit,
    hugging_clip,
    hugging_dinov2,
    hugging_dinov3,
    hugging_vit,
    of_transformers_5,
    openai_clip,
    prefixed,
    whole_hugging_clip,
    whole_openai_clip,
    zeros,
)

NARROW = {"depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 0}
VIT = ("vit_tiny_patch16_224", 32)
DINOV2, REGISTERS = ("vit_small_patch14_dinov2", 28), ("vit_small_patch14_reg4_dinov2", 28)
DINOV3, BIASES = ("vit_small_patch16_dinov3", 32), ("vit_small_patch16_dinov3_qkvb", 32)
GATED = ("vit_small_plus_patch16_dinov3_qkvb", 32)
BEIT = ("beit_base_patch16_224", 32)
EVA02, LARGE_EVA02 = ("eva02_small_patch14_336", 28), ("eva02_base_patch14_448", 28)
CLIP, SIGLIP = ("vit_base_patch16_clip_quickgelu_224", 32), ("vit_base_patch16_siglip_224", 32)
HEAD = {"head.mlp.0.weight": torch.ones(8, 48), "head.last_layer.weight_v": torch.ones(5, 8)}


def under(*path):
    """Nests weights under the entries of a path."""

    def nest(state):
        for name in reversed(path):
            state = {name: state, "epoch": 3}
        return state

    return nest


def with_prefix(prefix, *path, **others):
    return lambda state: under(*path)({**prefixed(state, prefix), **others})


# Layout -> the model, how a file holds it, the layout's name, its pixels.
FILES = {
    "Lightning, model.": (VIT, with_prefix("model.", "state_dict"), "plain", None),
    "Lightning, net.": (VIT, with_prefix("net.", "state_dict"), "plain", None),
    "encoder. alone": (VIT, with_prefix("encoder."), "plain", None),
    "SimMIM": (
        VIT,
        with_prefix("encoder.", "model", **{"encoder.mask_token": torch.ones(1), "decoder.0.weight": torch.ones(2)}),
        "SimMIM",
        IMAGENET,
    ),
    "MoCo v3": (
        VIT,
        lambda state: under("state_dict")(
            {
                **prefixed(state, "module.base_encoder."),
                **prefixed(zeros(state), "module.momentum_encoder."),
                "module.predictor.0.weight": torch.ones(3),
            }
        ),
        "MoCo v3",
        IMAGENET,
    ),
    "PEFT, merged": (VIT, with_prefix("base_model.model."), "plain", None),
    "wrapped thrice": (VIT, with_prefix("module.model.net.encoder."), "plain", None),
    "a prefix of no one's": (VIT, with_prefix("trunk_of_mine.v2."), "plain", None),
    "MSN": (
        VIT,
        lambda state: {"target_encoder": prefixed(state, "module."), "encoder": zeros(state)},
        "I-JEPA",
        IMAGENET,
    ),
    "DINO, both in one": (
        VIT,
        lambda state: {**prefixed(zeros(state), "student."), **prefixed(state, "teacher."), **HEAD},
        "DINO",
        IMAGENET,
    ),
    "averaged, flat": (
        VIT,
        lambda state: {**prefixed(zeros(state), "model."), **prefixed(state, "model_ema.module.")},
        "plain",
        None,
    ),
    "DeepSpeed": (VIT, under("module"), "plain", None),
    "an entry of no one's name": (VIT, under("the_weights"), "plain", None),
    "within an entry beside others": (
        VIT,
        lambda state: {"optimizer": {"state": {0: torch.ones(1)}}, "vit": state, "loss": {"center": torch.ones(1)}},
        "plain",
        None,
    ),
    "Hugging Face's ViT": (VIT, hugging_vit, "Hugging Face's ViT", None),
    "Hugging Face's ViT for images": (
        VIT,
        lambda state: {**prefixed(hugging_vit(state), "vit."), "classifier.weight": torch.ones(3, 48)},
        "Hugging Face's ViT",
        None,
    ),
    "Hugging Face's ViT, pooler": (
        VIT,
        lambda state: {**hugging_vit(state), "pooler.dense.weight": torch.ones(48, 48)},
        "Hugging Face's ViT",
        None,
    ),
    "Hugging Face's MAE": (
        VIT,
        lambda state: {
            **prefixed(hugging_vit(state), "vit."),
            **{f"decoder.decoder_layers.0.{name}": torch.ones(3) for name in ("norm.weight", "output.dense.bias")},
        },
        "Hugging Face's MAE",
        IMAGENET,
    ),
    "Hugging Face's ViT in memory": (
        VIT,
        lambda state: of_transformers_5(hugging_vit(state)),
        "Hugging Face's ViT",
        None,
    ),
    "Hugging Face's DINOv2 in memory": (
        DINOV2,
        lambda state: of_transformers_5(hugging_dinov2(state)),
        "Hugging Face's DINOv2",
        IMAGENET,
    ),
    "Hugging Face's BEiT": (BEIT, hugging_beit, "Hugging Face's BEiT", None),
    "Hugging Face's BEiT for images": (
        BEIT,
        lambda state: {**prefixed(hugging_beit(state), "beit."), "classifier.weight": torch.ones(3, 48)},
        "Hugging Face's BEiT",
        None,
    ),
    "Hugging Face's BEiT in memory": (
        BEIT,
        lambda state: of_transformers_5(hugging_beit(state)),
        "Hugging Face's BEiT",
        None,
    ),
    "Hugging Face's DINOv2": (DINOV2, hugging_dinov2, "Hugging Face's DINOv2", IMAGENET),
    "Hugging Face's DINOv2 in a model": (
        DINOV2,
        lambda state: prefixed(hugging_dinov2(state), "dinov2."),
        "Hugging Face's DINOv2",
        IMAGENET,
    ),
    "Hugging Face's DINOv2, registers": (REGISTERS, hugging_dinov2, "Hugging Face's DINOv2", IMAGENET),
    "DINOv2": (DINOV2, lambda state: {**state, "mask_token": torch.ones(1, 48)}, "DINOv2", IMAGENET),
    "DINOv2, registers": (REGISTERS, dinov2_with_registers, "DINOv2", IMAGENET),
    "DINOv2, registers, teacher": (
        REGISTERS,
        lambda state: {"teacher": prefixed(dinov2_with_registers(state), "backbone.")},
        "DINOv2",
        IMAGENET,
    ),
    "DINOv3": (DINOV3, dinov3, "DINOv3", None),
    "DINOv3 with biases, teacher": (BIASES, lambda state: {"teacher": dinov3(state)}, "DINOv3", None),
    "Hugging Face's DINOv3": (DINOV3, hugging_dinov3, "DINOv3", None),
    "Hugging Face's DINOv3 with biases": (BIASES, hugging_dinov3, "DINOv3", None),
    "Hugging Face's DINOv3, gated, in a model": (
        GATED,
        lambda state: prefixed(hugging_dinov3(state), "model."),
        "DINOv3",
        None,
    ),
    "Hugging Face's MAE of today": (
        VIT,
        lambda state: {
            **prefixed(hugging_vit(state), "vit."),
            **{
                f"decoder.decoder_encoder.layer.0.{name}": torch.ones(3)
                for name in ("norm.weight", "output.dense.bias")
            },
        },
        "Hugging Face's MAE",
        IMAGENET,
    ),
    "Hugging Face's CLIP": (CLIP, whole_hugging_clip, "Hugging Face's CLIP", CLIPS),
    "Hugging Face's CLIP, image encoder": (CLIP, hugging_clip, "Hugging Face's CLIP", CLIPS),
    "OpenAI's CLIP": (CLIP, whole_openai_clip, "CLIP", CLIPS),
    "OpenAI's CLIP, image encoder": (CLIP, openai_clip, "CLIP", CLIPS),
    "OpenCLIP, trained": (
        CLIP,
        lambda state: {"state_dict": prefixed(whole_openai_clip(state), "module.")},
        "CLIP",
        CLIPS,
    ),
    "CLIP in Lightning": (CLIP, lambda state: prefixed(whole_openai_clip(state), "model."), "CLIP", CLIPS),
    "OpenCLIP with timm's encoder": (
        SIGLIP,
        lambda state: {**prefixed(state, "visual.trunk."), "text.positional_embedding": torch.ones(4, 8)},
        "plain",
        None,
    ),
    "EVA-02": (EVA02, lambda state: {"model": eva02(state)}, "plain", None),
    "EVA-02, larger": (LARGE_EVA02, lambda state: {"model": eva02(state)}, "plain", None),
    "Hugging Face's SigLIP": (SIGLIP, whole_hugging_clip, "Hugging Face's SigLIP", SIGLIPS),
}


def built(kind, seed=0):
    """A model with large random weights, as timm's own are zero or one in many places."""
    name, side = kind
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = timm.create_model(name, img_size=side, **NARROW).eval().requires_grad_(False)
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) / 10)
    return model


def features(model, side):
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return model.forward_head(model.forward_features(images), pre_logits=True)


@pytest.mark.parametrize("layout", FILES)
def test_every_layout_gives_the_same_features(layout, tmp_path):
    kind, held, name, pixels = FILES[layout]
    original, other = built(kind), built(kind, seed=1)
    before = features(other, kind[1])
    torch.save(held(original.state_dict()), tmp_path / "weights")
    file = read_file(tmp_path / "weights")
    load_weights(other, file.state, "weights", file.found_in)
    expected = features(original, kind[1])
    assert not torch.allclose(before, expected, atol=1e-2)
    torch.testing.assert_close(features(other, kind[1]), expected, rtol=0, atol=1e-5)
    found = layout_of(file.state, file.found_in)
    assert (found.name, found.pixels) == (name, pixels)


@pytest.mark.parametrize("named", [dinov3, hugging_dinov3])
def test_biases_that_the_model_has_not_are_refused_unless_they_are_nothing(named):
    state = built(BIASES).state_dict()
    said = r"^a\.pth must hold no bias of queries and values but zero, .*\.name vit_small_patch16_dinov3_qkvb is"
    with pytest.raises(ValueError, match=said):
        load_weights(built(DINOV3), named(state), "a.pth")
    without = {name: value * 0 if name.endswith(("q_bias", "v_bias")) else value for name, value in state.items()}
    model = built(DINOV3)
    load_weights(model, named(without), "a.pth")
    same = {name: value for name, value in without.items() if name in model.state_dict()}
    assert all(torch.equal(value, same[name]) for name, value in model.state_dict().items())


def test_two_encoders_of_which_none_is_known_are_refused():
    state = built(VIT).state_dict()
    with pytest.raises(
        ValueError, match=r"^a.pth must hold one set of weights but holds several .* left., right.: save"
    ):
        load_weights(built(VIT), {**prefixed(state, "left."), **prefixed(state, "right.")}, "a.pth")


def test_a_prefix_is_only_dropped_where_there_is_one():
    state = {"a.weight": torch.ones(1), "b.c.weight": torch.ones(1)}
    assert without_prefix(state, ["a.weight", "b.c.weight"]) == state
    assert without_prefix(state, ["nothing"]) == state
    assert without_prefix(prefixed(state, "x.y."), ["a.weight", "b.c.weight"]).keys() == state.keys()


def test_weights_in_timm_s_words_are_left_alone():
    state = built(VIT).state_dict()
    assert in_timms_words(state) is state


def test_parts_of_lora_that_were_not_merged_are_no_weights():
    state = {name.replace("qkv.", "qkv.base_layer."): value for name, value in built(VIT).state_dict().items()}
    state |= {f"blocks.{block}.attn.qkv.lora_A.default.weight": torch.ones(4, 48) for block in range(2)}
    with pytest.raises(ValueError, match=r"4 missing \(blocks.0.attn.qkv.bias, .*6 unexpected \(blocks.*lora_A"):
        load_weights(built(VIT), prefixed(state, "base_model.model."), "a.pth")
