"""The embedded source, of which a few classes are drawn here, against the scenes themselves."""

import os

import numpy as np
import pytest

from fpt.glyphs.characters import characters
from fpt.glyphs.scenes import scene
from pipeline.data.sources import glyphs
from pipeline.data.sources.glyphs import glyph_scenes

CLASSES, IMAGES = {"validation": 2, "novel": 3}, 2


@pytest.fixture
def _few(monkeypatch):
    """The first classes of each split, which one process draws."""
    monkeypatch.setattr(glyphs, "characters", lambda split: characters(split)[: CLASSES[split]])
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.mark.usefixtures("_few")
def test_samples_are_the_scenes_of_every_class_in_their_order():
    found = list(glyph_scenes(IMAGES, distractors=1))
    places = [(split, i, image) for split, count in CLASSES.items() for i in range(count) for image in range(IMAGES)]
    assert [(one.split, one.class_name) for one in found] == [(split, characters(split)[i]) for split, i, _ in places]
    for one, place in zip(found, places, strict=True):
        drawn = scene(*place, distractors=1)
        np.testing.assert_array_equal(one.image, drawn.image)
        np.testing.assert_array_equal(one.mask, drawn.mask)


def test_a_class_has_as_many_scenes_as_are_asked_for_and_the_first_stay_the_same():
    few, more = (glyphs._draw_class(("novel", 7), images, 2) for images in (1, 3))
    assert (len(few), len(more)) == (1, 3)
    np.testing.assert_array_equal(few[0].image, more[0].image)
    assert not np.array_equal(more[0].image, more[1].image)
    assert {(one.split, one.class_name) for one in more} == {("novel", characters("novel")[7])}


def test_what_cannot_be_drawn_is_told_as_the_scene_tells_it():
    with pytest.raises(ValueError, match=r"^distractors must be at least 0 but got -1$"):
        glyphs._draw_class(("novel", 0), 1, -1)
