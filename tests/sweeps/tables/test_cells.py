"""Cells from rows, by hand and against numpy and scipy."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from sweeps.statistics.estimates import Estimate
from sweeps.tables.cells import FIELDS, Cell, as_records, cells_of, judged, means_of, metrics_of
from sweeps.tables.plan import Pair, Place
from tests.sweeps.tables.examples import CELLS, RUN, TWO, cell

HERE = Place("vit_micro_glyphs", "glyphs", RUN, "")


def rows(*accuracies):
    return [{"accuracy": accuracy, "failed": accuracy is None, "queries": 100} for accuracy in accuracies]


def test_cells_by_hand():
    pair, own = Pair("lora", (RUN, RUN), 3), [rows(0.5, 0.6, 0.7), rows(0.6, 0.8, 0.7)]
    without, prompted = cells_of(replace(HERE, dataset="cub"), pair, own, ["a", "b"])
    assert {(cell.backbone, cell.dataset) for cell in (without, prompted)} == {("vit_micro_glyphs", "cub")}
    assert (without.prompts, without.shot, without.episodes, without.config_hash) == (False, 1, 3, "a")
    assert (prompted.prompts, prompted.config_hash) == (True, "b")
    assert (without.estimate.mean, prompted.estimate.mean) == pytest.approx((0.6, 0.7))
    assert (without.difference, prompted.difference.mean) == (None, pytest.approx(0.1))
    assert prompted.difference.ci95 == pytest.approx(4.302653 * 0.1 / 3**0.5)  # Student's t, 2 degrees of freedom
    assert (without.p_value, prompted.p_value) == (
        None,
        pytest.approx(ttest_rel([0.6, 0.8, 0.7], [0.5, 0.6, 0.7]).pvalue),
    )


def test_a_failed_episode_leaves_no_number():
    for own, missing in (
        ([rows(0.5, None), rows(0.5, 0.5)], [True, False]),
        ([rows(0.5, 0.5), rows(None, 0.5)], [False, True]),
        ([[], []], [True, True]),  # all of them lost
    ):
        cells = cells_of(HERE, Pair("lora", (RUN, RUN), 2), own, ["a", "b"])
        assert [cell.estimate is None for cell in cells] == missing
        assert (cells[1].difference, cells[1].p_value) == (None, None)


def test_one_episode_has_a_difference_and_no_p_value():
    _, prompted = cells_of(HERE, Pair("lora", (RUN, RUN), 1), [rows(0.5), rows(0.6)], ["a", "b"])
    assert (prompted.difference.mean, prompted.p_value) == (pytest.approx(0.1), None)


def test_p_values_are_corrected_over_the_whole_table():
    gain = Estimate(0.1, 0.05, 200)
    found = {("a", 1): 0.01, ("a", 5): 0.04, ("b", 1): 0.03, ("b", 5): 0.005}
    cells = [
        one
        for (dataset, shot), p in found.items()
        for one in (cell("lora", shot, 0.5, dataset=dataset), cell("lora", shot, 0.6, gain, dataset=dataset, p=p))
    ]
    whole = judged([*cells, cell("knn", 1, 0.5, dataset="a")])
    # In rising order: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04 raised to what comes before it.
    assert [one.p_holm for one in whole if one.p_value is not None] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert {one.p_holm for one in whole if one.p_value is None} == {None}


def test_means_over_data_sets_against_numpy():
    datasets, shots = ("a", "b", "c"), (1, 5)
    accuracies = {(d, s): (0.5 + 0.07 * i + 0.1 * (s == 5)) for i, d in enumerate(datasets) for s in shots}
    gains = {key: Estimate(0.1 - 0.3 * value**2, 0.02 * value, 200) for key, value in accuracies.items()}
    cells = [
        one
        for (dataset, shot), accuracy in accuracies.items()
        for one in (
            cell("knn", shot, accuracy, dataset=dataset, episodes=400),
            cell("lora", shot, accuracy, dataset=dataset),
            cell("lora", shot, accuracy + gains[dataset, shot].mean, gains[dataset, shot], dataset=dataset, p=0.01),
        )
    ]
    means = means_of(cells)
    assert [(one.dataset, one.solver, one.shot, one.prompts, one.episodes) for one in means] == [
        ("mean", solver, shot, prompts, episodes)
        for shot in shots
        for solver, prompts, episodes in (("knn", False, 1200), ("lora", False, 600), ("lora", True, 600))
    ]
    for one in means:
        own = [cell for cell in cells if (cell.solver, cell.shot, cell.prompts) == (one.solver, one.shot, one.prompts)]
        for field in ("estimate", "difference")[: 1 + one.prompts]:
            of_each, mean = [getattr(cell, field) for cell in own], getattr(one, field)
            assert mean.mean == pytest.approx(np.mean([single.mean for single in of_each]))
            # Half an interval is proportional to a standard deviation, and variances of independent means add up.
            assert mean.ci95 == pytest.approx(np.linalg.norm([single.ci95 for single in of_each]) / 3)
            assert mean.episodes == one.episodes
        assert (one.p_value, one.p_holm, one.config_hash) == (None, None, None)
        assert one.prompts or one.difference is None


def test_there_is_no_mean_of_one_data_set_or_of_what_is_missing():
    assert means_of(CELLS) == []
    gain = Estimate(0.1, 0.05, 200)
    lone = [cell("lora", 1, 0.5, dataset="a"), cell("lora", 1, 0.6, gain, dataset="a"), cell("lora", 1, 0.7)]
    assert [(one.prompts, one.estimate.mean) for one in means_of(lone)] == [(False, pytest.approx(0.6))]
    (failed,) = means_of([cell("lora", 1, 0.5, dataset="a"), cell("lora", 1, None)])
    assert (failed.estimate, failed.difference) == (None, None)


def test_mlflow_s_names():
    cells = [cell("LoRA (r4)", 1, 0.5), cell("LoRA (r4)", 1, 0.6, Estimate(0.1, 0.01, 200), p=0.03)]
    assert metrics_of(judged(cells)) == {
        "LoRA _r4_/1-shot/without prompts": 0.5,
        "LoRA _r4_/1-shot/with prompts": 0.6,
        "LoRA _r4_/1-shot/difference": 0.1,
        "LoRA _r4_/1-shot/p_holm": 0.03,
    }
    two = [cell("knn", 1, 0.5), cell("knn", 1, 0.7, dataset="pets & co")]
    assert metrics_of(judged(two)) == {
        "cub/knn/1-shot/without prompts": 0.5,
        "pets _ co/knn/1-shot/without prompts": 0.7,
        "mean/knn/1-shot/without prompts": pytest.approx(0.6),
    }
    assert metrics_of([cell("knn", 1, 0.5), replace(cell("knn", 1, 0.7), backbone="Swin-T")]) == {
        "vit/knn/1-shot/without prompts": 0.5,
        "Swin-T/knn/1-shot/without prompts": 0.7,
    }


def test_records_hold_every_field():
    record = as_records(TWO)[2]
    assert tuple(record) == FIELDS
    of_cell = ["vit", "cub", "my_lora", 1, True, 200, 0.64, 0.01]
    assert list(record.values()) == [*of_cell, 0.04, 0.012, 0.001, 0.001, "my_lora 1"]


def test_records_are_json_whatever_the_numbers():
    lone = Cell("vit", "cub", "lora", 1, True, 1, "a", Estimate(1.0, float("inf"), 1), Estimate(0.0, float("inf"), 1))
    (record,) = json.loads(json.dumps(as_records([lone]), allow_nan=False))
    assert (record["ci95"], record["difference"], record["difference_ci95"]) == (None, 0.0, None)
    assert (record["p_value"], record["p_holm"]) == (None, None)
