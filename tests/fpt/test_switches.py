import pytest

from fpt.switches import SWITCHES, is_on, without


def test_switches_are_on_but_inside_of_without():
    assert all(is_on(name) for name in SWITCHES)
    with without(["early copies", "foreach"]), without(["large passes"]):
        assert not any(is_on(name) for name in SWITCHES)
    assert all(is_on(name) for name in SWITCHES)


def test_a_switch_that_there_is_not_is_named():
    with (
        pytest.raises(ValueError, match=r"^a switch must be one of .*foreach, .*large passes but got turbo$"),
        without(["turbo"]),
    ):
        pass
