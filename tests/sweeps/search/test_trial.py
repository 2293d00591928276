import pytest

from pipeline.config import Run, with_hyper_parameters
from pipeline.dispatch.generations import GenerationSpec
from pipeline.session import DispatcherGoneError
from pipeline.storage.folder import NoRoomError
from sweeps.search.trial import reports_of
from tests.sweeps.statistics.test_rows import row

EPISODES = [[0, 1], [2], [3, 4, 5]]
CONFIG = {
    "asked": {"1.2": "0.7"},  # with its first look, of which nothing is asked
    "generation": 1,
    "settings": {"1.1": {"alpha": 2}, "1.2": {"alpha": 3}},
    "rungs": EPISODES,
    "race": True,
}


class Asked:
    """Stands in for the dispatcher; each is stopped after `rungs` of them, or as many as its name says."""

    def __init__(self, rungs):
        self.rungs, self.questions = rungs, []

    def next_rung(self, generation, names, rung):
        self.questions.append((generation, names, rung))
        rungs = self.rungs if isinstance(self.rungs, dict) else dict.fromkeys(names, self.rungs)
        return [[row(0.3)] * (2, 3, 6)[rung] if rung < rungs[name] else None for name in names]


def reports_to(session, **changed):
    return list(reports_of({**CONFIG, **changed}, session, Run(), "racing"))


@pytest.mark.parametrize("rungs", [0, 1, 2, 3])
def test_a_trial_reports_every_rung_until_it_is_stopped(rungs):
    asked = Asked(rungs)
    told = reports_to(asked)
    runs = {name: with_hyper_parameters(Run(), own) for name, own in CONFIG["settings"].items()}
    assert asked.questions == [(GenerationSpec(1, runs, EPISODES), ["1.2"], rung) for rung in range(min(rungs + 1, 3))]
    reports = [report for one in told for report in one["reports"]]
    assert [report["asked"] for report in reports] == ["1.2"] * len(told)
    kept = [report for report in reports if "stopped_by" not in report]
    assert [(report["rung"], report["episodes"]) for report in kept] == [(1, 2), (2, 3), (3, 6)][:rungs]
    assert all(report["accuracy"] == pytest.approx(0.3) for report in kept)
    assert [one["accuracy"] for one in told[:rungs]] == [report["accuracy"] for report in kept]
    assert [report["stopped_by"] for report in reports[rungs:]] == ["racing"] * (rungs < 3)
    assert all(last["episodes"] == (2, 3)[rungs - 1] for last in reports[rungs:] if rungs)  # with its last report


def test_looks_are_a_single_rung_and_asked_for_together():
    asked = Asked(1)
    (told,) = reports_to(asked, asked={"1.1": "0.3", "1.2": "0.7"}, rungs=[[17]], race=False)
    ((spec, names, rung),) = asked.questions
    assert (spec.episodes, names, rung) == ([[17]], ["1.1", "1.2"], 0)
    assert [(one["asked"], one["rung"], one["episodes"]) for one in told["reports"]] == [
        ("1.1", 1, 2),
        ("1.2", 1, 2),
    ]


def test_of_several_those_go_on_that_are_not_stopped():
    asked = Asked({"1.1": 1, "1.2": 3})
    told = reports_to(asked, asked={"1.1": "0.3", "1.2": "0.7"})
    assert [names for _, names, _ in asked.questions] == [["1.1", "1.2"], ["1.1", "1.2"], ["1.2"]]
    assert [{one["asked"]: one.get("stopped_by") for one in each["reports"]} for each in told] == [
        {"1.1": None, "1.2": None},
        {"1.1": "racing", "1.2": None},
        {"1.2": None},
    ]


def test_what_is_wrong_is_reported_and_ends_the_trial():
    class Full(Asked):
        def next_rung(self, generation, names, rung):
            if rung == 1:
                raise NoRoomError(28, "home must have room\nfor results")  # a number of the system's
            return super().next_rung(generation, names, rung)

    reports = reports_to(Full(3))
    assert [report.get("error") for report in reports] == [None, "home must have room for results"]
    assert all("accuracy" in report for report in reports)  # or Tune raises


def test_a_trial_whose_dispatcher_is_gone_is_for_tune_to_try_again():
    class Gone(Asked):
        def next_rung(self, generation, names, rung):
            raise DispatcherGoneError("gone")

    with pytest.raises(DispatcherGoneError):
        reports_to(Gone(3))
