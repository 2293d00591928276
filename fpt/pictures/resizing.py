"""How images reach a backbone's size: the ways there are, and which of them a backbone's pre-training has seen."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Interpolation = Literal["bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"]


@dataclass(frozen=True)
class Squash:
    """A squash takes both sides to int(`enlarged` times the size), whatever the shape, and keeps the centre: so does
    the paper's released code (257 x 257 for 224).
    """

    enlarged: float = 1.15
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.enlarged < 1:
            raise ValueError(f"enlarged must be at least 1 but got {self.enlarged:g}")

    def resized(self, width: int, height: int, size: int) -> tuple[int, int]:
        side = int(size * self.enlarged)
        return side, side


@dataclass(frozen=True)
class Crop:
    """A crop takes the shorter side to size / `crop_pct`, and keeps the centre: so timm evaluates most backbones
    (`crop_pct` and `interpolation` are those of their pre-training). The defaults are those of most.
    """

    crop_pct: float = 0.875
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        _check_crop(self.crop_pct)

    def resized(self, width: int, height: int, size: int) -> tuple[int, int]:
        short = math.floor(size / self.crop_pct)
        long = int(short * max(width, height) / min(width, height))
        return (short, long) if width <= height else (long, short)


@dataclass(frozen=True)
class Stretch:
    """A stretch takes both sides to size / `crop_pct`, whatever the shape, and keeps the centre: so timm evaluates
    backbones whose `crop_mode` is squash.
    """

    crop_pct: float = 1.0
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        _check_crop(self.crop_pct)

    def resized(self, width: int, height: int, size: int) -> tuple[int, int]:
        side = math.floor(size / self.crop_pct)
        return side, side


@dataclass(frozen=True)
class Border:
    """A border surrounds an image whose longer side is taken to size / `crop_pct`, and of which the centre is kept, on
    the colour `fill`: so timm evaluates backbones whose `crop_mode` is border, where `fill` is the mean of their
    pre-training.
    """

    crop_pct: float = 1.0
    interpolation: Interpolation = "bicubic"
    fill: tuple[int, int, int] = (124, 116, 104)

    def __post_init__(self) -> None:
        _check_crop(self.crop_pct)

    def resized(self, width: int, height: int, size: int) -> tuple[int, int]:
        ratio = max(width, height) / math.floor(size / self.crop_pct)
        return max(1, round(width / ratio)), max(1, round(height / ratio))


def _check_crop(crop_pct: float) -> None:
    if not 0 < crop_pct <= 1:
        raise ValueError(f"crop_pct must be over 0 and at most 1 but got {crop_pct:g}")


Resize = Squash | Crop | Stretch | Border
DEFAULT = Crop()
NAMES = {Squash: "squash", Crop: "crop", Stretch: "stretch", Border: "border"}


def described(how: Resize) -> dict[str, Any]:
    """Returns, for manifests, what is the same for the same geometry, whatever it is called here later."""
    return {"geometry": NAMES[type(how)], **asdict(how)}


def resize_of(resize: Literal["crop", "squash"], seen: Resize) -> Resize:
    """Returns how images reach a backbone's size: as the paper's code has it, or as its pre-training has seen them."""
    return Squash() if resize == "squash" else seen


def resize_of_pretraining(config: Mapping[str, Any]) -> Resize:
    """Returns timm's transform for evaluation, by the fields `crop_pct`, `crop_mode`, `interpolation` and `mean` of a
    backbone's configuration.

    Raises ValueError for an interpolation that timm does not know, and for a `crop_pct` over 1.
    """
    crop_pct = config.get("crop_pct") or 1.0  # timm's own all have one; scenes of glyphs are seen whole
    interpolation: Any = config.get("interpolation") or "bicubic"
    if interpolation == "random":  # of two while training
        interpolation = "bilinear"
    if interpolation not in get_args(Interpolation):
        raise ValueError(f"interpolation must be one of {', '.join(get_args(Interpolation))} but got {interpolation!r}")
    match config.get("crop_mode"):
        case "squash":
            return Stretch(crop_pct, interpolation)
        case "border":
            red, green, blue = (round(255 * mean) for mean in config["mean"])
            return Border(crop_pct, interpolation, (red, green, blue))
        case _:
            return Crop(crop_pct, interpolation)
