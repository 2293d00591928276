"""Names of backbones as others write them."""

import pytest

from fpt.backbones.loading import load_backbone
from fpt.backbones.naming import check_name


@pytest.mark.parametrize("before", ["", "timm/", "hf-hub:timm/", "hf_hub:timm/", "timm:"])
def test_what_the_hub_writes_before_a_name_is_left_out(before):
    assert check_name(f"{before}vit_small_patch16_224.dino") == "vit_small_patch16_224.dino"
    assert load_backbone(f"{before}test_vit", image_size=32).depth == load_backbone("test_vit", image_size=32).depth


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ViT-S/16", "vit_small_patch16_224,"),
        ("ViT-B/32", "vit_base_patch32_224,"),
        ("vit-l-14", "vit_large_patch14_224,"),
        ("DINO", r"vit_\w+\.dino,"),
        ("vit_smal_patch16_224", "vit_small_patch16_224"),
        ("ViT_Small_Patch16_224", "vit_small_patch16_224"),
        ("swin-tiny-patch4-window7-224", "swin_tiny_patch4_window7_224"),
        ("", r"\w+"),
        ("***", r"\w+"),
    ],
)
def test_the_nearest_names_are_told(name, near):
    with pytest.raises(ValueError, match=rf"^backbone\.name must be a timm model \(like {near}.*\) but got '"):
        check_name(name)


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/a/b", "https://example.org/a.pth"])
def test_places_that_are_not_read_are_named(name):
    with pytest.raises(ValueError, match=r"^backbone\.name must be .* only hf-hub:timm/NAME is known; download"):
        check_name(name)
