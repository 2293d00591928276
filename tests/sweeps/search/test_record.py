from dataclasses import replace

import pytest

from sweeps.search.record import Report, SearchRecord, Trial, names_of
from sweeps.statistics.rows import LOCALISATION, METRICS, summary
from tests.sweeps.findings import reported, searched

LR = {"lr": 0.01}


def record_of(*accuracies):
    """A search of two rungs whose trials had these."""
    return SearchRecord(tuple(searched(f"0.{i}", LR, own) for i, own in enumerate(accuracies)), (2, 4))


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


def test_a_trial_has_ended_by_itself_by_a_rule_or_by_its_error():
    record = record_of([0.9, 0.9], [0.9, None], [0.5])
    record.check_ended(3)
    failed = replace(record.trials[2], reports=(), stopped_by="error")
    replace(record, trials=(*record.trials, failed)).check_ended(4)


@pytest.mark.parametrize("under_way", [[], [0.9], [None]])
def test_a_trial_that_is_under_way_has_not(under_way):
    ended, other = record_of([0.9, 0.9]), replace(searched("0.1", LR, under_way), stopped_by=None)
    for record in (ended, replace(ended, trials=(*ended.trials, other))):
        with pytest.raises(RuntimeError, match=r"^the search has ended early, with 1 of 2 trials done; the same comm"):
            record.check_ended(2)


def test_a_trial_tells_what_its_last_report_does():
    trial = Trial("1.2", 1, LR, (reported(2, 0.5, seconds=1.0), reported(4, 0.25, seconds=0.5)))
    assert (trial.episodes, trial.accuracy, trial.seconds) == (4, 0.25, 2.0)
    none = Trial("1.3", 1, LR)
    assert (none.episodes, none.accuracy, none.seconds) == (0, None, 0.0)


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


def test_hyper_parameters_are_named_as_the_setting_has_them_that_has_most():
    assert names_of([{"alpha": 0.0, "lr": 1}, {"tau": 1, "alpha": 1, "lr": 1}, {"name": "a"}]) == [
        "tau",
        "alpha",
        "lr",
        "name",
    ]
    assert names_of([]) == []
