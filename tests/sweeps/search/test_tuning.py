from pathlib import Path

import pytest

from pipeline.config import plain_run, with_hyper_parameters
from sweeps.report.text import as_markdown, verdict
from sweeps.schema.loading import load
from sweeps.schema.naming import setting_name
from sweeps.schema.space import Range
from sweeps.schema.sweep import Search
from sweeps.search.tuning import generation_sizes, rung_episodes
from sweeps.sweep import (
    check_sweep,
    description,
    planned_problems,
    stopping_rule,
    sweep_identity,
    wait_for,
)
from sweeps.tracking.store import tracking_uri
from tests.sweeps.findings import SWEEP, finding
from tests.sweeps.tiny import CONFIG, TINY

INPUTS = {"dataset_fingerprint": "images", "backbone_fingerprint": "weights", "precision": "float32"}


def tiny(*overrides):
    return load(CONFIG, [*TINY, *overrides])


@pytest.mark.parametrize(("trials", "generation", "sizes"), [(16, 8, [8, 8]), (7, 3, [3, 3, 1]), (2, 8, [2])])
def test_trials_come_in_generations(trials, generation, sizes):
    assert generation_sizes(Search(space={}, trials=trials, generation=generation)) == sizes


def test_rungs_add_episodes_to_those_before():
    assert rung_episodes(Search(space={}, rungs=(2, 3, 6))) == [[0, 1], [2], [3, 4, 5]]
    assert rung_episodes(Search(space={}, rungs=(3,))) == [[0, 1, 2]]


def test_planned_problems_by_hand():
    larger = tiny("search.trials=16", "search.generation=8", "search.rungs=[16, 32, 64]", "final.episodes=200")
    # two generations of (8 x 16 + 4 x 16 + 2 x 32); the twin; best, baseline, frozen, one named, masks; two again
    assert planned_problems(larger, larger.search) == 2 * (128 + 64 + 64) + 64 + (5 + 2) * 200
    odd = tiny("search.trials=5", "search.generation=3", "search.keep=0.3", "final.masks=false", "final.again=false")
    # (3 x 2 + 1 x 2) + (2 x 2 + 1 x 2); twin; best, baseline, frozen, one named
    assert planned_problems(odd, odd.search) == 8 + 6 + 4 + 4 * 6


NAMES = [
    ({}, "lora · lambda 1 · alpha 1 · tau 1 · P 6 · lr 0.01"),
    (
        {"lambda": 0.12345, "alpha": 7, "patches": 12, "lr": 2e-3},
        "lora · lambda 0.123 · alpha 7 · tau 1 · P 12 · lr 0.002",
    ),
    ({"alpha": 0}, "lora · no prompts · lr 0.01"),
    ({"variant": "masks", "tau": 0.5}, "lora · true masks · alpha 1 · tau 0.5 · lr 0.01"),
    ({"name": "protonet"}, "protonet · frozen features"),
]


@pytest.mark.parametrize(("values", "name"), NAMES, ids=[name for _, name in NAMES])
def test_a_setting_in_a_line(values, name):
    assert setting_name(with_hyper_parameters(plain_run(tiny()), values)) == name


def test_a_sweep_is_told_from_another_by_what_can_change_its_course():
    def identity(*overrides, **inputs):
        return sweep_identity(tiny(*overrides), {**INPUTS, **inputs})

    same = identity()
    for override in ("compute.workers=1", "compute.order_seconds=9", "home=elsewhere", "tracking_uri=http://host:1"):
        assert identity(override) == same, override
    changed = [
        identity(override)
        for override in (
            "name=other",
            "episodes.seed=1",
            "solver.lr=0.5",
            "search.seed=1",
            "search.trials=5",
            "search.rungs=[2, 5]",
            "search.space.tau.high=2",
            "search.first.paper defaults.alpha=6",
            "final.episodes=7",
            "prompts.rows=all",
        )
    ]
    changed += [identity(**{name: "others"}) for name in ("dataset_fingerprint", "backbone_fingerprint", "precision")]
    assert len({same, *changed}) == 1 + len(changed)


def test_mlflow_is_in_the_home_unless_it_is_elsewhere(tmp_path):
    assert tracking_uri(tiny(f"home={tmp_path}")) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_uri(tiny("tracking_uri=http://host:5000")) == "http://host:5000"


