import numpy as np
import pytest
from PIL import Image

from fpt.figures.page import DOTS, LINE, SPACE, WIDTH, page_at

GRID, COLOUR = (2, 3), (200, 40, 90)


def written(path):
    with page_at(path, 2.0, GRID) as page:
        page.write(7.0, "a title")
        page.image(1.0, 0.5, np.full((4, 6, 3), COLOUR, np.uint8))
        page.down += 0.5
        page.legend(1.0, True, False, [("a mark", "#009e73")], "a note")
    return path


def test_a_page_has_its_size_and_an_image_where_it_was_put(tmp_path):
    path = written(tmp_path / "new folder" / "page.png")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape == (2 * DOTS, WIDTH * DOTS, 3)
    image = np.argwhere((pixels == COLOUR).all(-1))
    top = SPACE + LINE
    assert image.min(0) == pytest.approx([top * DOTS, DOTS], abs=3)
    assert image.max(0) == pytest.approx([(top + 0.5) * DOTS, 1.5 * DOTS], abs=3)


def test_a_legend_has_the_lines_that_are_there(tmp_path, texts):
    written(tmp_path / "page.png")
    assert [text for text, _ in texts] == ["a title", "prompt patches", "a mark", "a note"]


def test_a_line_is_no_wider_than_the_page(tmp_path, texts):
    with page_at(tmp_path / "page.png", 1.0, GRID) as page:
        page.write(7.0, "beginning" + "m" * 2000 + "end")
    ((said, _),) = texts
    assert len(said) < 200
    assert (said[:9], said[-3:]) == ("beginning", "end")
    assert "…" in said


def test_an_image_has_patches_as_coordinates_and_outlines_in_them(tmp_path):
    with page_at(tmp_path / "page.png", 1.0, GRID) as page:
        axis = page.image(0.1, 0.5, np.zeros((4, 6, 3), np.uint8))
        page.outlines(axis, np.arange(6) == 0, np.arange(6) > 3)
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 3), (2, 0))
    key, prompts = (lines.get_segments() for lines in axis.collections[1::2])
    assert (len(key), len(prompts)) == (4, 6)


def test_the_same_page_has_the_same_bytes_whatever_the_user_prefers(tmp_path):
    import matplotlib

    first = written(tmp_path / "a.png").read_bytes()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 30}):
        assert written(tmp_path / "b.png").read_bytes() == first


def test_a_page_that_fails_is_not_written(tmp_path):
    with pytest.raises(KeyboardInterrupt), page_at(tmp_path / "page.png", 1.0, GRID):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
