import pytest

from fpt.switches import OFF_AT_FIRST, SWITCHES, is_on, turned


def test_switches_are_as_at_first_but_inside_of_turned():
    first = {name: name not in OFF_AT_FIRST for name in SWITCHES}
    assert {name: is_on(name) for name in SWITCHES} == first
    with turned(["early copies", "foreach"]), turned(["large passes", "compiled steps"]):
        assert {name: is_on(name) for name in SWITCHES} == {name: not on for name, on in first.items()}
        with turned(["foreach"]):
            assert is_on("foreach")
    assert {name: is_on(name) for name in SWITCHES} == first


def test_a_switch_that_there_is_not_is_named():
    with (
        pytest.raises(ValueError, match=r"^a switch must be one of .*foreach, .*compiled steps but got turbo$"),
        turned(["turbo"]),
    ):
        pass
