import matplotlib
import pytest
from PIL import Image

from sweeps.report.charts.style import in_style, label, new_figure, points, save, shades
from sweeps.statistics.estimates import Estimate


def test_a_difference_in_points_has_no_interval_where_there_is_none():
    gain = Estimate(0.0213, 0.009, 200)
    assert points(gain.mean, gain.ci95) == "+2.1 ± 0.9"
    assert points(-0.5, float("inf")) == "-50.0"


def test_the_users_own_style_is_neither_used_nor_changed(tmp_path):
    @in_style
    def drawn():
        figure = new_figure(2, 1)
        figure.add_subplot().set_title("t")
        return save(figure, tmp_path / "new folder" / "one.png").read_bytes()

    before = drawn()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 20}):
        assert drawn() == before
        assert matplotlib.rcParams["font.size"] == 30
    with Image.open(tmp_path / "new folder" / "one.png") as image:
        assert (image.format, image.size) == ("PNG", (300, 150))
        assert set(image.info) == {"dpi"}


@pytest.mark.parametrize(
    ("name", "said"), [("h", "h"), ("$x_1$", "$x_1$"), ("a\nb", "a b"), ("猫", "U+732B"), (0.5, "0.5")]
)
def test_a_label_is_one_line_of_letters_that_there_are(name, said):
    assert label(name, 3.0, 9.0) == said


def test_a_long_label_loses_its_middle():
    assert label("long " * 40 + "end", 1.0, 9.0).endswith("end")
    assert "…" in label("long " * 40 + "end", 1.0, 9.0)


def lightness(colour):
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


@pytest.mark.parametrize("scores", [[30.0, 60.0, 65.0, 66.0, 70.0], [50.0], [50.0, 50.0]])
def test_the_darker_the_better_also_in_grey(scores):
    norm, colours, cut = shades(scores)
    greys = [lightness(colours(norm(score))) for score in scores]
    assert greys == sorted(greys, reverse=True)
    assert all(0 <= norm(score) <= 1 for score in scores if score >= norm.vmin)
    assert cut == (norm.vmin > min(scores))


def test_an_outlier_does_not_make_all_others_alike():
    norm, _, cut = shades([10.0, 64.0, 66.0, 68.0, 70.0])  # best 70, median 66: pale from 58 on
    assert (norm.vmin, norm.vmax, cut) == (58, 70, True)
