"""Ways to a backbone's size: lengths by hand and by torchvision, pixels by timm's own transform."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import Resize as ResizeOfTorch

from fpt.pictures.resizing import (
    DEFAULT,
    NAMES,
    Border,
    Crop,
    Squash,
    Stretch,
    described,
    resize_of,
    resize_of_pretraining,
)
from pipeline.data.packing.decoding import decode
from tests.pipeline.data.packing.test_decoding import blocks, saved

SHAPES = [(500, 375), (375, 500), (131, 200), (224, 224), (1201, 300), (1, 1)]


@pytest.mark.parametrize(
    ("how", "wide", "high"),
    [
        (Squash(), 257, 257),  # int(1.15 * 224), of the paper's code
        (Squash(1.0), 224, 224),
        (Crop(), 341, 256),  # 224 / 0.875, and 256 * 400 / 300
        (Crop(1.0), 298, 224),
        (Stretch(0.95), 235, 235),
        (Border(), 224, 168),
        (Border(0.875), 256, 192),
    ],
    ids=repr,
)
def test_sizes_by_hand(how, wide, high):
    """Of a photograph of 400 x 300, and of one that stands upright, at 224."""
    assert how.resized(400, 300, 224) == (wide, high)
    assert how.resized(300, 400, 224) == (high, wide)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.9, 0.96])
def test_a_crop_and_a_stretch_are_resized_as_torchvision_does_it(shape, crop_pct):
    side, image = math.floor(224 / crop_pct), Image.new("L", shape)
    assert Crop(crop_pct).resized(*shape, 224) == ResizeOfTorch(side)(image).size
    assert Stretch(crop_pct).resized(*shape, 224) == ResizeOfTorch([side, side])(image).size


@pytest.mark.parametrize("shape", [*SHAPES, (2000, 2), (2, 2000)])
@pytest.mark.parametrize("how", [Squash(), Crop(), Stretch(0.9), Border(), Border(0.9)], ids=repr)
def test_whatever_the_shape_there_is_a_pixel_and_all_but_a_border_fill_the_square(shape, how):
    wide, high = how.resized(*shape, 64)
    assert min(wide, high) >= (1 if isinstance(how, Border) else 64)
    if isinstance(how, Border):
        assert max(wide, high) == math.floor(64 / how.crop_pct)


@pytest.mark.parametrize("shape", [(500, 375), (131, 200), (257, 256), (40, 60), (1201, 300), (224, 224)])
@pytest.mark.parametrize(
    "config",
    [
        {"crop_mode": "squash", "crop_pct": 1.0, "interpolation": "bicubic"},
        {"crop_mode": "squash", "crop_pct": 0.95, "interpolation": "bilinear"},
        {"crop_mode": "squash", "crop_pct": 0.875, "interpolation": "hamming"},
        {"crop_mode": "border", "crop_pct": 1.0, "interpolation": "bicubic"},
        {"crop_mode": "border", "crop_pct": 0.9, "interpolation": "lanczos"},
        {"crop_mode": "center", "crop_pct": 0.96, "interpolation": "nearest"},
        {"crop_mode": None, "crop_pct": 0.9, "interpolation": "box"},
    ],
    ids=lambda one: "-".join(map(str, one.values())),
)
def test_a_backbones_own_transform_is_timms(tmp_path, shape, config):
    image, mean = blocks(*shape), (0.485, 0.456, 0.406)
    theirs = create_transform((3, 224, 224), **config, mean=mean, normalize=False)(image).permute(1, 2, 0).numpy()
    how = resize_of_pretraining({**config, "mean": mean})
    found = decode(saved(image, tmp_path / "a.png"), 224, how)
    np.testing.assert_array_equal(found.image, theirs)


def test_of_two_interpolations_while_training_the_one_of_timms_evaluation():
    assert resize_of_pretraining({"crop_pct": 0.9, "interpolation": "random"}) == Crop(0.9, "bilinear")
    assert resize_of_pretraining({}) == Crop(1.0, "bicubic")
    with pytest.raises(ValueError, match=r"^interpolation must be one of bilinear, .*hamming but got 'cubic'$"):
        resize_of_pretraining({"interpolation": "cubic"})


def test_what_cannot_be_asked_for():
    with pytest.raises(ValueError, match=r"crop_pct must be over 0 and at most 1 but got 1\.2"):
        Crop(1.2)
    with pytest.raises(ValueError, match=r"enlarged must be at least 1 but got 0\.9"):
        Squash(0.9)


@pytest.mark.parametrize("how", [Crop, Stretch, Border])
@pytest.mark.parametrize("crop_pct", [0.0, -0.5, 1.01])
def test_every_share_that_is_kept_is_over_0_and_at_most_1(how, crop_pct):
    with pytest.raises(ValueError, match=f"^crop_pct must be over 0 and at most 1 but got {crop_pct:g}$"):
        how(crop_pct)


def test_the_colour_of_a_border_is_the_mean_of_the_pre_training():
    """ImageNet's 0.485, 0.456, 0.406 of 255: 123.7, 116.3 and 103.5."""
    config = {"crop_mode": "border", "crop_pct": 0.9, "interpolation": "lanczos", "mean": (0.485, 0.456, 0.406)}
    assert resize_of_pretraining(config) == Border(0.9, "lanczos", (124, 116, 104))
    assert Border().fill == (124, 116, 104)


def test_a_share_over_1_of_a_backbones_own_is_refused():
    with pytest.raises(ValueError, match=r"^crop_pct must be over 0 and at most 1 but got 1\.1$"):
        resize_of_pretraining({"crop_pct": 1.1})


def test_a_run_squashes_or_sees_what_the_pre_training_saw():
    seen = Stretch(0.9)
    assert resize_of("squash", seen) == Squash(1.15, "bilinear")
    assert resize_of("crop", seen) is seen
    assert Crop(0.875, "bicubic") == DEFAULT


def test_manifests_tell_geometries_apart():
    """By what they are given under, as files that were packed name them."""
    assert described(Border(0.9)) == {
        "geometry": "border",
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "fill": (124, 116, 104),
    }
    ways = [Squash(), Squash(1.2), Crop(), Crop(1.0), Crop(1.0, "box"), Stretch(), Border(), Border(fill=(0, 0, 0))]
    assert len({json.dumps(described(how)) for how in ways}) == len(ways)
    assert [described(how())["geometry"] for how in NAMES] == ["squash", "crop", "stretch", "border"]
