import numpy as np
import pytest
from PIL import Image

from fpt.figures.episode import ATTENTION, Shown, _columns, draw_episode

GRID = (2, 3)
COLOURS = {"prompts": (0xD5, 0x5E, 0x00), "key": (0x00, 0x72, 0xB2), "right": (0x00, 0x9E, 0x73)}


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


def draw(path, *parts, grid=GRID, attention="map"):
    return draw_episode(parts, grid, ("a title", "a setting"), path, attention, "[CLS] attention")


def colours_of(path):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return {name for name, colour in COLOURS.items() if (pixels == colour).all(-1).sum() > 20}


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
