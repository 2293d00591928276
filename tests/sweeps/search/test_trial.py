import pytest

from pipeline.config import Run, with_hyper_parameters
from pipeline.dispatch.generations import GenerationSpec
from pipeline.session import DispatcherGoneError
from pipeline.storage.folder import NoRoomError
from sweeps.search.trial import reports_of
from tests.sweeps.statistics.test_rows import row

EPISODES = [[0, 1], [2], [3, 4, 5]]
CONFIG = {
    "trial": "0.7",  # by its first look, of which a trial asks nothing
    "look": "1.2",
    "generation": 1,
    "values": {"alpha": 3},
    "settings": {"1.1": {"alpha": 2}, "1.2": {"alpha": 3}},
    "rungs": EPISODES,
    "race": True,
}


class Asked:
    """Stands in for the dispatcher; a trial is stopped after `rungs` of them."""

    def __init__(self, rungs):
        self.rungs, self.questions = rungs, []

    def next_rung(self, generation, name, rung):
        self.questions.append((generation, name, rung))
        return [row(0.3)] * (2, 3, 6)[rung] if rung < self.rungs else None


def reports_to(session, **changed):
    return list(reports_of({**CONFIG, **changed}, session, Run(), "racing"))


@pytest.mark.parametrize("rungs", [0, 1, 2, 3])
def test_a_trial_reports_every_rung_until_it_is_stopped(rungs):
    asked = Asked(rungs)
    reports = reports_to(asked)
    runs = {name: with_hyper_parameters(Run(), own) for name, own in CONFIG["settings"].items()}
    assert asked.questions == [(GenerationSpec(1, runs, EPISODES), "1.2", rung) for rung in range(min(rungs + 1, 3))]
    kept = [report for report in reports if "stopped_by" not in report]
    assert [(report["rung"], report["episodes"]) for report in kept] == [(1, 2), (2, 3), (3, 6)][:rungs]
    assert all(report["accuracy"] == pytest.approx(0.3) for report in kept)
    assert [report["stopped_by"] for report in reports[rungs:]] == ["racing"] * (rungs < 3)
    assert all(last["episodes"] == (2, 3)[rungs - 1] for last in reports[rungs:] if rungs)  # with its last report


def test_a_look_is_a_single_rung():
    asked = Asked(1)
    (report,) = reports_to(asked, rungs=[[17]], race=False)
    assert ([question[2] for question in asked.questions], report["rung"]) == ([0], 1)
    assert asked.questions[0][0].episodes == [[17]]


def test_what_is_wrong_is_reported_and_ends_the_trial():
    class Full(Asked):
        def next_rung(self, generation, name, rung):
            if rung == 1:
                raise NoRoomError("home must have room\nfor results")
            return super().next_rung(generation, name, rung)

    reports = reports_to(Full(3))
    assert [report.get("error") for report in reports] == [None, "home must have room for results"]
    assert all("accuracy" in report for report in reports)  # or Tune raises


def test_a_trial_whose_dispatcher_is_gone_is_for_tune_to_try_again():
    class Gone(Asked):
        def next_rung(self, generation, name, rung):
            raise DispatcherGoneError("gone")

    with pytest.raises(DispatcherGoneError):
        reports_to(Gone(3))
