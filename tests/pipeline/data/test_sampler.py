import numpy as np
import pytest

from pipeline.config import Episodes
from pipeline.data.sampler import EpisodeSampler, part_of, sampler_of
from pipeline.data.store import SplitClasses

# Ten classes of unequal size; the store's rows of a class need not lie side by side.
CLASSES = {f"class {i}": np.arange(i, 10 * (6 + i), 10) for i in range(10)}


def sampler(seed=0, way=4, shot=2, query=3):
    return EpisodeSampler(CLASSES, way, shot, query, seed)


def arrays(episode):
    return episode.support, episode.labels, episode.query, episode.query_labels


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def test_an_episode_is_a_pure_function_of_seed_and_index():
    forwards = [sampler()[index] for index in range(30)]
    one = sampler()
    for index in reversed(range(30)):
        assert same(one[index], forwards[index])


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()
    sampler()[7]
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_episodes_differ_with_index_and_seed():
    drawn = [sampler(seed)[index] for seed in (0, 1) for index in range(20)]
    assert not any(same(drawn[i], drawn[j]) for i in range(40) for j in range(i))


def test_support_and_query_are_disjoint_and_labels_right():
    for index in range(50):
        episode = sampler()[index]
        everything = np.concatenate([episode.support, episode.query])
        assert len(set(everything.tolist())) == 4 * (2 + 3)
        assert episode.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert episode.query_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
        class_of_label = {}
        rows = [
            *zip(episode.support, episode.labels, strict=True),
            *zip(episode.query, episode.query_labels, strict=True),
        ]
        for row, label in rows:
            (name,) = [name for name, members in CLASSES.items() if row in members]
            assert class_of_label.setdefault(label, name) == name
        assert len(set(class_of_label.values())) == 4


@pytest.mark.parametrize(("up_to", "query"), [(None, 3), (1, 3), (3, 3), (4, 4), (5, 4)])
def test_further_queries_leave_an_episode_as_it_is(up_to, query):
    """As many as the smallest class has, class by class: 2 + 3 of 6 images are drawn anyway."""
    drawn = sampler_of(CLASSES, Episodes(way=4, shot=2, query=3, query_up_to=up_to), "refuse")
    assert (drawn.query, drawn.step) == (query, 1 / (4 * query))
    for index in range(30):
        with_more, without = drawn[index], sampler()[index]
        assert with_more.query_labels.tolist() == np.arange(4).repeat(query).tolist()
        assert np.array_equal(with_more.query.reshape(4, -1)[:, :3], without.query.reshape(4, -1))
        assert np.array_equal(with_more.support, without.support)
        rows = np.concatenate([with_more.support, with_more.query])
        assert len(set(rows.tolist())) == 4 * (2 + query)
        assert (rows % 10).tolist() == [*(without.support % 10), *(without.support[::2] % 10).repeat(query)]


def test_classes_that_are_left_out_take_no_query_from_the_others():
    few = {"few": np.arange(1000, 1003), **CLASSES}
    wanted = Episodes(way=4, shot=2, query=3, query_up_to=9)
    assert sampler_of(few, wanted, "leave_out").query == 4
    shared = SplitClasses("novel", CLASSES, {name: {"novel": len(own), "base": 6} for name, own in CLASSES.items()})
    assert sampler_of(shared, wanted, "leave_out").query == 4


def test_every_class_and_image_turns_up():
    seen = np.concatenate([np.concatenate(arrays(sampler()[index])[::2]) for index in range(300)])
    assert set(seen.tolist()) == set(np.concatenate(list(CLASSES.values())).tolist())


@pytest.mark.parametrize("way", [1, 11])
def test_way_is_checked(way):
    with pytest.raises(ValueError, match=f"way must be from 2 to 10, the classes there are, but got {way}"):
        sampler(way=way)


def test_a_class_with_too_few_images_is_named():
    sampler(shot=3, query=3)
    with pytest.raises(ValueError, match=r"must be at most 6, the images of class 'class 0', but got 3 \+ 4"):
        sampler(shot=3, query=4)


def test_classes_that_are_too_small_are_left_out_where_that_is_asked_for():
    wanted = Episodes(way=2, shot=1, query=2, seed=0)
    classes = {"a": np.arange(5), "small": np.arange(5, 7), "b": np.arange(7, 10)}
    with pytest.raises(ValueError, match=r"the images of class 'small', but got 1 \+ 2; --set dataset\.small_classes"):
        sampler_of(classes, wanted, "refuse")
    sampler = sampler_of(classes, wanted, "leave_out")
    drawn = np.concatenate([sampler[index].support for index in range(20)])
    assert not set(drawn) & {5, 6}
    with pytest.raises(ValueError, match=r"as many images as 2 classes have but 1 have 1 \+ "):
        sampler_of({"a": np.arange(5), "small": np.arange(5, 7)}, wanted, "leave_out")


