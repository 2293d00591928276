import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fpt.figures.episode import ATTENTION, Shown, _attended, _border, _columns, _inked, _lit, draw_episode

GRID = (2, 3)
COLOURS = {"prompts": (0xD5, 0x5E, 0x00), "key": (0x00, 0x72, 0xB2), "right": (0x00, 0x9E, 0x73)}


def border_of(*chosen):
    return set(_border(np.isin(np.arange(6), chosen), GRID))


def part(count=4, grid=GRID, of_queries=False, with_key=True, names=None, side=(8, 6)):
    random = np.random.default_rng(count)
    patches = grid[0] * grid[1]
    before, after = (random.dirichlet(np.ones(patches), count) if patches else np.zeros((count, 0)) for _ in range(2))
    prompts, key = (random.random((count, patches)) < 0.4 for _ in range(2))
    names = names or [f"class {i}" for i in range(count)]
    return Shown(
        "Images of some kind",
        random.integers(0, 256, (count, *side, 3), np.uint8),
        names,
        before,
        after,
        key if with_key else None,
        None if of_queries else prompts,
        [names[0]] * count if of_queries else None,
    )


@pytest.fixture
def texts(monkeypatch):
    """What is written into pictures, with its colours."""
    written = []
    text, save = Figure.text, Figure.savefig

    def noted(self, *place, **style):
        written.append((place[2], style.get("color")))
        return text(self, *place, **style)

    def saved(self, *arguments, **style):
        written.extend((axis.get_xlabel(), None) for axis in self.axes if axis.get_xlabel())
        return save(self, *arguments, **style)

    monkeypatch.setattr(Figure, "text", noted)
    monkeypatch.setattr(Figure, "savefig", saved)
    return written


def draw(path, *parts, grid=GRID, attention="map"):
    return draw_episode(parts, grid, ("a title", "a setting"), path, attention, "[CLS] attention")


def colours_of(path):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return {name for name, colour in COLOURS.items() if (pixels == colour).all(-1).sum() > 20}


def test_a_patch_is_outlined_on_all_sides():
    assert border_of(5) == {((2, 1), (3, 1)), ((2, 2), (3, 2)), ((2, 1), (2, 2)), ((3, 1), (3, 2))}


def test_there_is_no_line_between_two_chosen_patches():
    assert len(border_of(0, 1)) == 6
    assert len(border_of(0, 4)) == 8
    assert len(border_of(*range(6))) == 10
    assert border_of() == set()


def test_light_is_brightness():
    image = np.full((4, 6, 3), 200, np.uint8)
    lit = _lit(image, np.array([1.0, 0.0, 0.5, 0.0, 0.0, 1.0]), GRID)
    assert lit[0, 0].tolist() == [200] * 3
    assert lit[1, 3].tolist() == [40] * 3  # 0.2 x 200
    assert lit[0, 5].tolist() == [120] * 3  # (0.2 + 0.4) x 200
    assert lit[3, 4].tolist() == [200] * 3


def test_ink_darkens_with_attention():
    weight = np.linspace(0, 1, 6)
    inked = _inked(np.full((4, 6, 3), 77, np.uint8), weight, GRID).astype(int).sum(-1)
    by_patch = [inked[row, column] for row in (0, 2) for column in (0, 2, 4)]
    assert by_patch == sorted(by_patch, reverse=True)
    assert len(set(by_patch)) == 6


def test_pixels_that_patches_do_not_divide_belong_to_the_patch_they_are_in():
    lit = _lit(np.full((5, 7, 3), 100, np.uint8), np.arange(6) / 10, GRID)
    assert lit.shape == (5, 7, 3)
    assert len(np.unique(lit)) == 6


def test_what_is_said_below_an_image_is_what_is_lit():
    one = part(1)
    _, said = _attended(one, one.after, 0, "map", GRID)
    assert said == f"{100 * sum(one.after[0, i] for i in range(6) if one.key[0, i]):.0f} % on key"
    _, unknown = _attended(part(1, with_key=False), one.after, 0, "map", GRID)
    image, said = _attended(one, one.after, 0, "cover", GRID)
    descending = np.sort(one.after[0])[::-1]
    kept = next(n for n in range(1, 7) if descending[:n].sum() >= 0.95)
    assert (said, unknown) == (f"{kept} of 6", f"95 % in {kept}")
    lit = (image.reshape(2, 4, 3, 2, 3) == one.images[0].reshape(2, 4, 3, 2, 3)).all((1, 3, 4))
    assert set(np.flatnonzero(lit)) == set(np.argsort(-one.after[0])[:kept])


