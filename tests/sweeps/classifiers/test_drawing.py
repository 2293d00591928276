import numpy as np

from sweeps.classifiers.drawing import DARKEST, side_by_side


def test_a_picture_is_lit_where_attention_is():
    white, attention = np.full((64, 64, 3), 200, np.uint8), np.zeros((8, 8), np.float32)
    attention[0, 0] = 1
    found = np.asarray(side_by_side(white, attention))
    assert found.shape == (224, 448, 3)
    assert (found[:, :224] == 200).all()
    assert found[2, 226, 0] == 200
    assert (found[112:, 224:] == int(200 * DARKEST)).all()
