import pytest

from sweeps.terminal.spans import about, clock


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00"), (-1, "0:00"), (59.6, "1:00"), (3599, "59:59"), (100_000, "27:46:40")]
)
def test_a_clock_has_hours_where_there_are_any(seconds, told):
    assert clock(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ((10,), "less than two minutes"),
        ((76,), "less than two minutes"),
        ((100,), "about 1 to 3 minutes"),
        ((450,), "about 6 to 10 minutes"),  # 6:00 to 9:45
        ((450, 900), "about 6 to 20 minutes"),
        ((7200,), "about 1.6 to 2.6 hours"),
        ((72_000,), "about 16 to 26 hours"),
    ],
)
def test_what_is_foreseen_is_a_range_around_it(seconds, told):
    assert about(*seconds) == told
