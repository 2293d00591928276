from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpt.pictures.reading import opened, peak
from fpt.pictures.wide import is_wide, narrowed, wide_values
from tests.pipeline.data.packing.wide_pictures import png, tiff


@pytest.fixture
def twelve() -> np.ndarray:
    """Pixels of a picture with 12 bits."""
    return np.random.default_rng(0).integers(0, 4096, (20, 30, 4)).astype(np.uint16)


def saved(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def of_colour(folder: Path, pixels: np.ndarray) -> dict[str, Path]:
    files = {"rgb.png": png(pixels[..., :3]), "l.tif": tiff(pixels[..., :3], "<"), "b.tif": tiff(pixels[..., :3], ">")}
    return {name: saved(folder, name, content) for name, content in files.items()}


@pytest.mark.parametrize("suffix", ["png", "tif", "jp2", "pgm"])
def test_all_16_bits_of_grey_pictures_are_known(tmp_path, twelve, suffix):
    path = tmp_path / f"grey.{suffix}"
    Image.fromarray(twelve[..., 0]).save(path)
    with Image.open(path) as image:
        assert is_wide(image)
        assert (wide_values(image) == twelve[..., 0]).all()
    assert peak(path) == twelve[..., 0].max()
    assert (np.asarray(opened(path, 12)) == twelve[..., 0] >> 4).all()


@pytest.mark.parametrize("name", ["rgb.png", "l.tif", "b.tif"])
def test_all_16_bits_of_pictures_in_colour_are_known(tmp_path, twelve, name):
    path = of_colour(tmp_path, twelve)[name]
    with Image.open(path) as image:
        assert is_wide(image)
        assert (wide_values(image) == twelve[..., :3]).all()
    assert peak(path) == twelve[..., :3].max()
    assert (np.asarray(opened(path, 12)) == twelve[..., :3] >> 4).all()
    assert np.asarray(opened(path)).max() == 15  # what Pillow itself leaves of 12 bits


def test_an_alpha_channel_may_use_more_bits_than_colours(tmp_path, twelve):
    for opaque in (4095, 65535):
        twelve[..., 3] = opaque
        path = saved(tmp_path, "alpha.png", png(twelve))
        assert peak(path) == twelve[..., :3].max()
        found = np.asarray(opened(path, 12))
        assert (found[..., :3] == twelve[..., :3] >> 4).all()
        assert (found[..., 3] == 255).all()


def test_a_narrowed_picture_is_turned_upright_as_others_are(tmp_path, twelve):
    path = saved(tmp_path, "turned.tif", tiff(twelve[..., :3], "<", turned=6))
    assert (np.asarray(opened(path, 12)) == np.rot90(twelve[..., :3] >> 4, -1)).all()


def test_pictures_of_8_bits_and_of_32_are_left_as_they_are(tmp_path):
    eight = tmp_path / "8.png"
    Image.new("RGB", (8, 8), "red").save(eight)
    long = tmp_path / "32.tif"
    Image.fromarray(np.full((8, 8), 70_000, np.int32)).save(long)
    for path in (eight, long):
        assert peak(path) is None
        with Image.open(path) as image:
            assert narrowed(image, 12) is image
