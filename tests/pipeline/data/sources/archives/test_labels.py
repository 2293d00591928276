"""Classes as files with many pictures say them."""

import pytest

from pipeline.data.sources.archives.labels import class_called, paths_of, within

NAMES = ["heron", "crow"]


@pytest.mark.parametrize(
    ("value", "names", "found"),
    [
        (1, NAMES, "crow"),
        (1.0, NAMES, "crow"),
        (7, None, "7"),
        (" heron ", NAMES, "heron"),
        (b"h\xc3\xa9ron", None, "héron"),
        (b"\xff", None, "\udcff"),
        (True, None, "True"),
        (2.5, None, "2.5"),
        (-1, NAMES, None),
        (None, NAMES, None),
        (float("nan"), None, None),
        ("  ", None, None),
    ],
)
def test_a_value_is_a_class(value, names, found):
    assert class_called(value, names, "row 1", "label") == found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2, r"^label must be 0 to 1, its names, but is 2 in row 1$"),
        (
            [0, 1],
            r"^label must name one class but holds a list, one of more classes in row 1; --set dataset\.label_col",
        ),
        ({"a": 1}, r"^label must name one class but holds a dict in row 1; --set"),
        ("a caption " * 30, r"^label must name a class but holds 'a caption .* with 299 characters in row 1; --set"),
    ],
)
def test_what_is_no_class_is_refused(value, said):
    with pytest.raises(ValueError, match=said):
        class_called(value, NAMES, "row 1", "label")


def test_sections_within_sections():
    section = {"meta": {"species": "heron", "empty": {}}, "a.b": 1, "label": 2}
    assert paths_of(section) == ["meta.species", "meta.empty", "a.b", "label"]
    assert [within(section, path) for path in ("meta.species", "a.b", "label")] == ["heron", 1, 2]
    for path in ("species", "meta.none", "label.x"):
        with pytest.raises(KeyError):
            within(section, path)
