"""The embedded backbone: a micro ViT for 64 x 64 images, registered with timm as `vit_micro_glyphs`.

Its weights lie in the package; CARD.md beside them says how they were made and how well they do.
"""

from importlib.resources import files
from typing import Any

import timm
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

WEIGHTS = files(__package__).joinpath("data/vit_micro_glyphs.safetensors")
STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


class Residual(nn.Module):
    """Adds two 3 x 3 convolutions of x to x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*convolution(width, width), *convolution(width, width)[:-1])
        self.activation = nn.ReLU()

    def forward(self, x: Float[Tensor, "batch width h w"]) -> Float[Tensor, "batch width h w"]:
        return self.activation(x + self.layers(x))  # type: ignore[no-any-return]


def convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    """Returns a 3 x 3 convolution, batch norm and ReLU."""
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]


class ConvolutionalStem(nn.Module):
    """Patch embedding by convolutions: one token for every 8 x 8 pixels, with a receptive field of a whole glyph.

    Early convolutions help small transformers learn (arXiv:2106.14881). The signature is that of timm's PatchEmbed.
    """

    def __init__(
        self, img_size: int = 64, patch_size: int = 8, in_chans: int = 3, embed_dim: int = 128, **_: Any
    ) -> None:
        super().__init__()
        if patch_size != 8:
            raise ValueError(f"patch_size must be 8 but got {patch_size}")
        self.patch_size = (patch_size, patch_size)
        self.grid_size = (img_size // patch_size, img_size // patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.layers = nn.Sequential(
            *convolution(in_chans, 32, stride=2),
            *convolution(32, 64, stride=2),
            *convolution(64, 64),
            *convolution(64, embed_dim, stride=2),
            *(Residual(embed_dim) for _ in range(3)),
        )
        self.project = nn.Conv2d(embed_dim, embed_dim, 1)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches dim"]:
        tokens: Tensor = self.project(self.layers(images)).flatten(2).transpose(1, 2)
        return tokens


@timm.models.register_model  # type: ignore[untyped-decorator]
def vit_micro_glyphs(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Returns a micro ViT, 128 wide, 6 deep, with 4 heads and 8 x 8 patches. `pretrained` loads the weights in the
    package.
    """
    # timm passes these to every registered model; they are about hubs and feature extraction.
    for ignored in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(ignored, None)
    shape = {"img_size": 64, "patch_size": 8, "embed_dim": 128, "depth": 6, "num_heads": 4, "num_classes": 0}
    model = VisionTransformer(**{**shape, "embed_layer": ConvolutionalStem, **kwargs})
    model.pretrained_cfg = model.default_cfg = {"input_size": (3, 64, 64), **STATISTICS}
    if pretrained:
        weights = load_file(str(WEIGHTS))
        model.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
        )
    return model


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Turns uint8 images, channels last, into the backbone's float input, channels first."""
    return (images.permute(0, 3, 1, 2).float() / 255 - STATISTICS["mean"][0]) / STATISTICS["std"][0]
