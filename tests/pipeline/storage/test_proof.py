"""A file of the ledger proves its rows: whatever is done to its bytes is noticed, or changes nothing."""

import random

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.storage.proof import DIGEST, DamagedError, digest_of, parquet_of, rows_of
from pipeline.storage.schema import SCHEMA


def row(episode, **others):
    hits = [(episode + place) % 7 for place in range(5)]
    correct = sum(hits)
    return {
        "config_hash": f"{episode % 3:012x}",
        "episode": episode,
        "accuracy": correct / 30,
        "correct": correct,
        "queries": 30,
        "class_hits": hits,
        "failed": False,
        "prompt_precision": 0.25 if episode % 2 else None,
        "prompt_chance": None,
        "attention_on_key_before": 0.5,
        "attention_on_key_after": 0.75,
        "seconds": 1.5 + episode,
        "worker": "worker-0",
        "attempt": 1,
        "device": "cpu",
        "scores": None,
        **others,
    }


def table(rows):
    return pa.Table.from_pylist(rows, SCHEMA)


SCORES = bytes(range(250)) + bytes(2 * 5 * 30 - 250)  # two bytes for each of 5 classes, of 30 queries
FAILED = row(8, accuracy=None, failed=True, correct=0, class_hits=[0] * 5)
ROWS = table([*map(row, range(8)), row(9, scores=SCORES), row(10, scores=SCORES + SCORES[:20]), FAILED])
CONTENT = bytes(parquet_of(ROWS))


def plain(rows):
    """Returns a file without digest and checksums, as they were once written."""
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(rows, sink)
    return sink.getvalue().to_pybytes()


def check_flipped(content, rows, bits):
    noticed = 0
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert rows_of(bytes(flipped)).equals(rows), f"bit {bit} changed the rows"
        except DamagedError:
            noticed += 1
    return noticed


def test_rows_come_back_as_they_were_written():
    assert rows_of(CONTENT).equals(ROWS)
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(CONTENT))
    assert file.metadata.metadata[DIGEST] == digest_of(ROWS)
    assert rows_of(bytes(parquet_of(SCHEMA.empty_table()))).num_rows == 0


def test_a_digest_is_of_the_rows_and_not_of_how_they_lie():
    parts = pa.concat_tables([ROWS.slice(0, 3), ROWS.slice(3)])
    assert digest_of(parts) == digest_of(ROWS) == digest_of(rows_of(plain(ROWS)))
    assert digest_of(ROWS.slice(1)) == digest_of(table(ROWS.to_pylist()[1:]))
    others = [ROWS.slice(1), ROWS.drop_columns(["device"]), ROWS.rename_columns(["x", *SCHEMA.names[1:]])]
    first, second, *rest = ROWS.to_pylist()
    known = [name for name in SCHEMA.names if second[name] is not None]
    others += [table([first, {**second, name: None}, *rest]) for name in known]
    moved = ROWS.to_pylist()
    moved[0]["worker"], moved[1]["worker"] = "worker-0w", "orker-0"  # the same letters, divided elsewhere
    others.append(table(moved))
    assert len({digest_of(other) for other in [ROWS, *others]}) == len(others) + 1


def test_any_of_some_bits_flipped_is_noticed_or_without_effect():
    chosen = random.Random(0).sample(range(8 * len(CONTENT)), 1500)
    assert check_flipped(CONTENT, ROWS, chosen) > 500


@pytest.mark.slow
@pytest.mark.timeout(1800)  # each bit is a file to be read
def test_any_single_bit_flipped_is_noticed_or_without_effect():
    assert check_flipped(CONTENT, ROWS, range(8 * len(CONTENT))) > 4 * len(CONTENT)


@pytest.mark.parametrize("kept", [0, 1, 4, len(CONTENT) // 2, len(CONTENT) - 1])
def test_a_truncated_file_is_noticed(kept):
    with pytest.raises(DamagedError):
        rows_of(CONTENT[:kept])


def test_a_file_that_is_older_than_digests_is_read():
    for lacking in (["scores"], ["device", "scores"]):
        older = ROWS.drop_columns(lacking)
        for content in (plain(older), bytes(parquet_of(older))):
            read = rows_of(content)
            assert read.drop_columns(lacking).equals(older)
            assert [read[name].null_count for name in lacking] == [ROWS.num_rows] * len(lacking)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"accuracy": 0.9}, "accuracy is not correct / queries"),
        ({"correct": 31, "accuracy": 1.0}, "correct is not between 0 and queries"),
        ({"class_hits": [0, 0, 0, 0, 29]}, "class_hits do not add up to correct"),
        ({"class_hits": [-1, 0, 0, 0, 11]}, "class_hits holds what is no count"),
        ({"accuracy": float("nan")}, "accuracy is not between 0 and 1"),
        ({"queries": 0, "correct": 0, "class_hits": []}, "accuracy is not correct / queries"),
        ({"failed": True}, "there is an accuracy of what failed"),
        ({"accuracy": None}, "there is an accuracy of what failed"),
        ({"episode": -1}, "no episode of a configuration is named"),
        ({"scores": SCORES[:-10]}, "scores are not those of its queries"),
        ({"scores": SCORES + b"0"}, "scores are not those of its queries"),
        ({"config_hash": None}, "no episode of a configuration is named"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused_with_and_without_a_digest(changed, why):
    wrong = table([row(0), {**row(0), **changed}])
    for content in (plain(wrong), bytes(parquet_of(wrong))):
        with pytest.raises(DamagedError, match=why):
            rows_of(content)


def test_a_number_that_is_missing_is_refused_without_a_digest_only():
    without = table([row(0, correct=None, queries=None, class_hits=None)])
    assert rows_of(bytes(parquet_of(without))).equals(without)
    with pytest.raises(DamagedError, match="a number missing"):
        rows_of(plain(without))


@pytest.mark.parametrize(
    ("foreign", "why"),
    [
        (pa.table({"a": [1]}), "it has no column config_hash"),
        (ROWS.set_column(1, "episode", ROWS["episode"].cast(pa.int64())), "its column episode must hold int32"),
        (ROWS.append_column("device", ROWS["device"]), "two columns of one name|cannot be read"),
        (ROWS.drop_columns(["correct"]), "it has no column correct"),
    ],
)
def test_a_foreign_file_is_refused(foreign, why):
    with pytest.raises(DamagedError, match=why):
        rows_of(plain(foreign))


def test_other_rows_under_the_same_digest_are_refused():
    others = table([row(1), row(2)]).replace_schema_metadata({DIGEST: digest_of(ROWS)})
    with pytest.raises(DamagedError, match="not those that its digest is of"):
        rows_of(plain(others))
