"""What prompts have to beat, on made-up accuracies."""

import pytest

from pipeline.config import plain_run
from sweeps.report.text import verdict
from sweeps.schema.naming import setting_name
from sweeps.schema.space import Choices
from sweeps.search.plan import plan_of
from sweeps.search.record import SearchRecord
from sweeps.verdict.finding import BASELINE, FROZEN, TOGETHER
from sweeps.verdict.yardstick import candidates, most_problems
from tests.sweeps.findings import looked_at, searched
from tests.sweeps.verdict.stand_in import FROZEN_NAMES, PLAIN, STEERED, SWEEP, StandIn, judged


def test_the_baseline_has_chosen_its_rate_too():
    """On validation episodes 0.01 does better than the winner's own 0.02."""
    found = judged(StandIn())
    assert (found.baseline.run.prompts.alpha, found.baseline.run.solver.lr) == (0.0, 0.01)
    untried = judged(StandIn(), trials=[searched("0.0", STEERED, [0.6, 0.7])])
    assert untried.baseline.run.prompts.alpha == 0.0
    assert abs(untried.baseline.run.solver.lr - 0.01) < 0.01  # of sixteen rates between 0.0002 and 0.05


def test_a_setting_without_prompts_is_a_candidate_if_it_raced():
    """Of many that were looked at, only those that raced have been judged on episodes that others did too."""
    trials = [
        searched("0.0", STEERED, [0.6, 0.7]),
        searched("0.1", PLAIN, [0.5]),
        looked_at("0.2", {**PLAIN, "lr": 0.0123}, [0.9], score=0.8),
    ]
    rates = [one["lr"] for one in candidates(SWEEP.search, plain_run(SWEEP), SearchRecord(tuple(trials), (2, 4)))]
    assert 0.01 in rates
    assert 0.0123 not in rates


def test_a_rate_of_zero_is_a_choice_too():
    """Where fine-tuning harms, what it starts from is the baseline, at no rate at all."""
    found = judged(StandIn(frozen=0.03))
    assert found.compared[BASELINE].run.solver.epochs == 0
    assert "no prompts · not trained" in setting_name(found.compared[BASELINE].run)


@pytest.mark.parametrize(
    ("frozen", "harder", "easier", "apart"), [(-0.02, BASELINE, FROZEN, 0.02), (0.03, FROZEN, BASELINE, 0.01)]
)
def test_the_verdict_is_against_the_harder_yardstick_and_tells_both(frozen, harder, easier, apart):
    found = judged(StandIn(frozen=frozen))
    assert found.yardstick == harder
    assert found.baseline is found.compared[harder]
    assert found.compared[FROZEN].run.solver.name == "r2d2"  # the best of all on validation episodes
    assert found.compared[easier].difference.mean == pytest.approx(-apart)
    assert found.other.difference.mean == pytest.approx(found.best.difference.mean + apart)
    told = verdict(found)
    assert (" points against no prompts (paired" in told) == (harder == BASELINE)
    assert (" points against frozen features (r2d2) (paired" in told) == (harder == FROZEN)
    assert told.endswith("prompts help." if frozen < 0 else "no difference can be told.")


def test_prompts_that_only_mend_what_fine_tuning_harms_do_not_help():
    """They gain two points over fine-tuning, which is three below the features that it starts from."""
    found = judged(StandIn(better=0.03, frozen=0.03))
    assert found.other.difference.mean > 0
    assert found.outcome != "prompts help"


BACKBONES = ("vit_micro_glyphs", "vit_tiny_patch16_224")
SEVERAL = {**SWEEP.search.space, "backbone": Choices(choices=BACKBONES)}


class Better(StandIn):
    """Without prompts, and frozen, the second backbone is better by three points; with prompts the first is."""

    def row(self, run, episode):
        row = super().row(run, episode)
        steered = run.solver.name == "lora" and run.prompts.alpha > 0
        gain = 0.03 * (run.backbone.name == BACKBONES[1] and not steered)
        return {**row, "accuracy": row["accuracy"] + gain, "class_hits": [3 * (row["accuracy"] + gain)] * 3}


def test_prompts_have_to_beat_the_best_without_them_on_any_backbone_left():
    search = SWEEP.search.model_copy(update={"space": SEVERAL, "first": {}})
    trials = [
        searched("0.0", {**STEERED, "backbone": BACKBONES[0]}, [0.6, 0.7]),
        searched("0.1", {**STEERED, "lr": 0.03, "backbone": BACKBONES[0]}, [0.6, 0.69]),
        searched("0.2", {**STEERED, "lr": 0.04, "backbone": BACKBONES[1]}, [0.6, 0.68]),
    ]
    final = SWEEP.final.model_copy(update={"ensemble": 5})
    found = judged(Better(), SWEEP.model_copy(update={"search": search, "final": final}), trials)
    assert found.best.run.backbone.name == found.about.backbone == BACKBONES[0]
    assert {found.compared[name].run.backbone.name for name in (BASELINE, FROZEN)} == {BACKBONES[1]}
    off = abs(found.baseline.run.solver.lr - 0.01)  # of the sixteen rates, the nearest to the best
    assert found.best.difference.mean == pytest.approx((0.05 + 0.005 - 0.01) - (0.03 - off))
    # What is judged together is on the winner's backbone.
    together = found.compared[TOGETHER].run
    assert together.backbone.name == BACKBONES[0]
    assert [values["lr"] for values in together.ensemble] == [0.02, 0.03]
    asked = candidates(search, plain_run(SWEEP), SearchRecord(tuple(trials), (2, 4)))
    assert [sum(one["backbone"] == name for one in asked) for name in BACKBONES] == [18, 18]
    plan = plan_of(search)
    assert most_problems(search, plan) == (36 * 2 + 18 * 2) + 2 * len(FROZEN_NAMES) * 4
