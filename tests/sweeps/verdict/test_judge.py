"""The last word, on made-up accuracies: who wins, who is the baseline, what is compared with what."""

import pytest

from pipeline.config import plain_run
from sweeps.report.text import verdict
from sweeps.schema.naming import setting_name
from sweeps.search.record import SearchRecord
from sweeps.statistics.estimates import Estimate
from sweeps.terminal.progress import Progress
from sweeps.verdict import judge as final
from sweeps.verdict.finding import BASELINE, FROZEN, PROMPTED, TOGETHER, TWIN
from sweeps.verdict.judge import best_together
from sweeps.verdict.yardstick import candidates
from tests.sweeps.findings import looked_at, searched
from tests.sweeps.verdict.stand_in import (
    DEFAULTS,
    EPISODES,
    FROZEN_NAMES,
    PLAIN,
    ROUGH,
    STEERED,
    SWEEP,
    StandIn,
    hash_of,
    judged,
)


def test_the_winner_did_all_its_episodes_and_did_them_best():
    found = judged(StandIn())
    assert found.values == STEERED
    assert (len(found.record.trials), found.whole, found.stopped) == (5, 2, 2)
    assert found.best.run.solver.lr == 0.02
    assert found.best.run.episodes.split == "novel"


def test_of_equal_trials_the_earlier_wins():
    trials = [searched(f"0.{i}", {**STEERED, "patches": 1 + i}, [0.5, 0.7]) for i in range(11)]
    assert judged(StandIn(), trials=trials).values["patches"] == 1


def test_nothing_is_chosen_by_the_episodes_that_are_reported():
    session = StandIn()
    judged(session)
    of_split = {"validation": set(), "novel": set()}
    for run, episodes in session.asked:
        if not run.episodes.scores:
            of_split[run.episodes.split].add(tuple(episodes))
    assert of_split == {"validation": {(0, 1), (2, 3), (0, 1, 2, 3)}, "novel": {tuple(range(EPISODES))}}
    reported = [hash_of(run) for run, _ in session.asked if run.episodes.split == "novel"]
    assert len(reported) == len(set(reported)) == 6 + 2 + 1
    fitted, sure = (run.episodes for run, _ in session.asked if run.episodes.scores)
    assert [(one.split, one.seed) for one in (fitted, sure)] == [("validation", 1), ("novel", 0)]  # seed 0 has raced


def test_what_is_compared():
    found = judged(StandIn())
    assert list(found.compared) == [
        "best",
        BASELINE,
        "paper defaults",
        "true masks",
        "contrast prompts",
        "frozen features",
    ]
    assert found.compared["contrast prompts"].run.prompts == found.best.run.prompts.model_copy(
        update={"variant": "contrast"}
    )
    assert found.compared["paper defaults"].run.prompts.alpha == 7
    assert found.compared["true masks"].run.prompts.variant == "masks"
    assert found.compared["true masks"].run.solver.lr == found.best.run.solver.lr
    assert found.compared[FROZEN].run.solver.name == "r2d2"
    assert all(compared.config_hash == hash_of(compared.run) for compared in found.compared.values())
    assert {compared.config_hash for compared in found.compared.values()} < set(found.hashes)
    assert found.best.localisation["prompt_precision"] == 0.5
    assert found.baseline.localisation["prompt_precision"] is None


@pytest.mark.parametrize(("variant", "rows"), [("official", "all"), ("scaled", "patches")])
def test_true_masks_lead_the_attention_that_the_winners_prompts_led(variant, rows):
    prompts = SWEEP.prompts.model_copy(update={"variant": variant, "rows": None})
    found = judged(StandIn(), SWEEP.model_copy(update={"prompts": prompts}))
    assert found.compared["true masks"].run.prompts.rows == rows
    assert ("contrast prompts" in found.compared) == (variant == "scaled")


@pytest.mark.parametrize(("weight", "beside"), [(1.0, True), (0.0, False)])
def test_prompts_that_contrast_are_judged_beside_those_that_do_not_where_there_is_a_difference(weight, beside):
    prompts = SWEEP.prompts.model_copy(update={"variant": "contrast", "contrast": weight})
    found = judged(StandIn(), SWEEP.model_copy(update={"prompts": prompts}))
    assert ("scaled prompts" in found.compared) == beside


def test_frozen_features_have_no_embeddings_to_adapt():
    solver = SWEEP.solver.model_copy(update={"name": "ssf", "blocks": 6, "embeddings": True})
    found = judged(StandIn(), SWEEP.model_copy(update={"solver": solver}))
    assert found.best.run.solver.embeddings
    assert not found.compared["frozen features"].run.solver.embeddings


def test_true_masks_are_left_out_where_they_mean_nothing():
    without = SWEEP.model_copy(update={"final": SWEEP.final.model_copy(update={"masks": False})})
    assert "true masks" not in judged(StandIn(), without).compared
    assert "true masks" not in judged(StandIn(), trials=[searched("0.0", PLAIN, [0.5, 0.9])]).compared


