import csv
import json
from contextlib import suppress

import pyarrow.parquet
import pytest

from sweeps.classifiers.tables import COLUMNS, ROWS_A_GROUP, Prediction, check_table, predictions_into

ROWS = [Prediction('a, "b"\n.jpg', "grèbe", 0.75, "heron", 0.25), Prediction("c.jpg", "heron", 1.0, "grèbe", 0.0)]


def read(path):
    if path.suffix == ".parquet":
        return [tuple(row.values()) for row in pyarrow.parquet.read_table(path).to_pylist()]
    if path.suffix == ".jsonl":
        return [tuple(json.loads(line).values()) for line in path.read_text().splitlines()]
    first, *rows = csv.reader(path.read_text().splitlines(keepends=True))
    assert tuple(first) == COLUMNS[: len(first)]
    return [(image, label, float(p), other, float(q), *more) for image, label, p, other, q, *more in rows]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_rows_come_back_in_their_order(suffix, tmp_path):
    path = tmp_path / "new" / f"p.{suffix}"
    with predictions_into(path) as write:
        write(ROWS)
        write(ROWS[:1])
        assert not path.exists()
    assert read(path) == [row[:5] for row in (*ROWS, ROWS[0])]
    with predictions_into(path, answered=True) as write:
        write([row._replace(answered="unsure") for row in ROWS])
    assert read(path) == [(*row[:5], "unsure") for row in ROWS]
    with predictions_into(path):
        pass
    assert read(path) == []


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_rows_are_in_the_file_and_not_in_memory_long_before_the_last_one(suffix, tmp_path):
    sizes = []
    with predictions_into(tmp_path / f"p.{suffix}") as write:
        for first in range(0, 4 * ROWS_A_GROUP, 32):
            write(
                [
                    Prediction(f"{number}.jpg", "grèbe", number / 1e6, "heron", 0.25)
                    for number in range(first, first + 32)
                ]
            )
            sizes.append((tmp_path / f".p.{suffix}.part").stat().st_size)
    quarter = len(sizes) // 4
    whole = (tmp_path / f"p.{suffix}").stat().st_size
    for part in (1, 2, 3):
        assert sizes[part * quarter] > 0.8 * whole * part / 4


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_what_fails_leaves_the_file_that_was_there(suffix, tmp_path):
    path = tmp_path / f"p.{suffix}"
    path.write_text("before")
    with suppress(RuntimeError), predictions_into(path) as write:
        write(ROWS)
        raise RuntimeError
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_has_groups_of_rows(tmp_path):
    with predictions_into(tmp_path / "p.parquet") as write:
        for _ in range(2 * ROWS_A_GROUP // 2 + 1):
            write(ROWS)
    assert pyarrow.parquet.ParquetFile(tmp_path / "p.parquet").num_row_groups == 3


def test_other_files_are_refused(tmp_path):
    check_table(tmp_path / "p.CSV")
    with pytest.raises(ValueError, match=r"--out must be a .parquet, .csv or .jsonl file but got"):
        check_table(tmp_path / "p.xls")
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        check_table(tmp_path / "a.csv")
