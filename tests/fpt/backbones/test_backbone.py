import pytest
import timm
import torch

from fpt.backbones.attention import class_attention, listen
from fpt.backbones.backbone import Backbone
from fpt.backbones.loading import load_backbone

WORKING = (
    "vit",
    "normed queries and keys",
    "layer scale, registers",
    "norm before the blocks",
    "rotary",
    "rotary, registers",
    "position bias",
    "bias beside its projection",
)
MAYBE = ("rotary by layer", "distilled", "class token late")  # right, or refused in words


def images_for(backbone, count=3):
    side = backbone.image_size
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=random)


def features_of_the_whole_model(backbone, images):
    return backbone.model.forward_head(backbone.model.forward_features(backbone.normalise(images)), pre_logits=True)


def assert_cut_anywhere_it_is_the_model(backbone):
    images = images_for(backbone)
    expected = features_of_the_whole_model(backbone, images)
    for start in range(backbone.depth):
        passed = backbone.upper(backbone.lower(images, start), start)
        torch.testing.assert_close(passed.features, expected, rtol=1e-4, atol=1e-5)
        assert passed.calls == []


def test_embedded_backbone_cut_anywhere_is_the_model(backbone):
    assert_cut_anywhere_it_is_the_model(backbone)


@pytest.mark.parametrize("kind", WORKING)
def test_backbone_cut_anywhere_is_the_model(kind, small_model):
    assert_cut_anywhere_it_is_the_model(Backbone(small_model(kind)))


@pytest.mark.parametrize("kind", MAYBE)
def test_an_unusual_backbone_is_right_or_refused(kind, small_model):
    try:
        backbone = Backbone(small_model(kind))
    except ValueError as error:
        assert "backbone" in str(error)  # noqa: PT017
    else:
        assert_cut_anywhere_it_is_the_model(backbone)


@pytest.mark.parametrize("kind", WORKING)
def test_what_is_known_about_a_backbone(kind, small_model):
    backbone = Backbone(small_model(kind))
    images = images_for(backbone)
    assert backbone.grid == (2, 2)
    assert backbone.grid_patches == 4
    assert backbone.lower(images, 0).shape == (3, backbone.prefix + 4, backbone.dim)
    assert features_of_the_whole_model(backbone, images).shape == (3, backbone.dim)


@pytest.mark.parametrize("watched", range(7))
def test_the_last_layers_are_watched(backbone, watched):
    """The calls of the last `watched` layers, as a pass over all layers sees them."""
    tokens = backbone.lower(images_for(backbone), 0)
    every = backbone.upper(tokens, 0, watched=backbone.depth, class_row_only=False).calls
    calls = backbone.upper(tokens, 0, watched=watched, class_row_only=False).calls
    assert len(every) == backbone.depth
    assert len(calls) == watched
    for ours, theirs in zip(calls, every[backbone.depth - watched :], strict=True):
        torch.testing.assert_close(ours.attention(slice(None)), theirs.attention(slice(None)))


