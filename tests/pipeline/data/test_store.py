from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from pipeline.data.store import ROWS_A_BATCH, ImageStore, Sample, pack, schema_of
from pipeline.storage.locking import waited_for


def drawn(count, masks=True, side=(6, 5)):
    """`count` random samples of two splits, three classes each, in turn."""
    random = np.random.default_rng(count)
    return [
        Sample(
            "novel" if i % 2 else "validation",
            f"class {i % 3}",
            random.integers(0, 256, (*side, 3), np.uint8),
            random.random(side) < 0.5 if masks else None,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("masks", [True, False])
def test_what_was_packed_is_read(tmp_path: Path, masks):
    samples = drawn(11, masks)
    store = ImageStore(pack(samples, tmp_path / "some.arrow"))
    assert (store.count, store.side, store.has_masks) == (11, (6, 5), masks)
    rows = np.array([7, 0, 10, 7])
    np.testing.assert_array_equal(store.images(rows), [samples[row].image for row in rows])
    if masks:
        np.testing.assert_array_equal(store.masks(rows), [samples[row].mask for row in rows])
    else:
        assert store.masks(rows) is None


def test_what_a_killed_command_left_is_removed_and_what_another_writes_is_not(tmp_path: Path):
    names = ["some.1234.part", "some.0f3a9b2c.part", "some.else.arrow", "others.1234.part", "some.live.part"]
    left, live, kept, others, written = (tmp_path / name for name in names)
    for one in (left, live, kept, others):
        one.write_bytes(b"half")
    with waited_for(written):
        pack(drawn(3), tmp_path / "some.arrow")
        assert {path.name for path in tmp_path.iterdir()} == {"some.arrow", kept.name, others.name, written.name}


def test_more_than_one_batch(tmp_path: Path):
    samples = drawn(ROWS_A_BATCH + 3)
    store = ImageStore(pack(samples, tmp_path / "many.arrow"))
    rows = np.array([ROWS_A_BATCH + 2, 0, ROWS_A_BATCH - 1, ROWS_A_BATCH])
    assert store.count == ROWS_A_BATCH + 3
    np.testing.assert_array_equal(store.images(rows), [samples[row].image for row in rows])
    np.testing.assert_array_equal(store.masks(rows), [samples[row].mask for row in rows])
    assert sum(len(rows) for split in store.splits for rows in store.classes(split).values()) == store.count


def test_classes_come_in_the_order_in_which_they_were_packed(tmp_path: Path):
    image = np.zeros((2, 2, 3), np.uint8)
    names = ["pear", "apple", "pear", "fig", "apple", "pear"]
    others = [Sample("novel", "apple", image), Sample("novel", "date", image)]
    store = ImageStore(pack([*(Sample("base", name, image) for name in names), *others], tmp_path / "fruit.arrow"))
    assert store.splits == ["base", "novel"]
    assert {name: rows.tolist() for name, rows in store.classes("base").items()} == {
        "pear": [0, 2, 5],
        "apple": [1, 4],
        "fig": [3],
    }
    assert list(store.classes("base")) == ["pear", "apple", "fig"]
    assert {name: rows.tolist() for name, rows in store.classes("novel").items()} == {"apple": [6], "date": [7]}


def test_parts_are_told_where_splits_share_a_class(tmp_path: Path):
    image = np.zeros((2, 2, 3), np.uint8)
    places = [("base", "a"), ("novel", "b"), ("base", "a"), ("novel", "a"), ("novel", "c")]
    shared = ImageStore(pack([Sample(*place, image) for place in places], tmp_path / "shared.arrow"))
    for split in shared.splits:
        found = shared.classes(split)
        assert found.split == split
        parts = {"a": {"base": 2, "novel": 1}, "b": {"base": 0, "novel": 1}, "c": {"base": 0, "novel": 1}}
        assert found.parts == parts
    apart = ImageStore(pack([Sample(*place, image) for place in places[:3]], tmp_path / "apart.arrow"))
    assert apart.classes("base").parts == {}


def test_a_store_that_was_removed_is_told_with_the_way_on(tmp_path: Path):
    with pytest.raises(
        FileNotFoundError,
        match=r"^packed images must be at .*images.arrow but are not; the same command packs again those of a home$",
    ):
        ImageStore(tmp_path / "images.arrow")


def test_unknown_split_is_named_with_those_there_are(tmp_path: Path):
    store = ImageStore(pack(drawn(4), tmp_path / "some.arrow"))
    with pytest.raises(ValueError, match=r"split must be one of novel, validation but got 'base'"):
        store.classes("base")


def changed(samples, row, **fields):
    copy = list(samples)
    copy[row] = Sample(**{**vars(samples[row]), **fields})
    return copy


def test_fingerprint_is_of_the_content(tmp_path: Path):
    samples = drawn(9)

    def fingerprint(of, name):
        return ImageStore(pack(of, tmp_path / name)).fingerprint

    brighter = samples[8].image.copy()
    brighter[5, 4, 2] ^= 1
    flipped = samples[3].mask.copy()
    flipped[0, 0] ^= True
    versions = {
        "as it is": samples,
        "a pixel": changed(samples, 8, image=brighter),
        "a mask": changed(samples, 3, mask=flipped),
        "a class": changed(samples, 4, class_name="other"),
        "a split": changed(samples, 0, split="base"),
        "the order": samples[::-1],
        "one less": samples[:-1],
        "no masks": [Sample(one.split, one.class_name, one.image) for one in samples],
    }
    found = {name: fingerprint(of, f"{i}.arrow") for i, (name, of) in enumerate(versions.items())}
    assert len(set(found.values())) == len(found)
    assert fingerprint(samples, "elsewhere/again.arrow") == found["as it is"]


def test_fingerprint_stays_what_it_was(tmp_path: Path):
    """Results name it: as it was before packed files had ids."""
    assert ImageStore(pack(drawn(9), tmp_path / "some.arrow")).fingerprint == "e974e3a3766b877b"


def test_an_interrupted_pack_leaves_no_store(tmp_path: Path):
    path = tmp_path / "images" / "half.arrow"

    def interrupted():
        yield from drawn(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(interrupted(), path)
    assert not path.exists()
    assert ImageStore(pack(drawn(5), path)).count == 5
    assert [file.name for file in path.parent.iterdir()] == ["half.arrow"]


def test_images_of_unequal_size_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"image must be \(6, 5, 3\) like the first but got \(5, 6, 3\)"):
        pack([*drawn(2), *drawn(1, side=(5, 6))], tmp_path / "odd.arrow")
    assert not (tmp_path / "odd.arrow").exists()


def written(path, schema, *rows):
    """Writes an Arrow file of any kind, a batch for each list of rows."""
    with pyarrow.ipc.new_file(str(path), schema) as writer:
        for batch in rows:
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
    return path


IMAGE = {"split": "novel", "class": "a", "image": b"x" * 12, "mask": b"x"}


def test_a_store_of_any_batches_is_read(tmp_path: Path):
    store = ImageStore(written(tmp_path / "a.arrow", schema_of(2, 2, True), [], [IMAGE], [], [IMAGE] * 2, []))
    assert (store.count, store.side) == (3, (2, 2))


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        ((), "it must hold an image at least but holds none"),
        (([],), "it must hold an image at least but holds none"),
        (([{**IMAGE, "split": None}],), "its column split must have a value for every image"),
        (([{**IMAGE, "class": None}],), "its column class must have"),
        (([{**IMAGE, "image": None}],), "its column image must have"),
        (([IMAGE, {**IMAGE, "mask": None}],), "its column mask must have"),
    ],
)
def test_a_store_without_what_it_must_hold_is_refused(tmp_path: Path, batches, said):
    path = written(tmp_path / "a.arrow", schema_of(2, 2, True), *batches)
    with pytest.raises(ValueError, match=rf"a\.arrow must be a file that fpt data pack has written but is not: {said}"):
        ImageStore(path)


