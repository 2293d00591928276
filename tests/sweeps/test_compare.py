"""The numbers of two configurations on the episodes that a ledger has of both."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from pipeline.config import plain_run
from pipeline.identity import METHOD_VERSION, identity
from sweeps.compare import differing_fields
from sweeps.statistics.estimates import estimate, paired_difference, paired_p_value
from tests.sweeps.ledgers import FOUND, OURS, THEIRS, WITH, WITHOUT, answered, kept, refused, with_sets

STEP = 1 / 9  # 3-way, 3 queries a class


def test_the_numbers_are_those_of_common_episodes(compare):
    a, b = kept(WITH, OURS), kept(WITHOUT, THEIRS)
    found = json.loads(answered(compare(a, b, "--json")).splitlines()[-1])
    judged = paired_difference(OURS, THEIRS, STEP)
    assert found["difference"] == pytest.approx(judged.mean)
    assert found["ci95"] == pytest.approx(judged.ci95)
    assert found["p"] == pytest.approx(paired_p_value(OURS, THEIRS, STEP))
    assert found["a"] == {
        "config_hash": a,
        "setting": "lora · lambda 1 · alpha 1 · tau 1 · P 6 · lr 0.01",
        "episodes": 40,
        "failed": 0,
        "accuracy": pytest.approx(np.mean(OURS)),
        "ci95": pytest.approx(estimate(OURS, STEP).ci95),
    }
    assert found["b"]["setting"] == "lora · no prompts · lr 0.01"
    assert (found["common"], found["common_failed"], found["verdict"]) == (40, 0, "A is better")
    prompts = identity(plain_run(WITH), FOUND)["prompts"]
    assert found["differing"] == {"prompts": {"a": prompts, "b": None}}


def test_only_common_episodes_count(compare):
    a, b = kept(WITH, [0.0] * 10 + OURS), kept(WITHOUT, [*THEIRS, 1.0, 1.0], first=10)
    found = json.loads(answered(compare(a, b, "--json")))
    assert (found["a"]["episodes"], found["b"]["episodes"], found["common"]) == (50, 42, 40)
    assert found["difference"] == pytest.approx(np.mean(OURS) - np.mean(THEIRS))
    assert found["p"] == pytest.approx(paired_p_value(OURS, THEIRS, STEP))
    assert found["b"]["accuracy"] == pytest.approx(np.mean(THEIRS))


def test_the_text(compare):
    a, b = kept(WITH, [0.5, 0.75, 1.0]), kept(with_sets("prompts.tau=2", "solver.lr=0.02"), [0.5, 0.5, 0.5, 0.5])
    equal = 100 * stats.t.ppf(0.975, 2) * STEP * 2 / 3  # as if two queries more were won and two lost
    half = 100 * stats.t.ppf(0.975, 2) * 0.25 / 3**0.5
    p = stats.ttest_1samp([0.0, 0.25, 0.5], 0).pvalue
    assert answered(compare(a, b)).splitlines() == [
        f"A: lora · lambda 1 · alpha 1 · tau 1 · P 6 · lr 0.01 ({a}): 75.0 ± {half:.1f} %, n = 3",
        f"B: lora · lambda 1 · alpha 1 · tau 2 · P 6 · lr 0.02 ({b}): 50.0 ± {equal:.1f} %, n = 3",
        "Episodes, split novel, 3-way 1-shot: A has 3 (0 failed), B has 4 (0 failed), 3 in common",
        f"A - B: +25.0 ± {half:.1f} points (paired, 95 %), p = {p:.2g}: "
        "no difference can be told at this number of episodes",
        "prompts.tau: A 1, B 2",
        "solver.lr: A 0.01, B 0.02",
    ]


def test_the_other_side_may_be_better(compare):
    a, b = kept(WITHOUT, THEIRS), kept(WITH, OURS)
    assert ": B is better\n" in answered(compare(a, b))


def test_equal_results_have_no_difference_but_are_not_certain(compare):
    found = json.loads(answered(compare(kept(WITH, OURS), kept(WITHOUT, OURS), "--json")))
    assert (found["difference"], found["p"]) == (0, 1)
    assert found["ci95"] == pytest.approx(stats.t.ppf(0.975, 39) * STEP * 2 / 40)
    assert found["verdict"] == "no difference can be told at this number of episodes"


def test_a_single_episode_has_no_interval(compare):
    a, b = kept(WITH, [0.75]), kept(WITHOUT, [0.5])
    said = answered(compare(a, b))
    assert "75.0 %, n = 1\n" in said
    assert "A - B: +25.0 points, no interval with a single episode: no difference can be told" in said
    found = json.loads(answered(compare(a, b, "--json")))
    assert (found["difference"], found["ci95"], found["p"], found["a"]["ci95"]) == (0.25, None, None, None)


@pytest.mark.parametrize("b_first", [False, True])
def test_a_common_episode_that_failed_withholds_the_difference(compare, b_first):
    a, b = kept(WITH, [0.9, None, 0.9]), kept(WITHOUT, [0.5, 0.5, 0.5, None])
    typed = (b, a) if b_first else (a, b)
    failing, other = ("b", "a") if b_first else ("a", "b")
    said = answered(compare(*typed))
    assert "A - B: no difference is told: 1 of the common episodes failed, and without them" in said
    assert f"({a}): failed, n = 3\n" in said
    found = json.loads(answered(compare(*typed, "--json")))
    assert (found["difference"], found["ci95"], found["p"], found["common_failed"]) == (None, None, None, 1)
    assert (found[failing]["failed"], found[failing]["accuracy"]) == (1, None)
    assert (found[other]["failed"], found[other]["accuracy"]) == (1, 0.5)


def test_an_episode_that_failed_beside_the_common_ones_is_told(compare):
    a, b = kept(WITH, [*OURS, None]), kept(WITHOUT, THEIRS)
    said = answered(compare(a, b))
    assert "A has 41 (1 failed), B has 40 (0 failed), 40 in common" in said
    assert "A is better" in said


def test_no_common_episodes_are_refused(compare):
    a, b = kept(WITH, OURS), kept(WITHOUT, THEIRS, first=40)
    refused(compare(a, b), "A and B must have episodes in common but have none: the ledger holds 40 of A")
    refused(compare(a, kept(with_sets("prompts.tau=2"), [])), "A and B must have episodes in common but have none")


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("episodes.split (novel and validation)", "episodes.split=validation"),
        ("episodes.way (3 and 4)", "episodes.way=4"),
        ("episodes.shot (1 and 2)", "episodes.shot=2"),
        ("episodes.query (3 and 5)", "episodes.query=5"),
        ("episodes.seed (0 and 1)", "episodes.seed=1"),
    ],
)
def test_other_episodes_are_never_paired(compare, field, changed):
    a, b = kept(WITH, OURS), kept(with_sets(changed), OURS)
    refused(compare(a, b), f"A and B must draw the same episodes but differ in {field}: the same number is another")


def test_other_images_or_methods_are_never_paired(compare):
    a = kept(WITH, OURS)
    refused(
        compare(a, kept(WITHOUT, OURS, ("other images", "weights", "float32"))),
        "A and B must draw the same episodes but differ in dataset (images and other images)",
    )
    refused(
        compare(a, kept(WITHOUT, OURS, method=METHOD_VERSION - 1)),
        f"A and B must draw the same episodes but differ in method ({METHOD_VERSION} and {METHOD_VERSION - 1})",
    )


def test_other_weights_and_precisions_are_paired_and_named(compare):
    a, b = kept(WITH, OURS), kept(WITH, THEIRS, ("images", "other", "bfloat16"))
    said = answered(compare(a, b)).splitlines()
    assert said[-2:] == ["backbone.fingerprint: A weights, B other", "backbone.precision: A float32, B bfloat16"]


def test_nothing_but_the_ledger_is_needed():
    code = "import sys, sweeps.cli, sweeps.compare; sys.exit(bool({'ray', 'mlflow', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fields_differ_where_one_has_none():
    a, b = {"x": {"y": 1, "z": 2}, "same": 3}, {"x": {"y": 1.0, "w": None}, "same": 3}
    assert differing_fields(a, b) == {"x.z": (2, None)}
    assert differing_fields({"x": {"y": 1}}, {"x": None}) == {"x": ({"y": 1}, None)}
