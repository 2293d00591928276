"""How pixels are normalised for the weights of a local file, and who says so."""

import pytest
import timm
import torch

from fpt.backbones.checkpoints.beside import NOTHING_BESIDE, Beside
from fpt.backbones.checkpoints.layouts import CLIPS, IMAGENET, SIGLIPS, Layout
from fpt.backbones.checkpoints.pixels import pixels_of_file
from fpt.backbones.fingerprint import backbone_fingerprint
from fpt.backbones.loading import load_backbone

PLAIN, OWN = Layout("plain"), ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


@pytest.mark.parametrize(
    ("name", "layout", "beside", "expected"),
    [
        ("vit_small_patch16_224.dino", Layout("CLIP", CLIPS), Beside(SIGLIPS), OWN),  # a tag says whose weights
        ("vit_small_patch16_224", PLAIN, Beside(SIGLIPS), SIGLIPS),
        ("vit_small_patch16_224", Layout("DINO", IMAGENET), NOTHING_BESIDE, IMAGENET),
        ("vit_small_patch16_224", Layout("DINO", IMAGENET), Beside(SIGLIPS), SIGLIPS),
        ("swin_tiny_patch4_window7_224", PLAIN, NOTHING_BESIDE, OWN),  # timm knows no others than ImageNet's
        ("vit_micro_glyphs", PLAIN, NOTHING_BESIDE, OWN),  # none of timm's
    ],
)
def test_who_says_them(name, layout, beside, expected):
    assert pixels_of_file(name, OWN, layout, beside, "a.pth") == expected


@pytest.mark.parametrize("name", ["vit_small_patch16_224", "vit_tiny_patch16_224", "beit_base_patch16_224", "test_vit"])
def test_they_are_never_a_half_without_a_word(name):
    said = rf"^backbone\.mean and backbone\.std must be given for a\.pth, .* name {name}, .*0\.5.* like {name}\."
    with pytest.raises(ValueError, match=said):
        pixels_of_file(name, OWN, PLAIN, NOTHING_BESIDE, "a.pth")


def written(tmp_path, nest):
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    torch.save(nest(state), tmp_path / "a.pth")
    return tmp_path / "a.pth"


def shade(backbone):
    """What the grey 128 becomes, of each colour."""
    images = torch.full((1, 160, 160, 3), 128, dtype=torch.uint8)
    return backbone.normalise(images)[0, :, 0, 0]


@pytest.mark.parametrize(
    ("name", "nest", "told", "expected"),
    [
        ("test_vit", lambda state: {"teacher": state}, {}, IMAGENET),
        ("test_vit", lambda state: state, {"mean": OWN[0], "std": list(OWN[1])}, OWN),
        ("test_vit", lambda state: {"teacher": state}, {"mean": OWN[0], "std": OWN[1]}, OWN),
        ("test_vit.r160_in1k", lambda state: state, {}, SIGLIPS),
    ],
)
def test_pixels_are_normalised_by_them(name, nest, told, expected, tmp_path):
    backbone = load_backbone(name, weights=written(tmp_path, nest), **told)
    mean, std = map(torch.tensor, expected)
    torch.testing.assert_close(shade(backbone), (128 / 255 - mean) / std)


def test_other_pixels_are_another_backbone_and_the_same_are_not(tmp_path):
    path = written(tmp_path, lambda state: state)
    plain, same = load_backbone("test_vit.r160_in1k", weights=path), load_backbone("test_vit")
    told = load_backbone("test_vit", weights=path, mean=SIGLIPS[0], std=SIGLIPS[1])
    other = load_backbone("test_vit", weights=path, mean=IMAGENET[0], std=IMAGENET[1])
    assert backbone_fingerprint(plain) == backbone_fingerprint(told) != backbone_fingerprint(other)
    assert plain.pixels is told.pixels is same.pixels is None


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"mean": OWN[0]}, r"backbone\.std must be given where backbone\.mean is, but is missing"),
        ({"std": OWN[0]}, r"backbone\.mean must be given where backbone\.std is, but is missing"),
        (
            {"mean": (1.0, 0.5), "std": OWN[1]},
            r"backbone\.mean must be three numbers between 0 and 1 but got \[1\.0, 0\.5\]",
        ),
        (
            {"mean": (123.7, 116.3, 103.5), "std": OWN[1]},
            r"backbone\.mean must be three numbers between 0 and 1 but got \[123\.7, 116\.3, 103\.5\]",
        ),
        (
            {"mean": OWN[0], "std": (0.0, 1.0, 1.0)},
            r"backbone\.std must be three numbers between 0 and 1 but got \[0\.0, 1\.0, 1\.0\]",
        ),
    ],
)
def test_what_is_told_is_checked(told, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        load_backbone("test_vit", **told)
