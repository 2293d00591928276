import json
from dataclasses import asdict, replace

import pytest

from fpt.classifier.calibration import Calibration, Promise, as_described, calibration_of, check_is_of
from tests.fpt.classifier.checks import CALIBRATION

PARAMETERS = {
    "solver": "lora",
    "lr": 0.03,
    "mean": (0.5, 0.5, 0.5),
    "ensemble": [{"lr": 0.1}],
    "seed": 3,
    "device": "cpu",
}


def told(**other):
    return {**asdict(CALIBRATION), **other}


def test_the_boldest_limit_that_keeps_a_risk_is_taken():
    assert CALIBRATION.least_for(0.05) == 0.75
    assert CALIBRATION.least_for(0.2) == 0.5
    assert CALIBRATION.least_for(0.3) == 0.0


def test_a_risk_that_was_not_shown_to_be_kept_is_refused():
    lowest = "--risk must be at least 0.05, the lowest that was shown to be kept in 40 3-way 2-shot episodes, but got"
    with pytest.raises(ValueError, match=lowest):
        CALIBRATION.least_for(0.01)
    with pytest.raises(ValueError, match="--risk must be left out, as none was shown to be kept"):
        replace(CALIBRATION, promises=()).least_for(0.5)
    for risk in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="--risk must be between 0 and 1"):
            CALIBRATION.least_for(risk)


def test_the_lowest_risk_that_is_named_is_taken():
    odd = replace(CALIBRATION, promises=(Promise(0.7, 0.0512345, 0.2),))
    with pytest.raises(ValueError, match=r"at least 0\.052,"):
        odd.least_for(0.05)
    assert odd.least_for(0.052) == 0.7


def test_it_holds_for_as_many_pictures_of_as_many_classes():
    assert CALIBRATION.holds_for([2, 2, 2])
    assert not CALIBRATION.holds_for([2, 2, 3])
    assert not CALIBRATION.holds_for([2, 2, 2, 2])


def test_what_is_written_is_read():
    described = json.loads(json.dumps(as_described(CALIBRATION, PARAMETERS)))
    assert calibration_of(described) == CALIBRATION
    assert calibration_of(asdict(replace(CALIBRATION, known=None, recognised=None, promises=()))).known is None


def test_it_is_of_one_setting_whatever_computes_it():
    described = json.loads(json.dumps(as_described(CALIBRATION, PARAMETERS)))
    check_is_of(described, {**PARAMETERS, "seed": 9, "device": "cuda", "calibration": described})
    with pytest.raises(ValueError, match=r"calibration must be of these parameters but is of lr 0\.03, not 0\.04"):
        check_is_of(described, {**PARAMETERS, "lr": 0.04})
    with pytest.raises(ValueError, match="is of ensemble"):
        check_is_of(described, {**PARAMETERS, "ensemble": []})
    with pytest.raises(ValueError, match="must say, in `of`"):
        check_is_of(asdict(CALIBRATION), PARAMETERS)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ([], "must be an object"),
        ({}, "must hold coverage, episodes, .* and nothing else"),
        (told(more=1), "nothing else, but differs in \\['more'\\]"),
        (told(temperature=0), "temperature as a number from 1e-06 to 1e"),
        (told(temperature=float("nan")), "temperature as a number"),
        (told(temperature="2"), "temperature as a number"),
        (told(way=2.5), "a whole number as way"),
        (told(way=True), "way as a number"),
        (told(shot=0), "shot as a number from 1"),
        (told(in_set=-0.1), "in_set as a number from 0 to 1"),
        (told(known=float("inf")), "known as a number from 0 to 1"),
        (told(promises={}), "at most 1000 promises in a list"),
        (told(promises=[{}] * 1001), "at most 1000 promises in a list"),
        (told(promises=[{"least": 0.1}]), "least, risk and answered of each promise"),
        (told(promises=[{"least": 0.1, "risk": 2, "answered": 0}]), "risk as a number from 0 to 1"),
        (told(promises=[*asdict(CALIBRATION)["promises"]][::-1]), "in their order, from the most cautious on"),
    ],
)
def test_what_is_no_calibration_is_refused(described, message):
    with pytest.raises(ValueError, match=message):
        calibration_of(described)


def test_promises_are_promises():
    assert all(isinstance(one, Promise) for one in calibration_of(told()).promises)
    assert Calibration.__doc__
