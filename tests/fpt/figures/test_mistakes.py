from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from fpt.figures.mistakes import Mistaken, Support, draw_mistakes

GRID = (2, 3)
COLOURS = {"prompts or wrong": (0xD5, 0x5E, 0x00), "key": (0x00, 0x72, 0xB2)}


def support(random, count, patches=6, with_prompts=True, with_key=True):
    prompts, key = (random.random((count, patches)) < 0.4 for _ in range(2))
    images = random.integers(0, 256, (count, 8, 6, 3), np.uint8)
    return Support(images, prompts if with_prompts else None, key if with_key else None)


def mistaken(seed=0, shot=1, patches=6, with_prompts=True, with_key=True, true="cat", held="dog"):
    random = np.random.default_rng(seed)
    before, after = (random.dirichlet(np.ones(patches)) if patches else np.zeros(0) for _ in range(2))
    return Mistaken(
        where=f"episode {seed}",
        true=true,
        held=held,
        probability=0.98765,
        query=random.integers(0, 256, (8, 6, 3), np.uint8),
        before=before,
        after=after,
        key=np.arange(patches) < 2 if with_key else None,
        of_true=support(random, shot, patches, with_prompts, with_key),
        of_held=support(random, shot, patches, with_prompts, with_key),
    )


def draw(path, *mistakes, grid=GRID):
    return draw_mistakes(mistakes, grid, ("a title", "a setting"), path, "[CLS] attention")


def said(texts):
    return [text for text, _ in texts]


def test_a_mistake_is_told_in_words_and_its_classes_by_signs(tmp_path, texts):
    one = mistaken(17)
    draw(tmp_path / "it.png", one)
    told = said(texts)
    assert "cat, taken for dog with a probability of 98.8 %: episode 17" in told
    assert ("✓ cat", "#009e73") in texts
    assert ("✗ dog", "#d55e00") in texts
    before, after = (f"{100 * (own[0] + own[1]):.0f} % on key" for own in (one.before, one.after))
    assert [text for text in told if text.endswith("% on key")] == [before, after]
    assert {"query", "attention before", "attention after", "prompt patches", "key entity"} <= set(told)


def test_each_mistake_has_a_band_of_its_own(tmp_path, texts):
    one, four = draw(tmp_path / "1.png", mistaken()), draw(tmp_path / "4.png", *map(mistaken, range(4)))
    assert said(texts).count("query") == 5
    with Image.open(one) as first, Image.open(four) as other:
        assert first.width == other.width == 1800
        assert other.height > 3 * first.height - 300


@pytest.mark.parametrize("shot", [1, 2])
def test_all_images_are_in_the_picture(tmp_path, monkeypatch, shot):
    from fpt.figures.page import Page

    shown, image = [], Page.image

    def noted(self, x, side, pixels):
        shown.append((x, side, pixels))
        return image(self, x, side, pixels)

    monkeypatch.setattr(Page, "image", noted)
    one = mistaken(shot=shot)
    draw(tmp_path / "it.png", one)
    assert len(shown) == 3 + 2 * shot
    expected = [one.query, *one.of_true.images, *one.of_held.images]
    for (_, _, pixels), own in zip([shown[0], *shown[3:]], expected, strict=True):
        assert (pixels == own).all()
    ends = [(x, x + side) for x, side, _ in shown]
    assert all(right < left for (_, right), (left, _) in pairwise(ends))
    assert ends[-1][1] <= 7.2


def test_what_there_is_not_is_neither_drawn_nor_explained(tmp_path, texts):
    draw(tmp_path / "it.png", mistaken(with_prompts=False, with_key=False))
    told = said(texts)
    assert not {"prompt patches", "key entity"} & set(told)
    assert sum("95 % in" in text for text in told) == 2


def test_a_backbone_without_maps_has_images_alone(tmp_path, texts):
    draw(tmp_path / "it.png", mistaken(patches=0, with_prompts=False, with_key=False), grid=(0, 0))
    assert not any("attention" in text for text in said(texts))


def test_names_are_no_formulas_and_the_probability_is_told_however_long_they_are(tmp_path, texts):
    draw(tmp_path / "it.png", mistaken(true="$x^2$ and $", held="a very long name " * 20))
    told = said(texts)
    assert any(text.startswith("$x^2$ and $, taken for a very") and "98.8 %" in text for text in told)


def test_attention_that_is_not_finite_is_said(tmp_path, texts):
    draw(tmp_path / "it.png", replace(mistaken(), after=np.full(6, np.nan)))
    assert said(texts).count("not finite") == 1


def test_the_same_mistakes_give_the_same_bytes(tmp_path):
    assert draw(tmp_path / "a.png", mistaken()).read_bytes() == draw(tmp_path / "b.png", mistaken()).read_bytes()


@pytest.mark.parametrize("with_key", [True, False])
def test_outlines_have_their_colours(tmp_path, with_key):
    pixels = np.asarray(Image.open(draw(tmp_path / "it.png", mistaken(with_key=with_key))).convert("RGB"))
    drawn = {name for name, colour in COLOURS.items() if (pixels == colour).all(-1).sum() > 20}
    assert drawn == {"prompts or wrong", *(["key"] if with_key else [])}
