import pytest

from sweeps.search.record import Gain, Report, SearchRecord, Trial, names_of
from sweeps.statistics.rows import LOCALISATION, METRICS, summary
from tests.sweeps.findings import reported

LR = {"lr": 0.01}


def raced(place, accuracies, looks=(0.5,)):
    """A trial that had these accuracies on an episode each, and then after the rungs of the race that it did."""
    reports = tuple(reported(episodes, own) for episodes, own in zip((2, 4), accuracies, strict=False))
    return Trial(f"0.{place}", 0, LR, tuple(reported(1, own) for own in looks), reports)


def record_of(*accuracies):
    """A search of two rungs whose trials had these in the race; those that had none did not race."""
    return SearchRecord(tuple(raced(i, own) for i, own in enumerate(accuracies)), (2, 4))


def test_the_leader_did_all_episodes_without_a_failure_and_is_the_earlier_of_equals():
    record = record_of([0.9], [0.9, None], [0.5, 0.6], [0.1, 0.7], [0.7, 0.7], [])
    assert [trial.name for trial in record.whole] == ["0.2", "0.3", "0.4"]
    assert record.leader == record.winner == record.trials[3]


def test_settings_that_are_never_right_can_lead_too():
    assert record_of([0.0, 0.0]).winner.name == "0.0"


@pytest.mark.parametrize("accuracies", [(), ([0.9],), ([0.9, None],), ([],)])
def test_without_a_whole_trial_there_is_no_winner(accuracies):
    record = record_of(*accuracies)
    assert record.leader is None
    with pytest.raises(RuntimeError, match=r"^no trial did all its episodes without a failure; lower rates .*"):
        _ = record.winner


def test_those_that_raced_are_told_from_those_that_were_looked_at():
    record = record_of([0.9], [], [0.5, 0.6], [None], [])
    assert [trial.name for trial in record.racers] == ["0.0", "0.2", "0.3"]
    assert [trial.raced for trial in record.trials] == [2, 0, 4, 2, 0]
    assert (record.problems, record.raced) == (5 + 8, 8)


def test_a_trial_tells_what_its_race_does_by_hand():
    looks = (reported(1, 0.75, seconds=2.0), reported(1, 1.0, seconds=1.0))
    race = (reported(2, 0.5, seconds=1.0), reported(4, 0.25, seconds=0.5))  # the second holds the first
    trial = Trial("1.2", 1, LR, looks, race)
    assert (trial.episodes, trial.raced, trial.accuracy, trial.seconds) == (6, 4, 0.25, 5.0)
    looked = Trial("1.2", 1, LR, looks)
    assert (looked.episodes, looked.raced, looked.accuracy, looked.seconds) == (2, 0, 0.875, 3.0)
    none = Trial("1.3", 1, LR)
    assert (none.episodes, none.raced, none.accuracy, none.seconds) == (0, 0, None, 0.0)


def test_an_episode_that_failed_leaves_no_accuracy():
    assert raced(0, [], looks=(0.5, None)).accuracy is None
    assert raced(0, [0.9, None]).accuracy is None
    assert raced(0, [0.9, 0.8], looks=(None,)).accuracy == 0.8


def test_a_gain_is_told_in_points():
    assert str(Gain(64, 0.0123, 0.0045)) == "+1.2 ± 0.4 points"
    assert str(Gain(64, -0.0123, 0.0)) == "-1.2 ± 0.0 points"


def test_a_report_holds_all_metrics_of_its_rows():
    located = dict(zip(LOCALISATION, (0.4, 0.1, 0.3, None), strict=True))
    rows = [
        {"accuracy": accuracy, "failed": False, "seconds": 0.5, "queries": 100, **located} for accuracy in (0.25, 0.75)
    ]
    metrics = summary(rows)
    found = Report.of(metrics)
    assert (found.episodes, found.failed, found.accuracy, found.seconds_per_episode) == (2, 0, 0.5, 0.5)
    assert found.ci95 == metrics["ci95"]
    assert found.localisation == located
    assert {*vars(found), *located} - {"localisation"} == set(METRICS)


def test_hyper_parameters_have_one_order_whatever_that_of_settings():
    settings = [{"alpha": 0.0, "lr": 1}, {"tau": 1, "rank": 2, "alpha": 1, "lambda": 1, "blocks": 1}, {"name": "a"}]
    assert names_of(settings) == ["name", "lambda", "alpha", "tau", "lr", "blocks", "rank"]
    assert names_of([]) == []
