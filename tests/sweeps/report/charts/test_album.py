import re

import pytest
from PIL import Image

from sweeps.report.charts import album
from sweeps.report.charts.album import draw_all
from tests.sweeps.report.charts.trials import findings, texts

OF_TRIALS = ["history", "racing", "parallel"]
ENOUGH = ["differences", *OF_TRIALS, "slices"]
EXPECTED = {
    "usual": ["differences", *OF_TRIALS, "importances"],
    "nothing tried": ["differences"],
    "failed": OF_TRIALS,
    "calibrated": ["differences", "confidence"],
    "16 trials": ENOUGH,
    "200 trials": ENOUGH,
    "costs differ": ["differences", "history", "racing", "cost", "parallel", "slices"],
    "most did not race": ENOUGH,
}


@pytest.mark.parametrize("special", findings())
def test_pictures_that_make_sense_are_drawn_and_nothing_in_them_is_nan(special, tmp_path, monkeypatch):
    drawn = {}
    save = album.save

    def noted(figure, path):
        drawn[path.name] = figure
        return save(figure, path)

    monkeypatch.setattr(album, "save", noted)
    pictures = draw_all(findings()[special], {}, tmp_path)
    assert [one.path.stem for one in pictures] == EXPECTED.get(special, ["differences", *OF_TRIALS])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(drawn)
    for one in pictures:
        said = " ".join([*texts(drawn[one.path.name]), one.alt])
        assert not re.search(r"\b(nan|inf|None)\b", said), said
        assert one.alt.endswith(".")
        with Image.open(one.path) as image:
            assert image.format == "PNG"
            assert max(image.size) < 2500


def test_the_same_finding_gives_the_same_bytes(tmp_path, pictures_of):
    again = pictures_of("usual"), draw_all(findings()["usual"], {}, tmp_path)
    assert [one.path.read_bytes() for one in again[0]] == [one.path.read_bytes() for one in again[1]]


def test_what_is_seen_is_said(pictures_of):
    said = {one.path.stem: one.alt for one in pictures_of("usual")}
    assert said["history"] == (
        "Accuracy of 6 trials in their order, from 30.0 to 70.0 %. The winner, with 70.0 %, is number 3."
    )
    assert said["racing"].endswith("2 did all 100; the first to be stopped did 16.")
    few_raced = {one.path.stem: one.alt for one in pictures_of("most did not race")}
    assert few_raced["history"].startswith("Accuracy of 300 trials in their order, of which 10 raced, from ")
    assert few_raced["racing"].startswith("A lane for each of 10 trials that raced, as long as ")
    assert said["differences"].startswith("Differences to no prompts in points, with 95 %: best +2.1 ± 0.9, better; ")
    costs = {one.path.stem: one.alt for one in pictures_of("costs differ")}
    assert "No cheaper one that did all episodes is as good as these: 70.0 % for 0." in costs["cost"]
    assert said["importances"] == "Importance of the hyper-parameters: lr 0.60, alpha 0.40, lambda 0.00."
