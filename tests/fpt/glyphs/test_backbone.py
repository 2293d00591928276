import copy

import pytest
import timm
import torch
from safetensors.torch import load_file

from fpt.backbones.loading import load_backbone
from fpt.glyphs.backbone import WEIGHTS, ConvolutionalStem, normalise


@pytest.fixture(scope="module")
def packaged():
    return load_backbone("vit_micro_glyphs", weights=True)


def test_timm_knows_the_backbone(backbone):
    assert timm.is_model("vit_micro_glyphs")
    assert (backbone.depth, backbone.dim, backbone.prefix) == (6, 128, 1)
    assert (backbone.grid, backbone.grid_patches, backbone.image_size) == ((8, 8), 64, 64)
    assert 1e6 < sum(weight.numel() for weight in backbone.model.parameters()) < 3e6


def test_packaged_weights_are_all_loaded_in_single_precision(packaged):
    weights, loaded = load_file(str(WEIGHTS)), packaged.model.state_dict()
    assert weights.keys() == loaded.keys()
    for name, value in loaded.items():
        assert value.dtype in (torch.float32, torch.int64)
        torch.testing.assert_close(value, weights[name].to(value.dtype), rtol=0, atol=0)
        assert value.isfinite().all()


def test_packaged_weights_are_small():
    weights = load_file(str(WEIGHTS))
    assert {value.dtype for value in weights.values()} <= {torch.float16, torch.int64}
    assert sum(value.nbytes for value in weights.values()) < 8e6


def test_packaged_and_random_weights_differ(packaged, backbone):
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours, theirs = (one.upper(one.lower(images, 5), 5).features for one in (packaged, backbone))
    assert ours.isfinite().all()
    assert (ours - theirs).abs().max() > 0.1


def test_pre_training_and_use_see_the_same_pixels(backbone):
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(normalise(images), backbone.normalise(images))


def test_tokens_are_patches_row_by_row(backbone):
    """With convolutions that average, a token is lit most by the centre of its field: the first pixel of its patch."""
    stem = copy.deepcopy(backbone.model.patch_embed)
    for layer in stem.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.fill_(1 / layer.weight[0].numel())
    for row, column in ((1, 1), (2, 5), (5, 2), (4, 6)):
        pixels = torch.zeros(1, 3, 64, 64)
        pixels[..., 8 * row - 1 : 8 * row + 2, 8 * column - 1 : 8 * column + 2] = 1.0
        assert divmod(int(stem(pixels).sum(-1).argmax()), 8) == (row, column)


def test_another_patch_size_is_refused():
    with pytest.raises(ValueError, match="patch_size must be 8 but got 16"):
        ConvolutionalStem(patch_size=16)
