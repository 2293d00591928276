import re

import pytest

from pipeline.config import Episodes, Run
from pipeline.data import listed
from pipeline.fitting import drawn_from, fits, most_images, set_aside, ways_on
from tests.pipeline.data.sources.trees import grow

SPLITS = {"novel": {"a": 9, "b": 5, "c": 4}, "validation": {"d": 6, "e": 6, "f": 3}}
SHARED = {"novel": {"a": 9, "b": 5}, "validation": {"a": 6, "b": 7}}


def of_folder(root="nowhere", dataset=(), **episodes):
    return Run.model_validate(
        {"dataset": {"source": "folder", "path": str(root), **dict(dataset)}, "episodes": episodes}
    )


def changed(run: Run, command: str) -> Run:
    """The run with what a way on says."""
    values = run.model_dump(by_alias=True)
    for section, field, value in re.findall(r"--set (\w+)\.(\w+)=(\w+)", command):
        values[section][field] = int(value) if value.isdigit() else value
    return Run.model_validate(values)


def test_what_episodes_are_drawn_from():
    assert drawn_from(SPLITS, Episodes(split="novel")) == SPLITS["novel"]
    assert drawn_from(SPLITS, Episodes(split="base")) == {}
    assert drawn_from(SHARED, Episodes(split="novel")) == {"a": 6, "b": 5}
    assert drawn_from(SPLITS, Episodes(split="novel", part="first pictures")) == {"a": 5, "b": 3, "c": 2}
    assert [most_images(SPLITS, Episodes(split="novel", way=way)) for way in (2, 3)] == [5, 4]


def test_both_splits_of_a_sweep_have_to_fit():
    assert fits(of_folder(way=3, shot=1, query=2), SPLITS)
    assert not fits(of_folder(way=3, shot=1, query=3), SPLITS)  # validation's f
    assert not fits(of_folder(way=2, shot=1, query=3), SPLITS)  # small classes are refused
    assert fits(of_folder(dataset={"small_classes": "leave_out"}, way=2, shot=1, query=3), SPLITS)
    assert not fits(of_folder(way=4, shot=1, query=1), SPLITS)


def test_classes_that_are_set_aside():
    assert set_aside(SPLITS, Episodes(split="novel")) == " (3 of all 6 classes are set aside for validation)"
    assert set_aside(SHARED, Episodes(split="novel")) == ""
    assert set_aside(SPLITS, Episodes(split="novel", part="first classes")) == ""


@pytest.fixture
def photos(tmp_path):
    """Six classes of six pictures."""
    listed._listed.cache_clear()
    return grow(tmp_path / "photos", {f"{name}/{i}.jpg": "" for name in "abcdef" for i in range(6)})


@pytest.mark.parametrize(
    "episodes", [{"way": 5, "query": 2}, {"way": 5, "query": 9}, {"way": 3, "query": 9}, {"way": 20}]
)
@pytest.mark.parametrize("small_classes", ["refuse", "leave_out"])
def test_every_way_on_leads_on(photos, episodes, small_classes):
    """What it says is typed, and the episodes fit: as they are listed, by the rule that the changed run has."""
    run = of_folder(photos, {"small_classes": small_classes}, **{"shot": 1, "query": 10, **episodes})
    splits = listed.class_sizes(listed.listing_of(run.dataset))
    assert not fits(run, splits)
    said = ways_on(run, splits)
    assert said.startswith("; --set ")
    for command in said.removesuffix(" will do").split(", or "):
        other = changed(run, command)
        assert fits(other, listed.class_sizes(listed.listing_of(other.dataset))), command


def test_what_is_to_blame_is_changed_first(photos):
    splits = listed.class_sizes(listed.listing_of(of_folder(photos).dataset))
    assert ways_on(of_folder(photos, way=3, shot=1, query=9), splits) == "; --set episodes.query=5 will do"
    assert ways_on(of_folder(photos, way=5, shot=1, query=2), splits) == (
        "; --set dataset.hold_out=pictures, or --set episodes.way=3 will do"
    )
    both = "; --set episodes.shot=1 --set episodes.query=5 will do"
    assert ways_on(of_folder(photos, way=3, shot=6, query=9), splits) == both


def test_nothing_is_proposed_where_nothing_will_do():
    assert ways_on(of_folder(way=5, shot=1, query=1), {"novel": {"a": 1, "b": 1}, "validation": {"c": 1, "d": 1}}) == ""
