"""Scales of transformers that are no more than a list of their layers, and of a model of timm."""

from types import SimpleNamespace

import pytest
from torch import nn

from fpt.backbones.backbone import Backbone
from fpt.backbones.scales import scales_of
from fpt.backbones.structure import Layer


def layers(*sizes):
    """Attention layers of so many (windows, tokens), lowest first."""
    return [Layer(str(i), nn.Identity(), nn.Identity(), *size) for i, size in enumerate(sizes)]


def embedding(*grid):
    """A model whose patch embedding says its grid."""
    return SimpleNamespace(patch_embed=SimpleNamespace(grid_size=grid))


def test_a_columnar_transformer_has_one_scale():
    found = scales_of(SimpleNamespace(), layers((1, 197), (1, 197), (1, 197)))
    assert (found.stages, found.pyramid) == ([[0, 1, 2]], False)
    assert (found.prefix, found.grid, found.target_shapes) == (1, (14, 14), [(196,)])


@pytest.mark.parametrize(
    ("model", "tokens", "prefix", "grid"),
    [
        (SimpleNamespace(), 201, 5, (14, 14)),  # four registers and [CLS], by the largest square
        (SimpleNamespace(), 16, 0, (4, 4)),
        (embedding(2, 4), 9, 1, (2, 4)),  # by the largest square it would be 0 and 3 x 3
        (embedding(14, 14), 50, 1, (7, 7)),  # patches were merged after the embedding
    ],
    ids=["square", "no prefix", "oblong", "merged"],
)
def test_the_grid_is_the_embeddings_where_it_fits_and_else_the_largest_square(model, tokens, prefix, grid):
    found = scales_of(model, layers((1, tokens)))
    assert (found.prefix, found.grid, found.target_shapes) == (prefix, grid, [(grid[0] * grid[1],)])


def test_each_stage_of_a_pyramid_is_a_scale():
    """Windows of 7 x 7 in two stages, then 7 x 7 and [CLS] in a third."""
    found = scales_of(SimpleNamespace(), layers((16, 49), (16, 49), (4, 49), (1, 50), (1, 50)))
    assert (found.stages, found.pyramid) == ([[0, 1], [2], [3, 4]], True)
    assert found.stage_prefixes == [0, 0, 1]
    assert found.target_shapes == [(16, 49), (4, 49), (1, 49)]
    assert (found.prefix, found.grid) == (0, (0, 0))


def test_windows_alone_make_a_pyramid():
    found = scales_of(SimpleNamespace(), layers((4, 16), (4, 16)))
    assert (found.stages, found.pyramid, found.target_shapes) == ([[0, 1]], True, [(4, 16)])


def test_windows_that_are_no_squares_have_no_tokens_before_their_patches():
    """2 x 4 patches in each of four windows: they are not 4 patches behind 4 other tokens."""
    found = scales_of(SimpleNamespace(), layers((4, 8), (1, 10)))
    assert (found.stage_prefixes, found.target_shapes) == ([0, 1], [(4, 8), (1, 9)])


def test_windows_of_another_shape_are_another_scale_that_is_no_finer():
    """Windows of one layer, all tokens in the next, as often as there are."""
    found = scales_of(SimpleNamespace(), layers((4, 16), (1, 64)))
    assert (found.stages, found.target_shapes) == ([[0], [1]], [(4, 16), (1, 64)])


def test_a_transformer_that_becomes_finer_is_refused():
    said = r"^backbone must only ever become coarser but SimpleNamespace has stages of \[49, 196\] tokens$"
    with pytest.raises(ValueError, match=said):
        scales_of(SimpleNamespace(), layers((1, 49), (4, 49)))


@pytest.mark.parametrize("kind", ["vit", "layer scale, registers", "distilled"])
def test_a_backbone_has_the_scales_of_its_layers(kind, small_model):
    model = small_model(kind)
    backbone = Backbone(model)
    found = scales_of(model, backbone.layers)
    assert (backbone.stages, backbone.stage_prefixes, backbone.pyramid) == found[:3]
    assert (backbone.prefix, backbone.grid, backbone.target_shapes) == found[3:]
    assert found.prefix == model.num_prefix_tokens
    assert found.grid == model.patch_embed.grid_size
