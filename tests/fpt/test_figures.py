import numpy as np
import pytest
from PIL import Image

from fpt.figures import _lit, _outline, draw_episode

GRID = (2, 3)


class Axis:
    """Keeps the lines that are drawn on it."""

    def __init__(self):
        self.lines = set()

    def plot(self, x, y, color, **_):
        self.lines.add((tuple(x), tuple(y)))
        self.colour = color


def outline_of(*chosen):
    """Lines around patches of a 2 x 3 grid on an image of 8 x 6 pixels: patches 4 high and 2 wide."""
    axis = Axis()
    _outline(axis, np.isin(np.arange(6), chosen), (8, 6), GRID, "black", "-")
    return axis.lines


def test_a_patch_is_outlined_on_all_sides():
    left, right, top, bottom = 3.5, 5.5, 3.5, 7.5
    assert outline_of(5) == {
        ((left, right), (top, top)),
        ((left, right), (bottom, bottom)),
        ((left, left), (top, bottom)),
        ((right, right), (top, bottom)),
    }


def test_there_is_no_line_between_two_chosen_patches():
    assert len(outline_of(0, 1)) == 6
    assert len(outline_of(0, 4)) == 8
    assert len(outline_of(*range(6))) == 10
    assert outline_of() == set()


def test_light_is_brightness():
    image = np.full((4, 6, 3), 200, np.uint8)
    light = np.array([1.0, 0.0, 0.5, 0.0, 0.0, 1.0])
    lit = _lit(image, light, GRID)
    assert lit[0, 0].tolist() == [200] * 3
    assert lit[1, 3].tolist() == [24] * 3  # 0.12 x 200
    assert lit[0, 5].tolist() == [112] * 3  # (0.12 + 0.44) x 200
    assert lit[3, 4].tolist() == [200] * 3


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("count", [1, 4])
def test_an_episode_is_drawn(tmp_path, count, with_key):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 8, 6, 3), np.uint8)
    before, after = (random.dirichlet(np.ones(6), count) for _ in range(2))
    prompts, key = (random.random((count, 6)) < 0.4 for _ in range(2))
    names = [f"class {i}" for i in range(count)]
    path = tmp_path / "new folder" / "episode.png"
    drawn = draw_episode(images, names, prompts, key if with_key else None, before, after, GRID, "title", path)
    assert drawn == path
    pixels = np.asarray(Image.open(path).convert("RGB"))
    vermilion, blue = ((pixels == colour).all(-1).any() for colour in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)))
    assert vermilion
    assert blue == with_key
