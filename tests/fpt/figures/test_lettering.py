import pytest

from fpt.figures import lettering
from fpt.figures.lettering import printable, shortened, width_of


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("h", "h"),
        ("$", "$"),
        ("0", "0"),
        ("é", "é  U+00E9"),
        ("猫", "U+732B"),
        ("\u00a0", "U+00A0"),
        ("\U0001f9ff", "U+1F9FF"),
        ("Laysan Albatross", "Laysan Albatross"),
        ("two\nlines\t of it", "two lines of it"),
        ("猫 cat", "U+732B cat"),
        ("金毛犬", "U+91D1 U+6BDB U+72AC"),
        ("été", "été"),
        ("", ""),
    ],
)
def test_names_are_written_with_the_letters_that_there_are(name, written):
    assert printable(name) == written


def test_a_long_name_loses_its_middle():
    name = "001.Black_footed_Albatross"
    cut = shortened(name, 60.0, 7.0)
    start, end = cut.split("…")
    assert name.startswith(start)
    assert name.endswith(end)
    assert abs(len(start) - len(end)) <= 1
    assert width_of(cut, 7.0) <= 60 < width_of(name, 7.0)
    longer = f"{name[: len(start) + 1]}…{name[-len(end) :]}" if len(start) == len(end) else None
    assert longer is None or width_of(longer, 7.0) > 60
    assert shortened(name, 60.0, 7.0, "✗ ").startswith(f"✗ {start[:3]}")
    assert width_of(shortened(name, 60.0, 7.0, "✗ "), 7.0) <= 60
    assert shortened("cat", 60.0, 7.0) == "cat"


def test_width_is_in_points():
    assert width_of("mmmm", 14.0) == pytest.approx(2 * width_of("mmmm", 7.0), rel=0.02)
    assert width_of("mmmm", 10.0) == pytest.approx(4 * 0.974 * 10, rel=0.03)  # an m's advance is 1995 of 2048


def test_a_name_of_thousands_of_letters_is_cut_before_it_is_measured(monkeypatch):
    measured = []
    monkeypatch.setattr(lettering, "width_of", lambda text, size: measured.append(len(text)) or 5.0 * len(text))
    assert lettering.shortened("ab" * 2500, 100.0, 10.0) == "ababababab…babababab"
    assert max(measured) <= 51
