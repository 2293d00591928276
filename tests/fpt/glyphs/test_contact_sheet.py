import numpy as np
from PIL import Image

from fpt.glyphs.characters import characters
from fpt.glyphs.contact_sheet import contact_sheet
from fpt.glyphs.scenes import scene


def test_a_sheet_has_a_scene_in_each_place(tmp_path):
    """2 x 3 inches at 120 dots; one class is the one in the middle of its split, whose scene is found on the sheet."""
    path = contact_sheet(tmp_path / "new" / "sheet.png", classes=1, scenes=2)
    sheet = np.asarray(Image.open(path).convert("RGB")).astype(float)
    assert sheet.shape == (120, 240, 3)
    middle = (len(characters("novel")) - 1) // 2
    for column in range(2):
        half = sheet[:, 120 * column : 120 * (column + 1)]
        rows, columns = np.nonzero((half != 255).any(-1))
        inside = half[rows.min() + 4 : rows.max() - 4, columns.min() + 12 : columns.max() - 4]
        expected = scene("novel", middle, column).image.reshape(-1, 3).mean(0)
        np.testing.assert_allclose(inside.reshape(-1, 3).mean(0), expected, atol=25)
