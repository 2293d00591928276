import pytest

from sweeps.report.charts.scale import scale_of


def test_numbers_that_span_much_stand_by_their_logarithm():
    scale = scale_of([0.01, 0.1, 1.0])
    assert (scale.logarithmic, scale.zero, scale.line) == (True, None, None)
    assert [scale.share(scale.place(value)) for value in (0.01, 0.1, 1.0)] == pytest.approx([0, 0.5, 1])
    assert list(scale.marks.values()) == ["0.01", "0.03", "0.1", "0.3", "1"]


def test_what_was_searched_by_its_logarithm_stands_so_however_little_it_spans():
    scale = scale_of([0.01, 0.02], logarithmic=True)
    assert scale.share(scale.place(0.0141421356)) == pytest.approx(0.5)
    assert list(scale.marks.values()) == ["0.01", "0.015", "0.02"]
    patches = scale_of([1, 2, 8], logarithmic=True)
    assert patches.share(patches.place(2)) == pytest.approx(1 / 3)
    assert list(patches.marks.values()) == ["1", "2", "5"]
    linear = scale_of([0.01, 1.0], logarithmic=False)
    assert linear.share(linear.place(0.505)) == pytest.approx(0.5)
    assert scale_of([3.0], logarithmic=True).share(3.0) == 0.5


def test_zero_is_apart_below_a_line():
    scale = scale_of([0.0, 1.0, 100])
    assert scale.place(0) == scale.zero == pytest.approx(100**-0.14)
    assert scale.zero < scale.line < 1
    shares = [scale.share(scale.place(value)) for value in (0, 1, 100)]
    assert shares == pytest.approx([0, 0.14 / 1.14, 1])
    assert scale.marks[scale.zero] == "0"


@pytest.mark.parametrize(
    ("values", "value", "share"),
    [([1, 2, 5], 2, 0.25), ([3], 3, 0.5), ([0, 0.0], 0, 0.5), ([0, 5], 0, 0), ([0, 5], 5, 1), ([-1.0, 1.0], 0.5, 0.75)],
)
def test_places_by_hand(values, value, share):
    scale = scale_of(values)
    assert scale.share(scale.place(value)) == pytest.approx(share)


def test_choices_stand_side_by_side():
    scale = scale_of(["vpt", "lora", "vpt", "ssf"])
    assert [(at, text) for at, text in scale.marks.items()] == [(0, "lora"), (1, "ssf"), (2, "vpt")]
    assert scale.share(scale.place("ssf")) == 0.5
    truths = scale_of([True, False])
    assert [truths.share(truths.place(value)) for value in (False, True)] == [0, 1]
    assert scale_of(["one"]).share(0) == 0.5


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="values must be at least 1 but got 0"):
        scale_of([])