def test_both_maps_of_an_image_have_one_scale():
    one = part(1)
    image, _ = _attended(one, one.before, 0, "map", GRID)
    most = max(one.before.max(), one.after.max())
    assert (image == _inked(one.images[0], one.before[0] / most, GRID)).all()


@pytest.mark.parametrize("brightness", [0, 255])
def test_what_is_lit_is_told_from_what_is_not_whatever_the_picture(tmp_path, brightness):
    """Of an even picture, a cover of all but one patch is seen by its border, black and white."""
    one = part(1, with_key=False)
    one.images[:] = brightness
    one.after[0], one.before[0] = [0.5, 0.5, 0, 0, 0, 0], np.full(6, 1 / 6)
    plain = np.asarray(Image.open(draw(tmp_path / "map.png", one)).convert("L")).astype(int)
    cover = np.asarray(Image.open(draw(tmp_path / "cover.png", one, attention="cover")).convert("L")).astype(int)
    assert plain.shape == cover.shape
    after = cover[-int(0.45 * len(cover)) :, : cover.shape[1] // 3]  # the last row of pictures
    inside = after[:, 200:]
    assert min((inside < 60).sum(), (inside > 200).sum()) > 1000


def test_attention_that_is_not_finite_is_said(tmp_path, texts):
    one = part(2, with_key=True)
    one.after[0] = np.nan
    draw(tmp_path / "it.png", one, attention="both")
    assert [text for text, _ in texts].count("not finite") == 2


def test_bands_are_as_long_as_each_other():
    counts = ((1, 1), (2, 7), (8, 8), (9, 3), (20, 2), (100, 100))
    assert [_columns([part(count) for count in both]) for both in counts] == [5, 7, 8, 5, 7, 8]


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize(
    ("support", "query", "grid"),
    [
        (2, 2, (8, 8)),
        pytest.param(8, 8, (14, 14), marks=pytest.mark.slow),
        pytest.param(1, 20, (2, 3), marks=pytest.mark.slow),
    ],
)
def test_an_episode_is_drawn(tmp_path, support, query, grid, with_key, attention):
    parts = part(support, grid, False, with_key), part(query, grid, True, with_key)
    path = draw(tmp_path / "new folder" / "episode.png", *parts, grid=grid, attention=attention)
    assert colours_of(path) == {"prompts", "right", *(["key"] if with_key else [])}
    with Image.open(path) as picture:
        assert picture.width == 1800
        rows = (support + 7) // 8 + (query + 7) // 8
        assert picture.height > 200 * rows * (5 if attention == "both" else 3)


def test_the_same_picture_has_the_same_bytes_whatever_the_user_prefers(tmp_path):
    import matplotlib

    first = draw(tmp_path / "a.png", part(), part(of_queries=True)).read_bytes()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "image.cmap": "gray", "savefig.dpi": 30}):
        assert draw(tmp_path / "b.png", part(), part(of_queries=True)).read_bytes() == first


def test_predictions_are_marked_by_sign_and_colour(tmp_path, texts):
    draw(tmp_path / "it.png", part(3, of_queries=True, names=["a", "b", "猫"]))
    assert ("✓", "#009e73") in texts
    assert texts.count(("✗ a", "#d55e00")) == 2
    assert ("U+732B", None) in texts


def test_names_are_no_formulas_and_stay_in_their_columns(tmp_path, texts):
    names = ["$", "$x^2$ and $", "a_very_long_name_that_nobody_can_read_in_a_column_of_eight", "\\frac{"]
    draw(tmp_path / "it.png", part(8, of_queries=True, names=names * 2))
    written = [text for text, _ in texts]
    assert "$x^2$ and $" in written
    assert any(text.startswith("a_ver") and "…" in text and text.endswith("ght") for text in written)


def test_a_backbone_without_maps_has_images_and_predictions(tmp_path, texts):
    nothing = part(3, (0, 0), True, False)
    path = draw(tmp_path / "it.png", nothing, grid=(0, 0))
    assert not any("attention" in text for text, _ in texts)
    with Image.open(path) as picture:
        assert picture.height < 800


def test_another_kind_of_attention_is_refused(tmp_path):
    with pytest.raises(ValueError, match="attention must be one of map, cover, both but got 'rollout'"):
        draw(tmp_path / "it.png", part(), attention="rollout")
