import pytest
from scipy import stats

from sweeps.statistics.rows import METRICS, summary


def row(accuracy, precision=None, seconds=1.0):
    return {
        "accuracy": accuracy,
        "queries": 10,
        "failed": accuracy is None,
        "seconds": seconds,
        "prompt_precision": precision,
        "prompt_chance": None,
        "attention_on_key_before": 0.25,
        "attention_on_key_after": 0.5,
    }


def test_a_summary_by_hand():
    rows = [row(0.5, 0.25, 1), row(0.7, None, 2), row(0.9, 0.75, 6)]
    found = summary(rows)
    assert set(found) == set(METRICS)
    assert (found["episodes"], found["failed"], found["seconds_per_episode"]) == (3, 0, 3.0)
    assert found["accuracy"] == pytest.approx(0.7)
    assert found["ci95"] == pytest.approx(stats.t.ppf(0.975, 2) * 0.2 / 3**0.5)
    assert (found["prompt_precision"], found["prompt_chance"]) == (0.5, None)
    assert (found["attention_on_key_before"], found["attention_on_key_after"]) == (0.25, 0.5)


def test_one_failed_episode_leaves_no_accuracy():
    found = summary([row(0.5), row(None), row(None)])
    assert (found["failed"], found["accuracy"], found["ci95"]) == (2, None, None)
