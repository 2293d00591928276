"""What comes before the first block, by timm's names for it."""

import copy

import pytest
import timm
import torch
from torch import nn

from fpt.backbones.backbone import EMBEDDINGS, Backbone
from fpt.backbones.embeddings import embedding_modules, embedding_parameters

PATCHES = {"patch_embed.proj.weight", "patch_embed.proj.bias"}


class Pooled(nn.Module):
    """Makes tokens of patches without a projection: 48 numbers of each."""

    def forward(self, images):
        return nn.functional.unfold(images, 16, stride=16).transpose(1, 2)[..., :48]


def of(model):
    backbone = Backbone(model)
    found = embedding_modules(backbone)
    modules = [name for name, module in model.named_modules() if module in found]
    return modules, set(embedding_parameters(backbone))


@pytest.mark.parametrize(
    ("kind", "modules", "weights"),
    [
        ("vit", [], {"cls_token", "pos_embed"}),
        ("layer scale, registers", [], {"cls_token", "reg_token", "pos_embed"}),
        ("norm before the blocks", ["norm_pre"], {"cls_token", "pos_embed", "norm_pre.weight", "norm_pre.bias"}),
        ("rotary by layer", [], {"cls_token", "rope.freqs"}),
        ("distilled", [], {"cls_token", "dist_token", "pos_embed"}),
    ],
)
def test_those_of_small_models_by_hand(kind, modules, weights, small_model):
    found, names = of(small_model(kind))
    assert found == ["patch_embed.proj", *modules]
    assert names - PATCHES == weights
    assert names & PATCHES == {name for name, _ in small_model(kind).named_parameters() if "patch_embed" in name}


def test_a_convolutional_stem_is_all_weights_and_its_last_convolution(backbone):
    assert embedding_modules(backbone) == [backbone.model.patch_embed.project]
    stem = {f"patch_embed.{name}" for name, _ in backbone.model.patch_embed.named_parameters()}
    assert embedding_parameters(backbone).keys() == stem | {"cls_token", "pos_embed"}


def test_blocks_and_embeddings_are_the_whole_model_and_none_is_in_both(backbone):
    names = {name for name, _ in backbone.model.named_parameters()}
    above, below = backbone.parameters_of_blocks(backbone.depth), embedding_parameters(backbone)
    assert above.keys() | below.keys() == names
    assert not above.keys() & below.keys()


def test_looking_leaves_no_trace(backbone):
    embedding_modules(backbone), embedding_parameters(backbone)
    assert all(weight.grad is None and not weight.requires_grad for weight in backbone.model.parameters())
    assert not any(module._forward_hooks for module in backbone.model.modules())


def test_a_pyramid_has_what_merges_patches_between_its_blocks_too():
    """Its norms are what SSF changes there; its reductions are weights."""
    modules, weights = of(timm.create_model("swin_tiny_patch4_window7_224", num_classes=0))
    merging = [f"layers.{stage}.downsample" for stage in (1, 2, 3)]
    assert modules == ["patch_embed.proj", "patch_embed.norm", *(f"{name}.norm" for name in merging)]
    normed = {f"{name}.{part}" for name in ("patch_embed.norm", *modules[2:]) for part in ("weight", "bias")}
    assert weights == PATCHES | normed | {f"{name}.reduction.weight" for name in merging}


def test_a_backbone_without_a_projection_is_refused(small_model):
    backbone = Backbone(copy.deepcopy(small_model("vit")))
    backbone.model.patch_embed = Pooled()
    with pytest.raises(ValueError, match=r"^embeddings must be false for a backbone that projects no patches but is"):
        embedding_modules(backbone)


@pytest.mark.parametrize("kind", ["vit", "rotary", "class token late", "norm before the blocks"])
def test_images_that_enter_below_the_blocks_go_through_the_whole_model(kind, small_model):
    backbone = Backbone(small_model(kind))
    pixels = torch.randn(3, 3, backbone.image_size, backbone.image_size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(backbone.lower(pixels, EMBEDDINGS), pixels)
    passed = backbone.upper(pixels, EMBEDDINGS, watched=2)
    expected = backbone.features(pixels)
    torch.testing.assert_close(passed.features, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert len(passed.calls) == 2
