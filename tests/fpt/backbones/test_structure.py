"""Which backbones are taken, and how each is cut."""

import pytest
import timm
import torch

from fpt.backbones.backbone import Backbone
from fpt.backbones.structure import per_image_modules

SWIN = ("swin_tiny_patch4_window7_224", {"img_size": 56, "depths": (2, 2), "embed_dim": 24, "num_heads": (2, 4)})
OTHER_KIND = "let tokens look at each other but {} has attention of another kind"
POOLS = "let every token look at all of its window but {} pools queries or keys"
NONE = "have layers of softmax attention but {} has none that can be watched"
REFUSED = [
    ("test_resnet", {}, NONE.format("ResNet")),
    ("test_mambaout", {}, NONE.format("MambaOut")),
    ("convnext_atto", {}, NONE.format("ConvNeXt")),
    ("xcit_nano_12_p16_224", {"depth": 1}, OTHER_KIND.format("Xcit")),
    # As many channels of a head as tokens: its square maps are not told apart by their size alone.
    ("xcit_nano_12_p16_224", {"img_size": 32, "depth": 1}, OTHER_KIND.format("Xcit")),
    ("davit_tiny", {"depths": (1, 1), "embed_dims": (24, 48), "num_heads": (2, 4)}, OTHER_KIND.format("DaVit")),
    ("volo_d1_224", {}, OTHER_KIND.format("VOLO")),
    ("levit_128s", {}, POOLS.format("LevitDistilled")),
    ("pvt_v2_b0", {}, POOLS.format("PyramidVisionTransformerV2")),
    ("mvitv2_tiny", {}, POOLS.format("MultiScaleVit")),
    ("convit_tiny", {}, "hold each attention layer in a block of its own but ConVit does not"),
    ("crossvit_9_240", {}, "only ever become coarser but CrossVit has stages of"),
]


def made(name, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=0, **options).eval()


@pytest.mark.parametrize(
    ("name", "options", "reason"), REFUSED, ids=[f"{name} {' '.join(options)}" for name, options, _ in REFUSED]
)
def test_a_backbone_that_cannot_work_is_refused_in_words(name, options, reason):
    with pytest.raises(ValueError, match=f"^backbone must {reason}"):
        Backbone(made(name, **options))


@pytest.mark.parametrize("name", ["tnt_s_patch16_224", "coat_lite_tiny"])
def test_kinds_that_timm_has_and_we_cannot_watch_are_refused(name):
    with pytest.raises(ValueError, match=r"^backbone must "):
        Backbone(made(name))


CUTS = {
    "columnar": ("vit_tiny_patch16_224", {"img_size": 32, "depth": 3}, ["between blocks"] * 3),
    "average pool": ("test_vit2", {"img_size": 32, "depth": 2}, ["between blocks"] * 2),
    "swin": (*SWIN, ["in passing", "in passing", "between blocks", "between blocks"]),
    "swin, padded": (SWIN[0], {**SWIN[1], "img_size": 64}, ["in passing", "in passing", "between blocks"]),
    "pit": ("pit_ti_224", {"img_size": 64, "depth": (1, 1, 1)}, ["nowhere"] * 3),
    "cait": ("cait_xxs24_224", {"img_size": 32, "depth": 2}, ["in passing"] * 2),
    "gcvit": ("gcvit_xxtiny", {}, ["nowhere"] * 2),
}


@pytest.mark.parametrize(("name", "options", "ways"), CUTS.values(), ids=list(CUTS))
def test_cut_anywhere_it_is_the_whole_model(name, options, ways):
    model = made(name, **options)
    backbone = Backbone(model)
    assert [backbone.cut(start) for start in range(len(ways))] == ways
    side = backbone.image_size
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    expected = model(images)
    for start in range(len(ways)):
        tokens = backbone.lower(images, start)
        assert (tokens is images) == (backbone.cut(start) == "nowhere")
        watched = min(2, backbone.depth - start)
        passed = backbone.upper(tokens, start, watched=watched)
        torch.testing.assert_close(passed.features, expected, rtol=1e-4, atol=1e-5)
        assert [call.size[1] for call in passed.calls] == [
            layer.tokens for layer in backbone.layers[backbone.depth - watched :]
        ]
        shuffled = backbone.upper(tokens.flip(0), start).features
        torch.testing.assert_close(shuffled, expected.flip(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["columnar", "swin", "pit", "cait"])
def test_nothing_is_left_behind_by_looking(kind):
    name, options, _ = CUTS[kind]
    backbone = Backbone(made(name, **options))
    backbone.upper(backbone.lower(torch.zeros(1, 3, backbone.image_size, backbone.image_size), 0), 0)
    for module in backbone.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in vars(module)


def test_a_swins_layers_are_known():
    """56 pixels, patches of 4: 14 x 14 in four windows of 7 x 7, then 7 x 7 in one."""
    backbone = Backbone(made(SWIN[0], **SWIN[1]))
    assert backbone.pyramid
    assert not backbone.has_class_token
    assert backbone.stages == [[0, 1], [2, 3]]
    assert [layer.size for layer in backbone.layers] == [(4, 49), (4, 49), (1, 49), (1, 49)]
    assert backbone.target_shapes == [(4, 49), (1, 49)]
    assert backbone.most_patches == 49
    blocks = [block for stage in backbone.model.layers for block in stage.blocks]
    assert [layer.block for layer in backbone.layers] == blocks
    assert [layer.attention for layer in backbone.layers] == [block.attn for block in blocks]


def test_a_columnar_models_layers_are_known(small_model):
    backbone = Backbone(small_model("layer scale, registers"))
    assert not backbone.pyramid
    assert backbone.stages == [[0, 1]]
    assert (backbone.prefix, backbone.grid, backbone.target_shapes) == (5, (2, 2), [(4,)])
    assert [layer.block for layer in backbone.layers] == list(backbone.model.blocks)


def test_modules_that_act_on_each_image_are_found():
    """Not those that make position biases: they have as many rows for one image as for three."""
    model = made("swinv2_tiny_window8_256", img_size=32, depths=(1,), embed_dim=24, num_heads=(2,))
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = per_image_modules(model, images)
    attention = model.layers[0].blocks[0].attn
    assert {attention.proj, model.layers[0].blocks[0].norm1} <= found
    assert not found & set(attention.cpb_mlp.modules())
