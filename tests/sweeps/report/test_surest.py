from dataclasses import replace

import pytest

from sweeps.report import mistaken
from sweeps.report.surest import draw_surest, surest
from sweeps.verdict.mistakes import Mistake
from tests.sweeps.findings import MISTAKES, finding

WITHOUT = {"alpha": 0.0, "lr": 0.02}


@pytest.fixture
def drawn(monkeypatch):
    """What was to be drawn; a file stands for the picture."""
    asked = []

    def noted(run, store, mistakes, path, named):
        asked.append((run, store, mistakes, named))
        path.write_bytes(b"a picture")
        return path

    monkeypatch.setattr(mistaken, "picture_of_mistakes", noted)
    return asked


def test_the_winners_mistakes_are_drawn_and_said_in_words(tmp_path, drawn):
    found, folder = finding(mistakes=MISTAKES), tmp_path / "sweeps" / "abc"
    (picture,) = draw_surest(found, tmp_path / "store", folder)
    assert drawn == [
        (found.best.run, tmp_path / "store", MISTAKES.surest, "lora · lambda 0.5 · alpha 2 · tau 1 · P 4 · lr 0.01")
    ]
    assert [picture] == surest(found, folder)
    assert picture.path == folder / "mistakes.png"
    assert picture.alt.startswith("The surest mistakes on unseen episodes with lora · lambda 0.5 ·")
    assert ": c, taken for a | b with 93.8 %, in episode 17." in picture.alt
    assert picture.alt.endswith("support images of both classes with their prompts.")
    assert [path.name for path in folder.parent.iterdir()] == ["abc"]


def test_four_are_drawn_at_the_most(tmp_path, drawn):
    many = tuple(Mistake(episode, 0, "a", "b", 0.9) for episode in range(10))
    draw_surest(finding(mistakes=replace(MISTAKES, surest=many)), tmp_path / "store", tmp_path)
    ((_, _, shown, _),) = drawn
    assert shown == many[:4]


def test_prompts_are_told_of_where_the_winner_has_some(tmp_path, drawn):
    (picture,) = draw_surest(finding(WITHOUT, mistakes=MISTAKES), tmp_path / "store", tmp_path)
    assert "lora · no prompts · lr 0.02" in picture.alt
    assert "with their prompts" not in picture.alt


@pytest.mark.parametrize("mistakes", [None, replace(MISTAKES, surest=())])
def test_without_a_mistake_there_is_no_picture_and_one_of_before_goes(tmp_path, drawn, mistakes):
    (tmp_path / "mistakes.png").write_bytes(b"of before")
    found = finding(mistakes=mistakes)
    assert surest(found, tmp_path) == []
    assert draw_surest(found, tmp_path / "store", tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_gone_is_none(tmp_path):
    assert surest(finding(mistakes=MISTAKES), tmp_path) == []
