import csv
import io
import json
from dataclasses import replace

import pytest

from sweeps.report.trials import as_csv, rows_of
from sweeps.search.record import SearchRecord
from tests.sweeps.findings import reported, searched

STEERED = {"lambda": 1.0, "alpha": 0.5, "patches": 4, "lr": 0.01}
RECORD = SearchRecord(
    (
        searched("0.0", {"alpha": 0.0, "lr": 0.02}, [0.5], score=0.6),
        searched("0.1", STEERED, [0.5, 0.75]),
        searched("1.0", {**STEERED, "patches": 2}, [0.5, None]),
        searched("1.1", {**STEERED, "patches": 8}, [0.9, 0.6]),
        replace(searched("1.2", {"lr": 0.1}, []), stopped_by="error"),
    ),
    (2, 4),
)
SEARCHED = ["param_lambda", "param_alpha", "param_patches", "param_lr"]
RESULTS = ["score", "accuracy", "ci95", "episodes", "stopped_at", "stopped_by", "rank", "seconds"]
COLUMNS = ["trial", "generation", *SEARCHED, *RESULTS]


def test_each_trial_is_a_row_in_its_order():
    rows = rows_of(RECORD)
    assert [list(row) for row in rows] == [COLUMNS] * 5
    assert [tuple(row.values()) for row in rows] == [
        ("0.0", 0, None, 0.0, None, 0.02, 0.6, 0.5, 0.02, 2, 1, "racing", 2, 1.0),
        ("0.1", 0, 1.0, 0.5, 4, 0.01, 0.75, 0.75, 0.02, 4, None, None, 1, 2.0),
        ("1.0", 1, 1.0, 0.5, 2, 0.01, None, None, None, 4, None, None, None, 2.0),
        ("1.1", 1, 1.0, 0.5, 8, 0.01, 0.6, 0.6, 0.02, 4, None, None, 2, 2.0),
        ("1.2", 1, None, None, None, 0.1, None, None, None, 0, 0, "error", None, 0.0),
    ]


def test_ranks_are_those_of_scikit_learn():
    """As `rank_test_score` of `cv_results_`, which has scipy rank what is negated by its lowest."""
    from scipy.stats import rankdata

    scores = [0.5, 0.9, 0.7, 0.9, 0.1, 0.7]
    record = SearchRecord(tuple(searched(f"0.{i}", {"lr": i}, [0.5, score]) for i, score in enumerate(scores)), (2, 4))
    assert [row["rank"] for row in rows_of(record)] == rankdata([-score for score in scores], method="min").tolist()


def test_other_programs_read_the_csv():
    text = as_csv(rows_of(RECORD))
    read = list(csv.DictReader(io.StringIO(text)))
    assert list(read[0]) == COLUMNS
    for row, told in zip(read, rows_of(RECORD), strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in told.items()}
    assert "\r" not in text


def test_names_with_commas_are_quoted():
    odd = SearchRecord((searched("0.0", {"name": 'a, "b"'}, [0.5, 0.5]),), (2, 4))
    (read,) = csv.DictReader(io.StringIO(as_csv(rows_of(odd))))
    assert read["param_name"] == 'a, "b"'


@pytest.mark.parametrize("half", [float("inf"), None])
def test_a_single_episode_has_no_interval(half):
    one = replace(searched("0.0", {"lr": 0.1}, []), reports=(reported(1, 0.5, half),))
    (row,) = rows_of(SearchRecord((one,), (1,)))
    assert row["ci95"] is None
    json.dumps(row, allow_nan=False)
