import numpy as np
import pytest

from fpt.glyphs.characters import characters, faces_of, glyph
from fpt.glyphs.scenes import DEFAULT, LARGE, SIDE, SPLIT_CODES, Style, compose, scene

SAMPLE = [("novel", 3, 0), ("novel", 3, 1), ("validation", 3, 0), ("base", 3, 0), ("novel", 4, 0), ("base", 700, 12)]


def random(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_a_scene_is_a_pure_function_of_its_arguments():
    first = [scene(*arguments) for arguments in SAMPLE]
    again = [scene(*arguments) for arguments in reversed(SAMPLE)][::-1]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.owner, other.owner)
        assert (one.glyphs, one.key) == (other.glyphs, other.key)


def test_every_split_class_and_index_has_its_own_scene():
    images = {
        scene(split, way, index).image.tobytes() for split in SPLIT_CODES for way in range(5) for index in range(5)
    }
    assert len(images) == 3 * 5 * 5


@pytest.mark.parametrize("split", SPLIT_CODES)
@pytest.mark.parametrize("distractors", [0, 1, 2, 6])
def test_one_key_glyph_among_distractors_of_base_classes(split, distractors):
    base = set(characters("base"))
    for way in (0, 50, 99):
        for index in range(5):
            drawn = scene(split, way, index, distractors)
            assert drawn.image.shape == (SIDE, SIDE, 3)
            assert drawn.image.dtype == np.uint8
            assert len(drawn.glyphs) == len(set(drawn.glyphs)) == distractors + 1
            assert drawn.glyphs[drawn.key] == characters(split)[way]
            others = set(drawn.glyphs) - {drawn.glyphs[drawn.key]}
            assert others <= base
            assert set(np.unique(drawn.owner)) <= set(range(-1, distractors + 1))
            np.testing.assert_array_equal(drawn.mask, drawn.owner == drawn.key)


def test_distractors_come_mostly_from_the_shared_context():
    context = set(characters("context"))
    scenes = [scene("novel", way, index) for way in range(0, 200, 4) for index in range(4)]
    distractors = [one for drawn in scenes for i, one in enumerate(drawn.glyphs) if i != drawn.key]
    assert 0.85 < np.mean([one in context for one in distractors]) < 0.95  # 0.9, less what is drawn twice


def test_the_key_glyph_is_drawn_at_any_depth():
    keys = [scene("novel", way, 0).key for way in range(60)]
    assert set(keys) == {0, 1, 2}


@pytest.mark.parametrize("style", [DEFAULT, LARGE], ids=["default", "large"])
def test_a_glyph_changes_the_image_where_its_mask_lies(style):
    """Scenes of the same generator share all that is drawn before the last glyph."""
    for seed in range(20):
        without, with_it = (compose(drawn, 0, random(seed), style) for drawn in (["&", "2"], ["&", "2", "#"]))
        change = np.abs(with_it.image.astype(int) - without.image).max(-1)
        own = with_it.owner == 2
        assert own.any()
        assert (change[own] > 0).all()
        rows, columns = (np.flatnonzero(own.any(axis)) for axis in (1, 0))
        outside = np.ones_like(own)
        outside[max(rows[0] - 3, 0) : rows[-1] + 4, max(columns[0] - 3, 0) : columns[-1] + 4] = False
        assert not change[outside].any()
        np.testing.assert_array_equal(with_it.owner[~own], without.owner[~own])
        assert max(np.ptp(rows), np.ptp(columns)) < max(style.sizes)


def inked(mask):
    """The rows and columns that show something."""
    return mask[np.ix_(mask.any(1), mask.any(0))]


def test_a_mask_has_the_shape_of_its_glyph():
    shapes = {inked(glyph("L", face, 20, 0) > 127).tobytes() for face in faces_of("L")}
    for seed in range(10):
        drawn = compose(["L"], 0, random(seed), Style(sizes=(20,), turns=(0,)))
        assert inked(drawn.mask).tobytes() in shapes


def test_glyphs_stand_out_from_the_background():
    for seed in range(20):
        drawn, bare = compose(["#"], 0, random(seed)), compose([], 0, random(seed))
        ink = drawn.image[drawn.mask].astype(float).mean(0)
        ground = bare.image.reshape(-1, 3).astype(float).mean(0)
        assert np.linalg.norm(ink - ground) > DEFAULT.least_contrast / 2


def test_a_scene_shows_its_key_glyph():
    """Of every class, in any of a few scenes."""
    hidden = [
        (split, way, index)
        for split in ("validation", "novel")
        for way in range(len(characters(split)))
        for index in range(3)
        if not scene(split, way, index).mask.any()
    ]
    assert hidden == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("test", 0, 0), "split must be one of base, validation, novel but got 'test'"),
        (("context", 0, 0), "split must be one of base, validation, novel but got 'context'"),
        (("novel", -1, 0), "class_index must be from 0 to [0-9]+ in split novel but got -1"),
        (("novel", 10**6, 0), "class_index must be from 0 to [0-9]+ in split novel but got 1000000"),
        (("novel", 0, 0, -1), "distractors must be at least 0 but got -1"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        scene(*arguments)
