import numpy as np
import pytest
from PIL import Image

from fpt.classifier.transform import Transform, in_batches, listed
from fpt.pictures.reading import Unreadable
from fpt.pictures.resizing import Crop

TRANSFORM = Transform(32, Crop())


def test_an_array_of_the_size_is_taken_as_it_is_and_others_go_through_the_crop():
    small = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    assert TRANSFORM(small) is small
    large = np.kron(small, np.ones((2, 2, 1), np.uint8))
    expected = Image.fromarray(large).resize((36, 36), Image.Resampling.BICUBIC).crop((2, 2, 34, 34))
    np.testing.assert_array_equal(TRANSFORM(large), np.asarray(expected))
    np.testing.assert_array_equal(TRANSFORM(Image.fromarray(large)), np.asarray(expected))


def test_grey_arrays_and_those_with_transparency_are_pictures_too():
    grey = np.full((40, 50), 7, np.uint8)
    assert (TRANSFORM(grey) == 7).all()
    clear = np.zeros((40, 50, 4), np.uint8)
    assert (TRANSFORM(clear) == 255).all()


def test_a_file_is_turned_upright(tmp_path):
    image = Image.fromarray(np.kron(np.eye(2, dtype=np.uint8) * 255, np.ones((40, 40), np.uint8)))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "turned.png", exif=exif)
    found = TRANSFORM(tmp_path / "turned.png")
    np.testing.assert_array_equal(found, TRANSFORM(image.rotate(-90)))
    np.testing.assert_array_equal(found, TRANSFORM((tmp_path / "turned.png").read_bytes()))


def test_the_16_bits_of_a_pixel_are_used_as_far_as_is_told(tmp_path):
    Image.fromarray(np.full((40, 40), 2048, np.uint16)).save(tmp_path / "wide.png")
    assert (Transform(32, Crop(), depth=12)(tmp_path / "wide.png") == 128).all()
    assert (TRANSFORM(tmp_path / "wide.png") == 8).all()


def test_broken_files_are_unreadable(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for picture in (tmp_path / "broken.png", str(tmp_path / "broken.png"), b"\xff\xd8\xff"):
        with pytest.raises(Unreadable):
            TRANSFORM(picture)


def test_batches_come_some_at_a_time_and_name_what_cannot_be_read(tmp_path):
    black = np.zeros((32, 32, 3), np.uint8)
    batches = in_batches([black, black, black, tmp_path / "none.png"], TRANSFORM, 3)
    assert next(batches).shape == (3, 32, 32, 3)
    with pytest.raises(ValueError, match=r"X\[3\] \(.*none.png\) must be a picture that can be read but is not"):
        next(batches)


def test_what_is_a_sequence_of_pictures():
    assert listed(np.zeros((2, 8, 8), np.uint8))[1].shape == (8, 8)
    assert listed(("a.png", "b.png")) == ["a.png", "b.png"]
    for one in ("a.png", b"bytes", 3, Image.new("L", (3, 3)), np.zeros((4, 4))):
        with pytest.raises(ValueError, match="X must be a sequence of"):
            listed(one)
