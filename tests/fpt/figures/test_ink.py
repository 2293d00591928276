import numpy as np
import pytest

from fpt.figures.ink import attended, border, inked, lit

GRID = (2, 3)


def border_of(*chosen):
    return set(border(np.isin(np.arange(6), chosen), GRID))


def test_a_patch_is_outlined_on_all_sides():
    assert border_of(5) == {((2, 1), (3, 1)), ((2, 2), (3, 2)), ((2, 1), (2, 2)), ((3, 1), (3, 2))}


def test_there_is_no_line_between_two_chosen_patches():
    assert len(border_of(0, 1)) == 6
    assert len(border_of(0, 4)) == 8
    assert len(border_of(*range(6))) == 10
    assert border_of() == set()


def test_light_is_brightness():
    image = np.full((4, 6, 3), 200, np.uint8)
    shown = lit(image, np.array([1.0, 0.0, 0.5, 0.0, 0.0, 1.0]), GRID)
    assert shown[0, 0].tolist() == [200] * 3
    assert shown[1, 3].tolist() == [40] * 3  # 0.2 x 200
    assert shown[0, 5].tolist() == [120] * 3  # (0.2 + 0.4) x 200
    assert shown[3, 4].tolist() == [200] * 3


def test_ink_darkens_with_attention():
    weight = np.linspace(0, 1, 6)
    shown = inked(np.full((4, 6, 3), 77, np.uint8), weight, GRID).astype(int).sum(-1)
    by_patch = [shown[row, column] for row in (0, 2) for column in (0, 2, 4)]
    assert by_patch == sorted(by_patch, reverse=True)
    assert len(set(by_patch)) == 6


def test_pixels_that_patches_do_not_divide_belong_to_the_patch_they_are_in():
    shown = lit(np.full((5, 7, 3), 100, np.uint8), np.arange(6) / 10, GRID)
    assert shown.shape == (5, 7, 3)
    assert len(np.unique(shown)) == 6


@pytest.fixture
def one():
    """An image, attention to its patches before and after, and which show the key."""
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (8, 6, 3), np.uint8)
    return image, random.dirichlet(np.ones(6)), random.dirichlet(np.ones(6)), np.arange(6) % 3 == 0


def test_what_is_said_below_an_image_is_what_is_lit(one):
    image, before, after, key = one
    _, said = attended(image, after, before, key, "map", GRID)
    assert said == f"{100 * (after[0] + after[3]):.0f} % on key"
    _, unknown = attended(image, after, before, None, "map", GRID)
    shown, said = attended(image, after, before, key, "cover", GRID)
    descending = np.sort(after)[::-1]
    kept = next(n for n in range(1, 7) if descending[:n].sum() >= 0.95)
    assert (said, unknown) == (f"{kept} of 6", f"95 % in {kept}")
    bright = (shown.reshape(2, 4, 3, 2, 3) == image.reshape(2, 4, 3, 2, 3)).all((1, 3, 4))
    assert set(np.flatnonzero(bright)) == set(np.argsort(-after)[:kept])


def test_both_maps_of_an_image_have_one_scale(one):
    image, before, after, key = one
    most = max(before.max(), after.max())
    for own, other in ((before, after), (after, before)):
        shown, _ = attended(image, own, other, key, "map", GRID)
        assert (shown == inked(image, own / most, GRID)).all()


def test_attention_that_is_not_finite_is_said_and_has_no_light(one):
    image, before, _, key = one
    shown, said = attended(image, np.full(6, np.nan), before, key, "map", GRID)
    assert said == "not finite"
    assert (shown == lit(image, np.zeros(6), GRID)).all()
    shown, _ = attended(image, before, np.full(6, np.nan), key, "map", GRID)
    assert (shown == inked(image, before / before.max(), GRID)).all()