def test_every_problem_is_counted():
    found = judged(StandIn())
    searched = (1 + 1 + 1 + 1 + 2) + (4 + 2 + 4 + 4)  # looks and the race
    # 16 rates, none and PLAIN's own, whose twin at the winner's rate is the last: halved after the first rung.
    assert len(candidates(SWEEP.search, plain_run(SWEEP), found.record)) == 19
    assert found.spent == searched + (19 * 2 + 10 * 2) + len(FROZEN_NAMES) * 4 + (6 + 2 + 2) * EPISODES
    assert found.validation.episodes == 4


def test_a_winner_that_was_named_is_solved_and_counted_once():
    trials, progress = [searched("0.0", PLAIN, [0.5, 0.5]), searched("0.1", DEFAULTS, [0.6, 0.7])], Progress(1)
    found = judged(StandIn(), trials=trials, progress=progress)
    assert found.best.config_hash == found.compared["paper defaults"].config_hash
    yardsticks = 19 * 2 + 10 * 2 + len(FROZEN_NAMES) * 4
    assert found.spent == progress.planned == 2 + 4 + 4 + yardsticks + (5 + 2 + 2) * EPISODES


@pytest.mark.parametrize(
    ("better", "lr", "outcome"), [(-0.05, 0.02, "prompts harm"), (0.0, 0.06, "no winner"), (0.05, 0.02, "prompts help")]
)
def test_prompts_harm_where_the_winner_does_better_without_them(better, lr, outcome):
    """At a rate at which training itself harms, its prompts are not to blame."""
    session, progress = StandIn(better), Progress(1)
    found = judged(session, trials=[searched("0.0", {**STEERED, "lr": lr}, [0.6, 0.7])], progress=progress)
    assert found.outcome == outcome
    assert (TWIN in found.compared) == (outcome != "prompts help")
    assert found.spent == progress.planned
    if outcome == "prompts help":
        assert found.twin is None
        return
    alone = found.compared[TWIN].run
    assert (alone.prompts.alpha, alone.solver.lr) == (0, lr)
    assert hash_of(alone) in found.hashes
    told = sum(ROUGH[episode % 6] for episode in range(EPISODES)) / EPISODES
    assert found.twin.difference.mean == pytest.approx(better + told)
    yardsticks = found.baseline.run.solver.lr  # the nearest of those tried to the best, 0.01
    assert found.compared[TWIN].difference.mean == pytest.approx(abs(yardsticks - 0.01) - (lr - 0.01))


def test_an_episode_that_is_lost_without_prompts_leaves_open_whether_they_harm():
    class Losing(StandIn):
        def solve(self, runs, episodes):
            lost = sum(run.prompts.alpha == 0 and run.solver.lr == 0.02 for run in runs)
            return super().solve(runs, list(episodes)[: len(episodes) - (lost and runs[0].episodes.split == "novel")])

    found = judged(Losing(-0.05), trials=[searched("0.0", STEERED, [0.6, 0.7])])
    assert (found.outcome, found.twin, TWIN in found.compared) == ("no winner", None, False)
    assert "whether its prompts harm is not known" in verdict(found)


@pytest.mark.parametrize("accuracies", [[0.5], [None, None], [0.5, None]])
def test_without_a_whole_trial_there_is_no_winner(accuracies):
    with pytest.raises(RuntimeError, match="no trial did all its episodes without a failure"):
        judged(StandIn(), trials=[searched("0.0", STEERED, accuracies)])


def test_an_audit_has_all_trials_do_all_episodes():
    """0.1 was stopped, and would have won: DEFAULTS have the smaller rate on both splits."""
    audited = SWEEP.model_copy(update={"search": SWEEP.search.model_copy(update={"audit": True})})
    better = [searched("0.0", {**STEERED, "lr": 0.011}, [0.1]), searched("1.0", STEERED, [0.6, 0.7])]
    session = StandIn()
    found = judged(session, audited, better)
    assert found.values == STEERED
    assert found.audit.best.solver.lr == 0.011
    assert (found.audit.searched, found.audit.full) == (2 + 4, 8)
    assert found.audit.lead.mean == pytest.approx(0.009)
    assert found.compared[final.AUDITED].difference.mean == pytest.approx(found.best.difference.mean + 0.009)
    same = judged(StandIn(), audited, better[1:])
    assert (same.audit.lead, same.audit.best) == (None, same.best.run)
    assert judged(StandIn(), trials=better).audit is None


