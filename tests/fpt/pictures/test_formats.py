import sys
from types import ModuleType

import numpy as np
import PIL
import pytest
from PIL import Image

from fpt.pictures import formats
from fpt.pictures.reading import Unreadable, opened
from pipeline.data.sources.folders import folder

SAVED = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".JPG"), "JPEG"),
    **dict.fromkeys((".png", ".apng"), "PNG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), "JPEG2000"),
    **dict.fromkeys((".ppm", ".pgm", ".pnm"), "PPM"),
    ".avif": "AVIF",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".mpo": "MPO",
}


@pytest.fixture
def asked_again():
    """The lists are made once for a process; here they are made again, before and after."""
    lists = (formats.formats, formats.suffixes, formats.decoders)
    for one in lists:
        one.cache_clear()
    yield
    for one in lists:
        one.cache_clear()


def test_what_is_decoded_is_walked(tmp_path):
    (tmp_path / "a").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    for suffix, kind in SAVED.items():
        Image.fromarray(pixels).save(tmp_path / "a" / f"1{suffix}", kind)
    listed = folder(tmp_path).images
    assert {image.path.suffix for image in listed} == set(SAVED)
    assert {opened(image.path).size for image in listed} == {(32, 32)}


def test_each_suffix_that_is_walked_is_one_of_a_format_that_is_decoded():
    of_pillow = Image.registered_extensions()
    assert {of_pillow[suffix] for suffix in formats.suffixes()} - {"MPO"} == set(formats.formats())
    assert not formats.is_image("a.eps")
    assert not formats.is_image("jpg")


def test_what_pillow_here_does_not_decode_is_not_walked(monkeypatch, asked_again):
    monkeypatch.setattr(formats.features, "check", lambda library: library != "avif")
    assert "AVIF" not in formats.formats()
    assert not formats.is_image("a.avif")
    assert formats.is_image("a.jpg")
    assert formats.decoders() == PIL.__version__


def test_heic_without_its_decoder_is_told_with_the_way_to_it(tmp_path, monkeypatch, asked_again):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "2.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert folder(tmp_path).notes == (
        "HEIC pictures passed over, which pillow-heif decodes and is not here (pip install pillow-heif): 1 (a/2.HEIC).",
    )
    with pytest.raises(Unreadable, match=r"^HEIC, which pillow-heif decodes and is not here: pip install pillow-heif$"):
        opened(tmp_path / "a" / "2.HEIC")


def test_heic_is_read_where_its_decoder_is(tmp_path, monkeypatch, asked_again):
    """A decoder that registers itself as pillow-heif does stands for it: it reads BMP."""
    decoder = ModuleType("pillow_heif")

    def register():
        factory, accept = Image.OPEN["BMP"]
        monkeypatch.setitem(Image.OPEN, "HEIF", (factory, accept))
        monkeypatch.setitem(Image.EXTENSION, ".heic", "HEIF")

    decoder.register_heif_opener = register
    monkeypatch.setitem(sys.modules, "pillow_heif", decoder)
    monkeypatch.setattr(formats, "find_spec", lambda name: True)
    monkeypatch.setattr(formats, "version", lambda name: "1.8")
    assert formats.formats()[-1] == "HEIF"
    assert formats.decoders() == f"{PIL.__version__} with pillow-heif 1.8"
    assert formats.is_image("a.HEIC")
    assert not formats.needs_heif("a.HEIC")
