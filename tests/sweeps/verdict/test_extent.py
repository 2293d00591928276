"""What the final evaluation covers, on made-up accuracies."""

import pytest

from sweeps.terminal.progress import Progress
from tests.sweeps.verdict.stand_in import EPISODES, SWEEP, StandIn, hash_of, judged


@pytest.mark.parametrize(
    ("classes", "first", "other", "kind"),
    [
        (100, "first classes", "other classes", "other classes"),
        (59, "first pictures", "other pictures", "other pictures of the same classes"),
    ],
)
def test_the_winner_is_judged_once_more_on_what_it_was_not_judged_on(classes, first, other, kind):
    found = judged(StandIn(classes=classes))
    assert (found.best.run.episodes.part, found.again.run.episodes.part, found.about.again) == (first, other, kind)
    assert found.again.run.episodes.seed == found.best.run.episodes.seed + 1
    assert hash_of(found.again.run) == found.again.config_hash != found.best.config_hash
    assert found.again.difference.mean == pytest.approx(found.best.difference.mean)
    once = SWEEP.model_copy(update={"final": SWEEP.final.model_copy(update={"again": False})})
    assert judged(StandIn(), once).again is None
    assert judged(StandIn(), once).best.run.episodes.part == "all"


@pytest.mark.parametrize(("precision", "most", "episodes"), [(50.0, 40, EPISODES), (1.5, 400, None), (0.1, 40, 40)])
def test_as_many_episodes_as_the_precision_takes(precision, most, episodes):
    asked = {"precision": precision, "most": most, "masks": False, "again": False}
    sweep = SWEEP.model_copy(update={"final": SWEEP.final.model_copy(update=asked)})
    gain = judged(StandIn(), sweep).best.difference
    if episodes is None:
        assert 100 * gain.ci95 <= precision
        assert EPISODES < gain.episodes <= most
    else:
        assert gain.episodes == episodes


def test_how_many_episodes_a_precision_takes_is_told_by_episodes_like_those_of_the_verdict():
    """A search asks more queries, by which differences spread less."""
    asked = SWEEP.final.model_copy(update={"precision": 1.5, "most": 400})
    alike, found, planned = {}, {}, {}
    for query in (None, 3, 15):
        search = SWEEP.search.model_copy(update={"query": query})
        session, progress = StandIn(), Progress(1)
        found[query] = judged(session, SWEEP.model_copy(update={"final": asked, "search": search}), progress=progress)
        planned[query] = progress.planned
        searched = [(run, episodes) for run, episodes in session.asked if run.episodes.split == "validation"]
        alike[query] = [
            (hash_of(run), len(episodes))
            for run, episodes in searched
            if run.episodes.query_up_to is None and not run.episodes.scores
        ]
        assert all(run.episodes.query_up_to in (None, query) for run, _ in searched)
    assert [episodes for _, episodes in alike[15]] == [4, 4, 4]
    assert {name for name, _ in alike[15]} < set(found[15].hashes)
    assert found[15].best.estimate == found[3].best.estimate == found[None].best.estimate
    assert found[15].spent - found[3].spent == planned[15] - planned[3] == 12


class Losing(StandIn):
    """Loses an episode of the second part between the winner's answer and that of what it has to beat."""

    def solve(self, runs, episodes):
        known, first = super().solve(runs, episodes), runs[0]
        if "other" not in first.episodes.part or first.prompts.alpha > 0:
            return known
        return [[row for row in own if row["episode"] != 2] for own in known]


def test_an_episode_that_is_lost_meanwhile_is_left_out_for_both():
    assert judged(StandIn()).again.estimate.episodes == SWEEP.final.episodes
    found = judged(Losing())
    assert found.again.estimate.episodes == SWEEP.final.episodes - 1
    assert found.best.estimate.episodes == SWEEP.final.episodes
