import numpy as np
import pytest
from PIL import Image

from fpt.pictures.reading import Unreadable
from fpt.pictures.resizing import Border, Crop, Squash
from fpt.pictures.squares import first_kept, in_colour, square


def gradient(width, height):
    return Image.fromarray(np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8))


@pytest.mark.parametrize("how", [Crop(), Squash(), Border()])
@pytest.mark.parametrize("shape", [(40, 30), (9, 50), (32, 32)])
def test_a_square_is_cut_from_the_middle_of_what_was_resized(how, shape):
    image = gradient(*shape)
    found = np.asarray(square(image, 32, how))
    assert found.shape == (32, 32, 3)
    wide, high = how.resized(*shape, 32)
    whole = np.asarray(image.resize((wide, high), Image.Resampling[how.interpolation.upper()]))
    left, top = max(first_kept(wide, 32), 0), max(first_kept(high, 32), 0)
    inside = found[max(-first_kept(high, 32), 0) :, max(-first_kept(wide, 32), 0) :]
    expected = whole[top : top + 32, left : left + 32]
    np.testing.assert_array_equal(inside[: len(expected), : expected.shape[1]], expected)


def test_an_image_of_the_size_is_left_alone():
    image = gradient(32, 32)
    np.testing.assert_array_equal(np.asarray(square(image, 32, Crop(1.0))), np.asarray(image))


def test_what_is_transparent_is_white_and_32_bits_are_refused():
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert in_colour(clear).getpixel((0, 0)) == (255, 255, 255)
    assert in_colour(Image.new("L", (2, 2), 7)).getpixel((1, 1)) == (7, 7, 7)
    with pytest.raises(Unreadable, match="32-bit pixels"):
        in_colour(Image.new("F", (2, 2)))
