import numpy as np
import pytest

from fpt.glyphs.characters import CONTEXT, FACES, characters, classes, faces_of, glyph, master_glyph

SPLITS = ("base", "validation", "novel")


def test_splits_are_disjoint():
    everything = [character for split in SPLITS for character in characters(split)]
    assert len(everything) == len(set(everything))


def test_every_split_has_classes_enough():
    counts = {split: len(characters(split)) for split in SPLITS}
    assert counts["base"] >= 800
    assert min(counts.values()) >= 100


def test_every_class_is_a_character_with_eight_faces_or_more():
    for members in classes().values():
        for character, faces in members.items():
            assert len(character) == 1
            assert len(faces) == len(set(faces)) >= 8
            assert set(faces) <= set(range(len(FACES)))


def test_the_context_is_of_base_classes():
    assert len(characters("context")) == CONTEXT
    assert set(characters("context")) <= set(characters("base"))
    assert all(faces_of(character) == tuple(classes()["base"][character]) for character in characters("context"))


@pytest.mark.parametrize("split", SPLITS)
def test_classes_can_be_drawn_in_all_their_faces(split):
    """A sample; a face without the character would draw the same empty box for all of them."""
    looks = set()
    for character in characters(split)[::40]:
        for face in faces_of(character):
            ink = np.asarray(master_glyph(character, face))
            assert ink.max() == 255
        looks.add(ink.tobytes())
    assert len(looks) == len(characters(split)[::40])


@pytest.mark.parametrize("size", [12, 21, 31])
@pytest.mark.parametrize("turn", [-30, 0, 15])
@pytest.mark.parametrize("character", ["&", "2", "#"])
def test_a_glyph_is_as_large_as_asked_for(character, size, turn):
    coverage = glyph(character, 0, size, turn)
    assert coverage.dtype == np.uint8
    assert max(coverage.shape) == size
    assert coverage.max() > 127


def test_a_glyph_keeps_its_aspect_and_its_shape():
    """Against the master drawing, compared at the size of the glyph by averaging."""
    master = np.asarray(master_glyph("&", 0), float)
    small = glyph("&", 0, 20, 0)
    assert small.shape[1] / small.shape[0] == pytest.approx(master.shape[1] / master.shape[0], abs=0.05)
    rows, columns = (np.arange(side) * count // side for side, count in zip(master.shape, small.shape, strict=True))
    sums, counts = np.zeros(small.shape), np.zeros(small.shape)
    np.add.at(sums, (rows[:, None], columns[None]), master)
    np.add.at(counts, (rows[:, None], columns[None]), 1)
    assert np.corrcoef((sums / counts).ravel(), small.ravel())[0, 1] > 0.98


def test_a_glyph_is_turned_anticlockwise():
    """A slash leans to the right; turned far enough it lies, then leans to the left."""
    upright, lying = (glyph("/", 0, 24, turn).shape for turn in (0, -60))
    assert upright[0] > upright[1]
    assert lying[0] < lying[1]


def test_unknown_splits_and_characters_are_named():
    with pytest.raises(ValueError, match="split must be one of base, validation, novel, context but got 'test'"):
        characters("test")
    with pytest.raises(ValueError, match="character must be in the class list but got '\u4e2d'"):
        faces_of("\u4e2d")