@pytest.mark.parametrize("metadata", [{"height": "-2"}, {"width": "3"}, {"height": "99999999"}, {"masks": ""}])
def test_a_header_that_is_wrong_is_refused(tmp_path: Path, metadata):
    schema = schema_of(2, 2, True)
    told = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    with pytest.raises(ValueError, match=r"a\.arrow must be a file that fpt data pack has written but is not: its "):
        ImageStore(written(tmp_path / "a.arrow", schema.with_metadata({**told, **metadata}), [IMAGE]))


def test_whatever_is_cut_off_or_changed_is_refused_or_has_another_fingerprint(tmp_path: Path):
    path = pack(drawn(5), tmp_path / "whole.arrow")
    content, whole, random, told = path.read_bytes(), ImageStore(path), np.random.default_rng(0), []
    for number in range(300):
        wrong = bytearray(content)
        if number % 2:
            wrong = wrong[: random.integers(len(content))]
        else:
            wrong[random.integers(len(content))] ^= 1 << random.integers(8)
        path.write_bytes(wrong)
        try:
            store = ImageStore(path)
        except ValueError as refused:
            told.append(str(refused))
        else:
            same = store.fingerprint == whole.fingerprint
            assert not same or (store.count, store.side, store.splits) == (5, whole.side, whole.splits)
    assert len(told) > 100
    assert all(len(line.splitlines()) == 1 for line in told)