def test_the_environment_says_where_mlflow_and_the_home_are_unless_the_configuration_does(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"^tracking_uri \(or MLFLOW_TRACKING_URI\) must be set where home is on an"):
        tracking_uri(tiny("home=s3://bucket/fpt"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://head:5000")
    assert tracking_uri(tiny("home=s3://bucket/fpt")) == "http://head:5000"
    assert tracking_uri(tiny("tracking_uri=http://host:5000")) == "http://host:5000"
    assert tiny().home == "runs"
    monkeypatch.setenv("FPT_HOME", str(tmp_path))
    assert tiny().home == str(tmp_path)
    assert tiny("home=elsewhere").home == "elsewhere"


class Away:
    """Stands in for a tracker: how many calls are left each time it is asked."""

    tracking_uri = "http://me:secret@host:5000"

    def __init__(self, *left):
        self.left, self.waited = list(left), []

    def flush(self, seconds):
        self.waited.append(seconds)
        return self.left.pop(0)


def test_the_end_of_a_sweep_waits_for_mlflow_and_says_so(capsys):
    wait_for(Away(0))
    assert capsys.readouterr().err == ""
    wait_for(Away(3, 0))
    assert capsys.readouterr().err == "fpt: MLflow does not answer; waiting 10 minutes for it\n"
    away = Away(3, 2)
    wait_for(away)
    said = capsys.readouterr().err
    assert "2 entries are not in MLflow (http://me:***@host:5000)" in said
    assert "the same command records them" in said
    assert away.waited == [10.0, 600]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("search=null", "search must be in CONFIG for a sweep but is missing"),
        ("search.split=novel", "search.split must differ from episodes.split, .* but both are 'novel'"),
        ("search.split=base", "search.split must be one of validation, novel but got 'base'"),
        ("episodes.way=198", "episodes.way must be at most 197, the classes of split validation, but got 198"),
        ("episodes.query=8", r"shot \+ episodes.query must be at most 8, .* but got 1 \+ 8"),
        ("search.space.patches.high=65", "patches must be at most 64, the patches of vit_micro_glyphs, but got 65"),
        ("search.first.mine={patches: 70}", "patches must be at most 64, .* but got 70"),
        ("tracking_uri=ftp://x/y", "tracking_uri must be one that MLflow can reach but 'ftp://x/y' failed: .*"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_written(tmp_path, override, sentence):
    home = tmp_path / "home"
    with pytest.raises(ValueError, match=f"{sentence}$"):
        check_sweep(tiny(f"home={home}", override))
    assert list(tmp_path.iterdir()) == []


def test_what_is_right_passes_and_writes_nothing(tmp_path):
    sweep = tiny(f"home={tmp_path / 'home'}")
    assert check_sweep(sweep) == sweep.search
    assert list(tmp_path.iterdir()) == []


def test_the_ends_of_every_range_are_checked_together():
    sweep = tiny().model_copy(
        update={"search": tiny().search.model_copy(update={"space": {"blocks": blocks_up_to(7)}})}
    )
    with pytest.raises(ValueError, match=r"solver\.blocks must be at most 6"):
        check_sweep(sweep)


def blocks_up_to(high):
    return Range(low=2, high=high, integer=True)


def test_a_search_stops_trials_as_it_is_told():
    better = {"0.0": [0.9, 0.8, 0.9, 0.7], "0.1": [0.8, 0.8, 0.8, 0.7], "0.2": [0.1, 0.0, 0.2, 0.1]}
    assert stopping_rule(tiny().search)(1, better) == {"0.0", "0.1"}
    race = tiny("search.stop=racing", "search.delta=0.2").search
    assert stopping_rule(race)(1, better, [0.9, 0.9, 0.9, 0.8]) == {"0.0", "0.1"}
    assert stopping_rule(race)(1, {"0.2": better["0.2"]}, better["0.0"]) == set()
    assert planned_problems(tiny("search.stop=racing"), race) == 4 * 4 + 4 + (5 + 2) * 6


def test_a_description_begins_with_the_verdict_and_what_its_files_are():
    report = as_markdown(finding(), SWEEP)
    told = description(report, [Path("x/report.md"), Path("x/best.yaml"), Path("x/slices.png")])
    first, second, rest = told.split("\n\n", 2)
    assert first == verdict(finding())
    assert second == (
        "The winner is the artifact `best.yaml`, which runs again with `fpt run best.yaml`; others: report.md, "
        "slices.png."
    )
    assert report == f"{first}\n\n{rest}"