def test_trials_are_told_with_what_they_had_after_each_rung():
    found = judged(StandIn(), trials=[searched("0.0", STEERED, [0.6, 0.7]), searched("0.1", PLAIN, [0.5])])
    curves = {trial.name: [(one.episodes, one.mean, one.ci95) for one in trial.curve] for trial in found.tried}
    assert curves == {"0.0": [(2, 0.6, 0.02), (4, 0.7, 0.02)], "0.1": [(2, 0.5, 0.02)]}
    assert {trial.seconds for trial in found.tried} == {0.5}


def test_a_trial_that_did_not_race_is_told_as_the_model_of_all_looks_has_it():
    """It is no rival of the winner's, whatever is expected of it, and is not asked for episodes that it did not do."""
    away = Estimate(0.2, 0.3, 2)
    expected = looked_at("0.2", {**STEERED, "patches": 9}, [0.9, 1.0], score=0.9, to_winner=away)
    found = judged(StandIn(), trials=[searched("0.0", STEERED, [0.6, 0.7], looks=[0.5] * 3), expected])
    assert found.values == STEERED
    assert [(one.score, one.looks, one.episodes, one.seconds) for one in found.tried] == [
        (0.7, 3, 4, 0.5),
        (0.9, 2, 0, 0.5),
    ]
    assert (found.tried[1].difference, found.tried[1].curve) == (away, ())


OTHER = {**STEERED, "patches": 9}


@pytest.mark.parametrize(
    ("trials", "judged_as"),
    [
        # The best of those that did all episodes; else the one that was stopped with the highest score.
        ([searched("0.1", STEERED, [0.4, 0.6]), searched("0.2", OTHER, [0.6, 0.65])], OTHER),
        ([searched("0.1", STEERED, [0.4], score=0.66), searched("0.2", OTHER, [0.5], score=0.64)], STEERED),
        ([searched("0.1", STEERED, [0.4, 0.6]), searched("0.2", OTHER, [0.5], score=0.69)], STEERED),
    ],
)
def test_where_no_prompts_win_the_best_with_prompts_is_judged_all_the_same(trials, judged_as):
    """Whether prompts help is a question that every sweep answers, to the precision that was asked for."""
    final = SWEEP.final.model_copy(update={"precision": 0.4, "most": 400, "episodes": 12})
    sweep = SWEEP.model_copy(update={"final": final})
    found = judged(StandIn(better=-0.05), sweep, [searched("0.0", PLAIN, [0.5, 0.7]), *trials])
    assert found.outcome == "no prompts"
    assert found.values == PLAIN
    prompted = found.prompted
    assert prompted is found.compared[PROMPTED]
    assert prompted.run.prompts.patches == judged_as["patches"]
    assert prompted.difference.mean == pytest.approx(-0.05 - 0.01 + sum(ROUGH) / 6, abs=1e-3)
    assert prompted.p_holm < 0.05
    assert 100 * prompted.difference.ci95 <= 0.4
    assert prompted.estimate.episodes == found.best.estimate.episodes > 12
    assert found.compared["true masks"].run.prompts.patches == judged_as["patches"]
    assert found.again.run.prompts.patches == judged_as["patches"]
    told = verdict(found)
    assert told.startswith("No setting with prompts did better than the best without")
    assert f"The best with prompts, {setting_name(prompted.run)}, has -5.5 ± 0." in told


def test_where_no_setting_takes_prompts_there_is_nothing_to_judge():
    found = judged(StandIn(), trials=[searched("0.0", PLAIN, [0.5, 0.7])])
    assert (found.prompted, PROMPTED in found.compared) == (None, False)


def test_a_winner_whose_solver_takes_no_prompts_is_no_win_of_prompts():
    frozen = {"name": "r2d2"}
    found = judged(StandIn(), trials=[searched("0.0", frozen, [0.5, 0.7]), searched("0.1", STEERED, [0.5, 0.6])])
    assert found.best.run.prompts.alpha > 0
    assert found.outcome == "no prompts"
    assert found.prompted.run.solver.name == "lora"


def test_the_best_settings_are_judged_together():
    """All that did all episodes of the race, as there are no five; and none where that is not asked for."""
    five = SWEEP.model_copy(update={"final": SWEEP.final.model_copy(update={"ensemble": 5})})
    found = judged(StandIn(), five)
    assert found.compared[TOGETHER].run.ensemble == (STEERED, PLAIN)
    assert found.compared[TOGETHER].run.episodes.part == found.best.run.episodes.part
    assert setting_name(found.compared[TOGETHER].run) == "lora · mean of 2 settings"
    assert TOGETHER not in judged(StandIn()).compared


def test_settings_that_adapt_other_blocks_are_not_judged_together():
    trials = [
        searched(f"0.{i}", {**STEERED, "blocks": 1 + i % 2, "lr": 0.01 + i / 100}, [0.5, 0.7 - i / 100])
        for i in range(6)
    ]
    together = best_together(SearchRecord(tuple(trials), (2, 4)), 2)
    assert [(values["blocks"], values["lr"]) for values in together] == [(1, 0.01), (1, pytest.approx(0.03))]