@pytest.mark.parametrize("kind", ["vit", "normed queries and keys", "layer scale, registers"])
def test_the_top_block_for_the_class_row_alone_is_the_full_block(kind, small_model):
    backbone = Backbone(small_model(kind))
    top, prefix, rows = backbone.depth - 1, backbone.prefix, slice(None)
    tokens = backbone.lower(images_for(backbone), top)
    with listen(1) as calls:
        full = backbone.blocks[top](tokens)
    torch.testing.assert_close(full, full_block(backbone.blocks[top], tokens), rtol=1e-4, atol=1e-5)
    features = backbone.model.forward_head(backbone.model.norm(full), pre_logits=True)
    pruned, whole_map = (backbone.upper(tokens, top, 1, class_row_only) for class_row_only in (True, False))
    for passed in (pruned, whole_map):
        torch.testing.assert_close(passed.features, features, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(class_attention(passed.calls[0], prefix), class_attention(calls[0], prefix))
    torch.testing.assert_close(whole_map.calls[0].attention(rows), calls[0].attention(rows))


def full_block(block, tokens):
    """The transformer block as papers write it, head by head."""
    attention = block.attn
    q, k, v = attention.qkv(block.norm1(tokens)).chunk(3, dim=-1)
    width, gathered = attention.head_dim, []
    for head in range(attention.num_heads):
        own = slice(head * width, (head + 1) * width)
        own_q, own_k = attention.q_norm(q[..., own]), attention.k_norm(k[..., own])
        map_ = (own_q @ own_k.transpose(1, 2) / width**0.5).softmax(-1)
        gathered.append(map_ @ v[..., own])
    tokens = tokens + block.ls1(attention.proj(torch.cat(gathered, -1)))
    return tokens + block.ls2(block.mlp(block.norm2(tokens)))


def test_normalise_by_hand(backbone):
    image = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    image[0, 5, 9] = torch.tensor([255, 51, 0])
    pixels = backbone.normalise(image)
    assert pixels.shape == (1, 3, 64, 64)
    torch.testing.assert_close(pixels[0, :, 5, 9], torch.tensor([2.0, (0.2 - 0.5) / 0.25, -2.0]))


def test_normalise_uses_each_channels_own_statistics(small_model):
    backbone = Backbone(small_model("norm before the blocks"))
    config = backbone.model.pretrained_cfg
    expected = (torch.full((3,), 100 / 255) - torch.tensor(config["mean"])) / torch.tensor(config["std"])
    grey = torch.full((1, 32, 32, 3), 100, dtype=torch.uint8)
    torch.testing.assert_close(backbone.normalise(grey)[0, :, 0, 0], expected)


def test_nothing_of_a_backbone_learns(backbone):
    assert not backbone.model.training
    assert not any(weight.requires_grad for weight in backbone.model.parameters())
    passed = backbone.upper(backbone.lower(images_for(backbone), 5).requires_grad_(), 5)
    passed.features.sum().backward()
    assert all(weight.grad is None for weight in backbone.model.parameters())


def test_lower_leaves_no_hook_behind(backbone):
    backbone.lower(images_for(backbone), 2)
    assert not any(block._forward_pre_hooks for block in backbone.blocks)


@pytest.mark.parametrize("name", ["vit_small_patch8_glyphs", "rubbish"])
def test_an_unknown_backbone_is_named(name):
    with pytest.raises(ValueError, match=rf"backbone.name must be a timm model .* but got '{name}'"):
        load_backbone(name)


def test_weights_that_cannot_be_downloaded_are_said_to_be_so(monkeypatch):
    def away(*_, **options):
        assert options["pretrained"]
        raise FileNotFoundError("the hub does not answer\nat all")

    monkeypatch.setattr(timm, "create_model", away)
    said = r"^backbone.weights must be a local file where .*: the hub does not answer; .*vit_micro_glyphs, needs no net"
    with pytest.raises(ValueError, match=said):
        load_backbone("vit_small_patch16_224.dino", weights=True)


def test_an_unknown_tag_is_named():
    with pytest.raises(ValueError, match=r"backbone.name .*vit_tiny_patch16_224\.rubbish"):
        load_backbone("vit_tiny_patch16_224.rubbish")


def test_random_weights_are_always_the_same_and_leave_the_global_generator_alone(backbone):
    before = torch.random.get_rng_state()
    again = load_backbone("vit_micro_glyphs")
    assert torch.equal(torch.random.get_rng_state(), before)
    ours, theirs = backbone.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_weights_come_from_a_local_file(tmp_path, backbone):
    state = {name: value + 1 for name, value in backbone.model.state_dict().items()}
    torch.save(state, tmp_path / "weights.pth")
    for weights in (tmp_path / "weights.pth", str(tmp_path / "weights.pth")):
        loaded = load_backbone("vit_micro_glyphs", weights=weights).model.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in loaded.items())


@pytest.mark.parametrize("side", [32, 96])
def test_the_size_of_images_may_be_another(side):
    backbone = load_backbone("test_vit", image_size=side)
    assert backbone.image_size == side
    assert backbone.grid == (side // 16, side // 16)
    assert_cut_anywhere_it_is_the_model(backbone)


def test_an_image_size_that_a_model_does_not_take_is_refused():
    with pytest.raises(ValueError, match=r"backbone.image_size must be left out for test_resnet but got 32"):
        load_backbone("test_resnet", image_size=32)


def test_a_model_that_does_not_run_at_its_own_size_is_refused(small_model):
    """Twice the size that its position embedding is for."""
    with pytest.raises(ValueError, match="backbone must take images of 64 x 64 pixels but VisionTransformer fails: "):
        Backbone(small_model("vit"), image_size=64)


def test_a_type_is_kept():
    backbone = load_backbone("test_vit", dtype=torch.float64, image_size=32)
    passed = backbone.upper(backbone.lower(images_for(backbone), 1), 1, watched=1)
    assert passed.features.dtype == passed.calls[0].logits(slice(None)).dtype == torch.float64


def test_a_model_without_timms_parts_is_refused():
    with pytest.raises(ValueError, match="backbone must be a timm model with forward_features but Linear has none"):
        Backbone(torch.nn.Linear(2, 2))