def test_the_classes_of_an_episode_are_those_of_its_labels():
    drawing = sampler(way=4)
    names = [set(rows.tolist()) for rows in CLASSES.values()]
    for index in range(20):
        episode, drawn = drawing[index], drawing.classes_of(index)
        for row, label in zip(episode.query, episode.query_labels, strict=True):
            assert row in names[drawn[label]]


@pytest.mark.parametrize("kind", ["classes", "pictures"])
def test_halves_are_disjoint_and_make_the_whole(kind):
    first, other = part_of(CLASSES, f"first {kind}"), part_of(CLASSES, f"other {kind}")
    rows = [np.concatenate(list(half.values())) for half in (first, other)]
    assert not set(rows[0]) & set(rows[1])
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.sort(np.concatenate(list(CLASSES.values()))))
    if kind == "classes":
        assert (len(first), len(other)) == (5, 5)
    else:
        assert list(first) == list(other) == list(CLASSES)
        assert all(0 <= len(first[name]) - len(other[name]) <= 1 for name in CLASSES)


def test_halves_do_not_depend_on_the_order_of_classes():
    backwards = dict(reversed(list(CLASSES.items())))
    assert set(part_of(CLASSES, "first classes")) == set(part_of(backwards, "first classes"))


def test_episodes_of_a_part_hold_nothing_else():
    wanted = Episodes(way=3, shot=1, query=1, part="other pictures")
    allowed = set(np.concatenate(list(part_of(CLASSES, "other pictures").values())))
    drawing = sampler_of(CLASSES, wanted, "refuse")
    assert all(set(drawing[i].support) | set(drawing[i].query) <= allowed for i in range(30))


def shared(split, small=9):
    """Rows of a split that holds other images of the same ten classes than the other split does."""
    rows = {f"class {i}": np.arange(20 * i, 20 * i + 10) + 10 * (split == "novel") for i in range(10)}
    parts = {name: {"novel": 10, "validation": 10 if i else small} for i, name in enumerate(rows)}
    return SplitClasses(split, rows, parts)


def test_splits_that_share_classes_draw_them_each_in_its_own_way():
    """Were they drawn alike, the first episodes of the report would have the classes that were searched on."""
    wanted = Episodes(way=4, shot=2, query=3, seed=0)
    search, report = (sampler_of(shared(split), wanted, "refuse") for split in ("validation", "novel"))
    alike = sum(
        np.array_equal(search[index].support // 20, report[index].support // 20)  # ten classes in order: 1 of 5,040
        for index in range(500)
    )
    assert alike < 4
    again = sampler_of(shared("novel"), wanted, "refuse")
    assert all(same(report[index], again[index]) for index in range(50))
    apart = SplitClasses("novel", shared("novel").rows)
    alone = EpisodeSampler(dict(apart), 4, 2, 3, 0)
    assert all(same(sampler_of(apart, wanted, "refuse")[index], alone[index]) for index in range(50))


def test_a_class_that_is_small_in_another_split_is_left_out_of_this_one_too():
    wanted = Episodes(way=9, shot=2, query=8, seed=0)
    with pytest.raises(
        ValueError, match="at most 9, as class 'class 0' has 10 pictures in novel and 9 pictures in val"
    ):
        sampler_of(shared("novel"), wanted, "refuse")
    sampler = sampler_of(shared("novel"), wanted, "leave_out")
    assert {int(row) // 20 for index in range(30) for row in sampler[index].support} == set(range(1, 10))
    with pytest.raises(ValueError, match="way must be from 2 to 9, the classes there are, but got 10"):
        sampler_of(shared("novel"), Episodes(way=10, shot=2, query=8), "leave_out")


def test_outsiders_are_pictures_of_other_classes_one_each():
    place = {row: i for i, rows in enumerate(CLASSES.values()) for row in rows.tolist()}
    for index in range(30):
        inside = set(sampler().classes_of(index).tolist())
        outside = [place[row] for row in sampler().outsiders(index).tolist()]
        assert len(set(outside)) == len(outside) == 4
        assert not inside & set(outside)
        assert sampler().outsiders(index).tolist() == sampler().outsiders(index).tolist()
    assert len({tuple(sampler().outsiders(index)) for index in range(30)}) == 30
    assert len(sampler(way=8).outsiders(0)) == 2
    assert sampler(way=10).outsiders(0).shape == (0,)
