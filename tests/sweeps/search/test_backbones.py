"""Which backbones go on, by a session that solves by formula."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from fpt.registry import SOLVERS
from pipeline.config import BACKBONE, plain_run
from sweeps.schema.loading import load
from sweeps.search import backbones
from sweeps.search.backbones import FIRST, RUNGS, frozen_classifiers, narrowed, problems_to_race, race_backbones
from sweeps.search.plan import plan_of
from sweeps.statistics.racing import in_the_race
from tests.sweeps.tiny import CONFIG, TINY

LABELS = ("vit_micro_glyphs", "near", "far")
OVERRIDES = (
    "backbones={near: {weights: /w/near.safetensors}, far: {weights: /w/far.safetensors}}",
    f"search.space.backbone={{choices: [{', '.join(LABELS)}]}}",
)
SWEEP = load(CONFIG, [*TINY, *OVERRIDES])
SEARCHED = plain_run(SWEEP, "validation")
FROZEN = [name for name, solver in SOLVERS.items() if not solver.trained]
LEVELS = {True: 0.8, "/w/near.safetensors": 0.79, "/w/far.safetensors": 0.4}


class StandIn:
    """Accuracies are a level for each backbone, a little less for each classifier but r2d2, and chance; `failing` are
    the weights of a backbone whose episodes fail.
    """

    def __init__(self, levels=LEVELS, failing=None, seed=0):
        self.levels, self.failing, self.seed, self.asked = levels, failing, seed, []

    def solve(self, runs, episodes):
        self.asked.append((len(runs), list(episodes)))
        return [[self.row(run, episode) for episode in episodes] for run in runs]

    def sampler(self, run):
        return SimpleNamespace(step=1 / (run.episodes.way * run.episodes.query))

    def row(self, run, episode):
        if run.backbone.weights == self.failing:
            return {"accuracy": None}
        place = FROZEN.index(run.solver.name)
        chance = np.random.default_rng([self.seed, episode, place]).normal(0, 0.05)
        level = self.levels[run.backbone.weights] - 0.02 * (run.solver.name != "r2d2")
        return {"accuracy": float(np.clip(level + chance, 0, 1))}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(backbones, "shown", lambda progress, session: nullcontext())


def raced(session, **changed):
    return race_backbones(SWEEP.search.model_copy(update=changed), SEARCHED, session)


def test_a_backbone_that_is_clearly_behind_is_left_out_and_one_that_is_near_stays():
    session = StandIn()
    found = raced(session)
    assert [(one.label, one.stays) for one in found.raced] == [
        ("vit_micro_glyphs", True),
        ("near", True),
        ("far", False),
    ]
    assert (found.best.label, found.best.classifier, found.best.behind) == ("vit_micro_glyphs", "r2d2", None)
    near, far = found.raced[1:]
    assert near.behind.mean == pytest.approx(-0.01)  # chance is that of the episode, and cancels
    assert far.behind.mean < -0.3
    assert far.accuracy.episodes < near.accuracy.episodes == RUNGS[-1]
    assert [one.backbone.weights for one in found.raced] == list(LEVELS)
    # All classifiers on all backbones come first, and those that the rule leaves, on the episodes of nothing else.
    assert session.asked[0] == (3 * len(FROZEN), list(range(FIRST, FIRST + RUNGS[0])))
    assert [episodes[0] - FIRST for _, episodes in session.asked] == [0, *RUNGS[:-1]]
    assert found.problems == sum(count * len(episodes) for count, episodes in session.asked)
    assert found.problems < problems_to_race(SWEEP.search) == 3 * len(FROZEN) * RUNGS[-1]
    plan = plan_of(SWEEP.search)
    assert max(plan.episodes(len(plan.generations))) < FIRST


def test_a_backbone_stays_as_long_as_racing_keeps_one_of_its_classifiers():
    """By the rule itself, on all accuracies of the first rung."""
    session = StandIn({True: 0.9, "/w/near.safetensors": 0.7, "/w/far.safetensors": 0.2})
    found = raced(session)
    settings = frozen_classifiers(SWEEP.search.space)
    levels = dict(zip(LABELS, session.levels.values(), strict=True))
    for rung in RUNGS:
        of_all = [
            [
                np.clip(
                    levels[values[BACKBONE]]
                    - 0.02 * (values["name"] != "r2d2")
                    + np.random.default_rng([0, FIRST + episode, FROZEN.index(values["name"])]).normal(0, 0.05),
                    0,
                    1,
                )
                for episode in range(rung)
            ]
            for values in settings
        ]
        kept = {settings[place][BACKBONE] for place in in_the_race(of_all, len(settings), SWEEP.search.delta)}
        if len(kept) < 3:
            break
    assert {one.label for one in found.raced if one.accuracy.episodes > rung or one.stays} <= kept
    assert found.best.label == "vit_micro_glyphs"


def test_the_race_ends_when_one_is_left():
    session = StandIn({True: 0.9, "/w/near.safetensors": 0.3, "/w/far.safetensors": 0.3})
    found = raced(session)
    assert [one.label for one in found.left] == ["vit_micro_glyphs"]
    assert len(session.asked) < len(RUNGS)


def test_the_best_of_equals_is_hardly_ever_left_out():
    """In 40 races of three equal backbones none goes: the promise is one in twenty at most."""
    equal = dict.fromkeys(LEVELS, 0.6)
    assert all(len(raced(StandIn(equal, seed=seed)).left) == 3 for seed in range(40))


def test_one_whose_episodes_fail_goes_and_where_all_do_nothing_is_left():
    found = raced(StandIn(failing=True))
    assert [one.label for one in found.out] == ["vit_micro_glyphs", "far"]
    assert found.raced[0].accuracy is None
    assert found.best.label == "near"
    with pytest.raises(RuntimeError, match="no classifier on frozen features did all its episodes"):
        race_backbones(SWEEP.search, SEARCHED, AllFail())


class AllFail(StandIn):
    def row(self, run, episode):
        return {"accuracy": None}


def test_without_a_race_all_are_searched():
    session = StandIn()
    found = raced(session, frozen_race=False)
    assert ([one.label for one in found.left], session.asked, found.problems) == (list(LABELS), [], 0)
    assert found.best.label == LABELS[0]


def test_named_settings_are_on_the_best_backbone_and_go_with_theirs():
    first = {"a": {"alpha": 0, "lr": 0.01}, "b": {"alpha": 0, "lr": 0.02, BACKBONE: "far"}}
    search = SWEEP.search.model_copy(update={"first": first, "warm": ({"lr": 0.03}, {"lr": 0.01, BACKBONE: "far"})})
    left = narrowed(search, raced(StandIn()))
    assert left.space[BACKBONE].choices == ("vit_micro_glyphs", "near")
    assert left.first == {"a": {"alpha": 0, "lr": 0.01, BACKBONE: "vit_micro_glyphs"}}
    assert left.warm == ({"lr": 0.03, BACKBONE: "vit_micro_glyphs"},)
    assert search.space[BACKBONE].choices == LABELS


def test_without_backbones_classifiers_name_none():
    assert frozen_classifiers({}) == [{"name": name, "embeddings": False} for name in FROZEN]
    assert problems_to_race(load(CONFIG, TINY).search) == 0
