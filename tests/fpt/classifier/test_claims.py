"""Single claims; tests/fpt/classifier/test_opening.py has whole folders of strangers."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from fpt.classifier.claims import calibration_in, classes_of, is_colours, is_number, is_whole
from tests.fpt.classifier.checks import CALIBRATION

HERE = Path("a.fpt")


def test_classes_are_read_as_they_were_saved():
    for kind, names in (("text", ["a", "b"]), ("whole", [-1, 3]), ("number", [0.0, 1.0]), ("truth", [False, True])):
        found = classes_of({"classes": {"kind": kind, "names": names}}, HERE)
        assert found.tolist() == names
        assert found.dtype == np.array(names).dtype


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("text", ["b", "a"]),
        ("whole", [True, False]),
        ("whole", [0, 10**40]),
        ("bytes", ["a", "b"]),
        ("number", ["1", "2"]),
    ],
)
def test_other_classes_are_refused(kind, names):
    with pytest.raises(ValueError, match=r"a.fpt must be a classifier that fpt has saved but is not: classes"):
        classes_of({"classes": {"kind": kind, "names": names}}, HERE)


def test_numbers():
    assert is_number(0.5)
    assert is_number(3)
    assert not any(map(is_number, (True, "3", float("nan"), float("inf"), None)))
    assert is_whole(3, 0, 3)
    assert not is_whole(4, 0, 3)
    assert not is_whole(True, 0, 3)
    assert not is_whole(1.0, 0, 3)
    assert is_colours([0.5, 0.5, 0.5])
    assert not is_colours([0.5, 0.5])
    assert not is_colours("abc")


def test_a_calibration_is_read_as_it_was_saved():
    assert calibration_in({"calibration": {"temperature": 1.0}}, HERE) is None
    assert calibration_in({"calibration": asdict(CALIBRATION)}, HERE) == CALIBRATION
    for value in (0, -1, None, "2", float("nan")):
        with pytest.raises(ValueError, match=r"a.fpt must be a classifier .* calibration must tell temperature"):
            calibration_in({"calibration": {**asdict(CALIBRATION), "temperature": value}}, HERE)
