import csv
import io
import json
from dataclasses import replace

import pytest

from sweeps.report.trials import as_csv, rows_of
from sweeps.search.record import SearchRecord
from tests.sweeps.findings import looked_at, reported, searched

STEERED = {"lambda": 1.0, "alpha": 0.5, "patches": 4, "lr": 0.01}
RECORD = SearchRecord(
    (
        searched("0.0", {"alpha": 0.0, "lr": 0.02}, [0.5], score=0.6),
        searched("0.1", STEERED, [0.5, 0.75]),
        searched("1.0", {**STEERED, "patches": 2}, [0.5, None]),
        searched("1.1", {**STEERED, "patches": 8}, [0.9, 0.6], looks=[0.7, 0.8, 0.9]),
        replace(searched("1.2", {"lr": 0.1}, []), stopped_by="error"),
        looked_at("2.0", {"lr": 0.2}, [0.3, 0.5], score=0.65),
        looked_at("2.1", {"lr": 0.3}, [None]),
    ),
    (2, 4),
)
SEARCHED = ["param_lambda", "param_alpha", "param_patches", "param_lr"]
RESULTS = ["score", "accuracy", "ci95", "episodes", "looks", "raced", "stopped_at", "stopped_by", "rank", "seconds"]
COLUMNS = ["trial", "generation", *SEARCHED, *RESULTS]


def test_each_trial_is_a_row_in_its_order():
    rows = rows_of(RECORD)
    assert [list(row) for row in rows] == [COLUMNS] * 7
    assert [tuple(row.values()) for row in rows] == [
        ("0.0", 0, None, 0.0, None, 0.02, 0.6, 0.5, 0.02, 3, 1, 2, 1, "racing", 3, 1.5),
        ("0.1", 0, 1.0, 0.5, 4, 0.01, 0.75, 0.75, 0.02, 5, 1, 4, None, None, 1, 2.5),
        ("1.0", 1, 1.0, 0.5, 2, 0.01, None, None, None, 5, 1, 4, None, None, None, 2.5),
        ("1.1", 1, 1.0, 0.5, 8, 0.01, 0.6, 0.6, 0.02, 7, 3, 4, None, None, 3, 3.5),
        ("1.2", 1, None, None, None, 0.1, None, 0.5, None, 1, 1, 0, 0, "error", None, 0.5),
        ("2.0", 2, None, None, None, 0.2, 0.65, 0.4, None, 2, 2, 0, None, None, 2, 1.0),
        ("2.1", 2, None, None, None, 0.3, None, None, None, 1, 1, 0, None, None, None, 0.5),
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
