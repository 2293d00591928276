import pytest

from sweeps.gate.told import BAD, FINE, LOOK, Told, as_json, mistakes_told, verdict_of


def test_the_last_line_counts():
    told = [Told("home", FINE, "there"), Told("limits", LOOK, "few"), Told("limits", LOOK, "fewer")]
    assert str(told[1]) == "look  limits: few"
    assert verdict_of(told) == "1 fine, 2 worth a look, 0 in the way: nothing keeps a sweep from starting"
    assert as_json(told)["starts"] is True
    told.append(Told("Ray", BAD, "gone"))
    assert verdict_of(told) == "1 fine, 2 worth a look, 1 in the way: a sweep would not start, or not end"
    assert as_json(told) == {
        "starts": False,
        "told": [{"about": one.about, "state": one.state, "said": one.said} for one in told],
    }


def test_a_mistake_is_a_line_and_anything_else_is_not():
    told = []
    with mistakes_told("home", told):
        raise ValueError("home must be\nanother")
    with mistakes_told("home", told):
        pass
    assert told == [Told("home", BAD, "home must be another")]
    with pytest.raises(AssertionError), mistakes_told("home", told):
        raise AssertionError
