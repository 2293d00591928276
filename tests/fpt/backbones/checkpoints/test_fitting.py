"""Weights that have all the right names and shapes, or could be bent to them, and are of another model."""

import json

import pytest
import timm
import torch

from fpt.backbones.checkpoints.beside import Beside
from fpt.backbones.checkpoints.fitting import architecture, check_finite, pooled_by_mean
from fpt.backbones.loading import load_backbone
from fpt.backbones.weights import load_weights
from tests.fpt.backbones.checkpoints.foreign import hugging_beit, openai_clip, whole_hugging_clip
from tests.fpt.backbones.checkpoints.test_layouts import BEIT, CLIP, NARROW, REGISTERS, VIT, built

GELU = ("vit_base_patch16_clip_224", 32)


def of(name, side, **options):
    return timm.create_model(name, img_size=side, **{**NARROW, **options})


@pytest.mark.parametrize(
    ("state", "model", "said"),
    [
        (
            lambda: of("vit_small_patch8_224", 32).state_dict(),
            lambda: of("vit_small_patch16_224", 64),
            r"a\.pth must hold patches of 16 x 16 pixels, which are those of vit_small_patch16_224, but holds patches "
            r"of 8 x 8; backbone\.name vit_small_patch8_224 is such a model",
        ),
        (
            lambda: openai_clip(of("vit_base_patch32_clip_quickgelu_224", 64).state_dict()),
            lambda: built(CLIP),
            r"a\.pth must hold patches of 16 x 16 pixels, .* 32 x 32; .* vit_base_patch32_clip_quickgelu_224 is such",
        ),
        (
            lambda: of(*REGISTERS).state_dict(),
            lambda: of("vit_small_patch14_dinov2", 28),
            r"a\.pth must hold no register tokens, as vit_small_patch14_dinov2, but holds 4; backbone\.name "
            r"vit_small_patch14_reg4_dinov2 is such a model",
        ),
        (
            lambda: of("vit_small_patch14_dinov2", 28).state_dict(),
            lambda: of(*REGISTERS),
            r"a\.pth must hold 4 register tokens, as vit_small_patch14_reg4_dinov2, but holds none; backbone\.name "
            r"vit_small_patch14_dinov2 is such a model",
        ),
        (
            lambda: of(VIT[0], (32, 80)).state_dict(),
            lambda: built(VIT),
            r"a\.pth must hold a position embedding of a square of patches, or of as many as vit_tiny_patch16_224 has, "
            r"but holds one of 10 patches beside 1 other tokens: of a rectangle",
        ),
        (
            lambda: of("deit_tiny_distilled_patch16_224", 96).state_dict(),
            lambda: built(VIT),
            r"a\.pth must hold a position embedding of a square",
        ),
        (
            lambda: of("vit_base_patch16_siglip_224", 32).state_dict(),
            lambda: of("vit_base_patch16_siglip_gap_224", 32),
            r"a\.pth must hold the weights of vit_base_patch16_siglip_gap_224: .*unexpected \(attn_pool",
        ),
    ],
)
def test_what_is_of_another_model_is_refused(state, model, said):
    model = model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"^{said}"):
        load_weights(model, state(), "a.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("held", [openai_clip, whole_hugging_clip])
@pytest.mark.parametrize(
    ("kind", "said_quick", "refused"),
    [
        (GELU, None, "trained with gelu, .* which names of .*CLIP do not tell: .* vit_base_patch16_clip_quickgelu_224"),
        (GELU, True, "trained with gelu, .* but were trained with quickgelu, .* vit_base_patch16_clip_quickgelu_224"),
        (GELU, False, None),
        (CLIP, None, None),
        (CLIP, True, None),
        (CLIP, False, "trained with quickgelu, .* but were trained with gelu, .* vit_base_patch16_clip_224 has that"),
    ],
)
def test_clip_s_activation_fits_or_has_to_be_said(held, kind, said_quick, refused):
    state, model = held(built(kind).state_dict()), built(kind, 1)
    if refused is None:
        assert load_weights(model, state, "a.pth", beside=Beside(quickgelu=said_quick)).missing == ()
        return
    with pytest.raises(ValueError, match=rf"^a\.pth must hold weights that were {refused}"):
        load_weights(model, state, "a.pth", beside=Beside(quickgelu=said_quick))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(bad):
    state, model = built(VIT).state_dict(), built(VIT, 1)
    state["blocks.1.attn.qkv.weight"][:3] = bad
    said = (
        r"^a\.pth must be finite but blocks\.1\.attn\.qkv\.weight has 144 of 6912 values that are NaN or infinite; take"
    )
    with pytest.raises(ValueError, match=said):
        load_weights(model, state, "a.pth")
    state["norm.bias"][0] = bad
    with pytest.raises(ValueError, match="infinite, and 1 weights more have such values; take"):
        load_weights(model, state, "a.pth")


def test_what_is_not_loaded_may_be_anything():
    state = built(VIT).state_dict() | {"head.weight": torch.full((3, 48), float("nan"))}
    load_weights(built(VIT, 1), state, "a.pth")
    check_finite({"count": torch.tensor(3)}, "a.pth")


def test_a_mean_of_patches_is_followed(tmp_path):
    """As MAE's fine-tuned models: the mean of patches, then a norm of its own; in numpy's words, by hand."""
    name = "vit_tiny_patch16_224.augreg_in21k"
    torch.manual_seed(0)
    original = timm.create_model(name, img_size=32, num_classes=0, global_pool="avg").eval().requires_grad_(False)
    original.fc_norm.weight.uniform_(0.5, 2)
    state = original.state_dict()
    assert pooled_by_mean(state)
    assert not pooled_by_mean(built(VIT).state_dict())
    torch.save({"model": state}, tmp_path / "tuned.pth")
    backbone = load_backbone(name, image_size=32, weights=tmp_path / "tuned.pth")
    images = torch.rand(2, 3, 32, 32)
    patches = original.forward_features(images)[:, 1:].mean(1)
    centred = patches - patches.mean(1, keepdim=True)
    normed = centred / (patches.var(1, correction=0, keepdim=True) + original.fc_norm.eps).sqrt()
    expected = normed * original.fc_norm.weight + original.fc_norm.bias
    torch.testing.assert_close(backbone.features(images), expected, rtol=0, atol=1e-5)
    lower = backbone.upper(backbone.lower(images, 10), 10).features
    torch.testing.assert_close(lower, expected, rtol=0, atol=1e-5)


def moco(state):
    return {"state_dict": {f"module.momentum_encoder.{name}": value for name, value in state.items()}}


@pytest.mark.parametrize(
    ("name", "trained", "usual", "held", "file", "config"),
    [
        ("vit_small_patch16_224", 12, 6, moco, "moco.pth.tar", {}),
        ("vit_tiny_patch16_224.augreg_in21k", 6, 3, dict, "pytorch_model.bin", {"num_attention_heads": 6}),
        ("vit_tiny_patch16_224.augreg_in21k", 3, 6, dict, "pytorch_model.bin", {"num_attention_heads": 3}),
        ("swin_tiny_patch4_window7_224.ms_in1k", None, None, dict, "pytorch_model.bin", {"num_attention_heads": 3}),
    ],
)
def test_as_many_heads_are_taken_as_there_were_where_that_is_told(name, trained, usual, held, file, config, tmp_path):
    """Shapes do not tell it: with other heads the features are others. Of a pyramid each stage has its own."""
    options = {} if trained is None else {"num_heads": trained}
    side = 224 if trained is None else 32
    torch.manual_seed(0)
    original = timm.create_model(name, img_size=side, num_classes=0, **options).eval().requires_grad_(False)
    torch.save(held(original.state_dict()), tmp_path / file)
    (tmp_path / "config.json").write_text(json.dumps(config))
    backbone = load_backbone(name, image_size=side, weights=tmp_path / file)
    images = torch.rand(1, 3, side, side)
    torch.testing.assert_close(backbone.features(images), original(images), rtol=0, atol=1e-5)
    if trained is not None:
        other = timm.create_model(name, img_size=side, num_classes=0, num_heads=usual).eval()
        other.load_state_dict(original.state_dict())
        assert not torch.allclose(other(images), original(images), atol=1e-3)


def test_heads_that_do_not_divide_the_width_are_refused(tmp_path):
    torch.save(built(VIT).state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"num_attention_heads": 7}')
    said = r"pytorch_model.bin must hold weights of as many heads as divide their width 48, .* tells of 7: is the"
    with pytest.raises(ValueError, match=said):
        load_backbone("vit_tiny_patch16_224", image_size=32, weights=tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize(("told", "followed"), [("1e-2", 1e-2), ("1e-6", None), ("-1", None)])
def test_layer_norms_add_what_they_added_in_training(told, followed, tmp_path):
    original = built(VIT)
    torch.save(original.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(f'{{"layer_norm_eps": {told}, "num_attention_heads": 3}}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fpt.backbones.loading._made", lambda *_, **__: built(VIT, seed=1))
        backbone = load_backbone(
            VIT[0], image_size=32, weights=tmp_path / "pytorch_model.bin", mean=[0.5] * 3, std=[0.5] * 3
        )
    assert backbone.weights.epsilon == followed
    images = torch.rand(1, 3, 32, 32)
    before = original(images)
    for part in original.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = followed or 1e-6
    torch.testing.assert_close(backbone.features(images), original(images), rtol=0, atol=1e-5)
    assert torch.allclose(before, original(images), atol=1e-3) == (followed is None)


@pytest.mark.parametrize("pooled", ["avg", "token"])
def test_beit_takes_cls_or_the_mean_of_patches_as_it_was_trained(pooled, tmp_path):
    options = {"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 0}
    original = timm.create_model(BEIT[0], global_pool=pooled, **options).eval().requires_grad_(False)
    torch.save(hugging_beit(original.state_dict()), tmp_path / "a.pth")
    with pytest.MonkeyPatch.context() as patch:
        create = timm.create_model
        patch.setattr(timm, "create_model", lambda name, **others: create(name, **others | options))
        backbone = load_backbone(BEIT[0], image_size=32, weights=tmp_path / "a.pth", mean=[0.5] * 3, std=[0.5] * 3)
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(backbone.features(images), original(images), rtol=0, atol=1e-5)


def test_a_model_is_called_by_timm_s_name_or_its_class():
    assert architecture(built(VIT)) == "vit_tiny_patch16_224"
    assert architecture(torch.nn.Linear(1, 1)) == "Linear"
