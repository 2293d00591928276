import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import CenterCrop
from torchvision.transforms import Resize as ResizeOfTorch

from fpt.pictures.reading import Unreadable
from fpt.pictures.resizing import Border, Crop, Squash
from pipeline.data.packing.decoding import decode
from pipeline.data.sources.listing import Box, Listed

WHOLE = Crop(1.0)


def blocks(width, height, seed=0, side=8):
    """Coloured blocks: edges and flat parts."""
    random = np.random.default_rng(seed)
    cells = random.integers(0, 256, (-(-height // side), -(-width // side), 3), np.uint8)
    return Image.fromarray(cells.repeat(side, 0).repeat(side, 1)[:height, :width])


def saved(image, path: Path, **options) -> Listed:
    image.save(path, **options)
    return Listed(path, "class")


@pytest.mark.parametrize("shape", [(500, 375), (131, 200), (257, 257), (40, 60), (1200, 300)])
@pytest.mark.parametrize("how", [Squash(), Crop(), Crop(0.9, "bilinear"), Crop(1.0, "lanczos")])
def test_geometry_is_that_of_the_released_code_and_of_timm(tmp_path, shape, how):
    image = blocks(*shape)
    if isinstance(how, Squash):
        theirs = np.asarray(CenterCrop(224)(ResizeOfTorch([257, 257])(image)))
    else:
        options = {"crop_pct": how.crop_pct, "interpolation": how.interpolation, "normalize": False}
        theirs = create_transform((3, 224, 224), **options)(image).permute(1, 2, 0).numpy()
    found = decode(saved(image, tmp_path / "a.png"), 224, how)
    np.testing.assert_array_equal(found.image, theirs)
    assert (found.shown, found.mask) == (shape, None)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
@pytest.mark.parametrize("how", [Squash(), Crop()])
def test_every_orientation_shows_the_same_image(tmp_path, kind, how):
    """Stored turned or mirrored, with the tag that undoes it, against the image stored upright."""
    a, found = np.asarray(blocks(90, 60, side=16)), []
    t = a.swapaxes(0, 1)
    stored = [a, a[:, ::-1], a[::-1, ::-1], a[::-1], t, t[::-1], t[::-1, ::-1], t[:, ::-1]]
    for orientation, turned in enumerate(stored, 1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(np.ascontiguousarray(turned))
        options = {"quality": 100, "subsampling": 0} if kind == "jpg" else {}
        listed = saved(image, tmp_path / f"{orientation}.{kind}", exif=exif, **options)
        found.append(decode(Listed(listed.path, "class", box=Box(10.0, 5.0, 40.0, 60.0)), 32, how))
    for one, other in combinations(found, 2):
        assert np.abs(one.image.astype(int) - other.image.astype(int)).max() <= (3 if kind == "jpg" else 0)
        np.testing.assert_array_equal(one.mask, other.mask)
    assert {one.shown for one in found} == {(90, 60)}


def test_a_broken_tag_leaves_the_image_as_it_is(tmp_path):
    image = blocks(40, 40)
    plain = decode(saved(image, tmp_path / "a.jpg"), 32)
    broken = saved(image, tmp_path / "b.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12broken")
    np.testing.assert_array_equal(decode(broken, 32).image, plain.image)


GREY = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8).repeat(4, 0).repeat(4, 1)


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (Image.fromarray(GREY), "png"),
        (Image.fromarray(GREY).quantize(256), "png"),
        (Image.fromarray(GREY.astype(np.uint16) << 8 | 0xFF), "png"),
        (Image.fromarray(GREY.astype(np.uint16) << 8), "tif"),
        (Image.fromarray(GREY.astype(np.int32) << 8), "tif"),
        (Image.fromarray(GREY.astype(np.uint16) << 8), "pgm"),
        (Image.fromarray(GREY).convert("LA"), "png"),
        (Image.fromarray(GREY).convert("RGBA"), "tif"),
        (Image.merge("CMYK", [Image.new("L", (32, 32))] * 3 + [Image.fromarray(255 - GREY)]), "tif"),
        (Image.fromarray(GREY).convert("RGB"), "webp"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.mode,
)
def test_every_mode_becomes_the_same_grey(tmp_path, stored, kind):
    found = decode(saved(stored, tmp_path / f"a.{kind}", lossless=True), 32, WHOLE)
    np.testing.assert_array_equal(found.image, np.stack([GREY] * 3, 2))


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_what_is_transparent_lies_on_white(tmp_path, kind):
    layers = np.zeros((32, 32, 4), np.uint8)
    layers[:, :, 0], layers[:16, :, 3] = 200, 255
    layers[24:, :, 3] = 102  # 0.4
    found = decode(saved(Image.fromarray(layers), tmp_path / f"a.{kind}", lossless=True), 32, WHOLE).image
    assert found[:40:20, 0].tolist() == [[200, 0, 0], [255, 255, 255]]
    np.testing.assert_allclose(found[28, 0], [0.4 * 200 + 0.6 * 255, 0.6 * 255, 0.6 * 255], atol=1)


def test_a_transparent_colour_of_a_palette_lies_on_white(tmp_path):
    indices = Image.fromarray(np.repeat([[0], [1]], 16, 0).repeat(32, 1).astype(np.uint8), "P")
    indices.putpalette([10, 20, 30, 40, 50, 60])
    for kind in ("png", "gif"):
        found = decode(saved(indices, tmp_path / f"a.{kind}", transparency=0), 32, WHOLE).image
        assert found[::31, 0].tolist() == [[255, 255, 255], [40, 50, 60]]


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_frame(tmp_path, kind):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    listed = saved(frames[0], tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:], lossless=True)
    assert (decode(listed, 32).image == [255, 0, 0]).all()


@pytest.mark.parametrize("how", [Squash(), Crop(), WHOLE, Squash(1.0, "bicubic")])
@pytest.mark.parametrize("shape", [(200, 150), (90, 120), (64, 64)])
def test_box_and_mask_file_say_the_same_as_the_image(tmp_path, how, shape):
    """A white rectangle on black: where the decoded image is white, its box and its mask file must say so."""
    width, height = shape
    box = (width // 3, height // 4, width - 20, height - 9)
    drawn = np.zeros((height, width), np.uint8)
    drawn[box[1] : box[3], box[0] : box[2]] = 255
    image = saved(Image.fromarray(drawn), tmp_path / "image.png")
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    by_box = decode(Listed(image.path, "class", box=Box(*map(float, box))), 56, how)
    by_file = decode(Listed(image.path, "class", mask=tmp_path / "mask.png"), 56, how)
    np.testing.assert_array_equal(by_box.mask, by_file.mask)
    certain = np.abs(by_box.image[:, :, 0].astype(int) - 127.5) > 100
    assert certain.mean() > 0.9
    np.testing.assert_array_equal(by_box.mask[certain], by_box.image[:, :, 0][certain] > 127)
    # By hand: an edge at x goes to (x / width) times the resized width, less what the crop takes; a pixel belongs to
    # the key entity where its centre does.
    wide = high = int(56 * how.enlarged) if isinstance(how, Squash) else math.floor(56 / how.crop_pct)
    if isinstance(how, Crop):
        wide, high = int(wide * max(1, width / height)), int(high * max(1, height / width))
    edges = [box[0] * wide / width, box[1] * high / height, box[2] * wide / width, box[3] * high / height]
    starts = [round((wide - 56) / 2), round((high - 56) / 2)] * 2
    left, top, right, bottom = (min(56, max(0, math.ceil(e - s - 0.5))) for e, s in zip(edges, starts, strict=True))
    expected = np.zeros((56, 56), bool)
    expected[top:bottom, left:right] = True
    np.testing.assert_array_equal(by_box.mask, expected)


def test_mask_values(tmp_path):
    """A trimap, as palette indices, as grey and as grey in colour: 1 and 3 are the key entity."""
    image = saved(blocks(64, 64), tmp_path / "a.png")
    trimap = np.repeat(np.arange(4, dtype=np.uint8), 16)[:, None].repeat(64, 1)
    palette = Image.fromarray(trimap, "P")
    palette.putpalette([7, 7, 7, 9, 9, 9, 0, 0, 0, 1, 1, 1])
    mask = tmp_path / "mask.png"
    for form in (palette, Image.fromarray(trimap), Image.fromarray(np.stack([trimap] * 3, 2))):
        form.save(mask)
        chosen = decode(Listed(image.path, "class", mask=mask, mask_values=(1, 3)), 64, WHOLE).mask
        np.testing.assert_array_equal(chosen[:, 0].nonzero()[0], [*range(16, 32), *range(48, 64)])
        anything = decode(Listed(image.path, "class", mask=mask), 64, WHOLE).mask
        np.testing.assert_array_equal(anything[:, 63].nonzero()[0], range(16, 64))


def test_a_mask_that_does_not_fit_or_is_broken_is_told(tmp_path):
    image = saved(blocks(64, 48), tmp_path / "a.png")
    Image.new("L", (48, 64)).save(tmp_path / "turned.png")
    with pytest.raises(Unreadable, match=r"^mask turned\.png: 48 x 64 pixels, but the image has 64 x 48$"):
        decode(Listed(image.path, "class", mask=tmp_path / "turned.png"), 32)
    (tmp_path / "empty.png").touch()
    with pytest.raises(Unreadable, match=r"^mask empty\.png: empty file$"):
        decode(Listed(image.path, "class", mask=tmp_path / "empty.png"), 32)


@pytest.mark.parametrize("how", [Squash(), Crop()])
def test_one_pixel_fills_the_image(tmp_path, how):
    listed = saved(Image.new("RGB", (1, 1), (9, 99, 199)), tmp_path / "a.png")
    found = decode(Listed(listed.path, "class", box=Box(0.0, 0.0, 1.0, 1.0)), 64, how)
    assert (found.image == [9, 99, 199]).all()
    assert found.mask.all()


def test_ribbons_are_cropped_like_others(tmp_path, monkeypatch):
    listed = saved(blocks(400, 30), tmp_path / "a.png")
    whole = decode(listed, 64).image
    monkeypatch.setattr("fpt.pictures.squares.RIBBON", 1)
    assert np.abs(decode(listed, 64).image.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("shape", [(200, 60), (60, 200), (61, 200)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.8])
def test_a_mask_ends_where_the_border_begins(tmp_path, shape, crop_pct):
    """A box and a mask of the whole image: the border is the fill, all else is the key entity."""
    image = saved(Image.new("RGB", shape, "white"), tmp_path / "a.png")
    Image.new("L", shape, 255).save(tmp_path / "mask.png")
    how = Border(crop_pct, "nearest", (1, 2, 3))
    by_box = decode(Listed(image.path, "class", box=Box(-5.0, -5.0, 999.0, 999.0)), 64, how)
    by_file = decode(Listed(image.path, "class", mask=tmp_path / "mask.png"), 64, how)
    np.testing.assert_array_equal(by_box.mask, by_box.image[:, :, 0] == 255)
    np.testing.assert_array_equal(by_file.mask, by_box.mask)
    short, target = min(shape), math.floor(64 / crop_pct)
    assert by_box.mask.sum() == 64 * round(short * target / 200)
    assert set(map(tuple, by_box.image.reshape(-1, 3).tolist())) == {(255, 255, 255), (1, 2, 3)}


def test_a_ribbon_with_a_border_keeps_a_pixel(tmp_path):
    listed = saved(Image.new("RGB", (2000, 2), "white"), tmp_path / "a.png")
    assert decode(listed, 64, Border()).image[:, :, 0].tolist().count([255] * 64) == 1
