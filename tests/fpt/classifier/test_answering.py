import pytest

from fpt.classifier.answering import answers_at, need_not_hold
from tests.fpt.classifier.checks import CALIBRATION


def test_answers_at_a_risk():
    said = answers_at(CALIBRATION, 0.05)
    assert [said(one) for one in (0.8, 0.75, 0.7, 0.375, 0.37)] == ["yes", "yes", "unsure", "unsure", "none of these"]
    assert answers_at(CALIBRATION, 0.3)(0.376) == "yes"
    with pytest.raises(ValueError, match="--risk must be left out for a classifier without a calibration"):
        answers_at(None, 0.05)


def test_a_classifier_unlike_the_episodes_is_told_so():
    assert need_not_hold(CALIBRATION, [2, 2, 2]) is None
    said = f"what --risk promises was shown on {CALIBRATION.told}, and need not hold here:"
    assert need_not_hold(CALIBRATION, [2, 2]) == f"{said} 2 classes, 2 pictures each"
    assert need_not_hold(CALIBRATION, [1, 3, 2]) == f"{said} 3 classes, 1 to 3 pictures each"
