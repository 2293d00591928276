import json
from dataclasses import replace

import pytest

from sweeps.statistics.estimates import Estimate
from sweeps.verdict.finding import Audit
from sweeps.verdict.saved import as_text, finding_of
from tests.sweeps.findings import WON, finding, searched
from tests.sweeps.report.charts.trials import findings

ALONE = Estimate(0.5, float("inf"), 1)
AGAIN = replace(finding().best, difference=ALONE)
AUDIT = Audit(finding().baseline.run, ALONE, 1200, 3200)


@pytest.mark.parametrize("special", findings())
def test_a_finding_survives_as_it_was(special):
    found = findings()[special]
    assert finding_of(as_text(found)) == found


def test_all_that_a_finding_may_have_survives_with_its_kinds_and_order():
    values = {"name": "lora", "deep": True, "patches": 4, "alpha": 1.0}
    found = finding(importances={"b": 0.6, "a": 0.4}, again=AGAIN, audit=AUDIT, lost=("episode 9",), may_be_best=3)
    odd = replace(searched("0.1", values, [0.5, None]), stopped_by="racing")
    found = replace(found, record=replace(found.record, trials=(*found.record.trials, odd)))
    read = finding_of(as_text(found))
    assert read == found
    assert read.record.trials[-1].values == values
    kept = read.record.trials[-1].values
    assert [(name, type(value)) for name, value in kept.items()] == [(name, type(own)) for name, own in values.items()]
    assert list(read.importances) == ["b", "a"]
    assert list(read.compared) == list(found.compared)
    assert read.again.difference.ci95 == float("inf")
    assert read.best.run.prompts == found.best.run.prompts
    assert read.values == WON


def test_the_text_is_json_for_any_reader():
    def refused(constant):
        raise AssertionError(constant)

    told = json.loads(as_text(finding(gain=ALONE)), parse_constant=refused)
    assert told["compared"]["best"]["difference"] == {"mean": 0.5, "ci95": "inf", "episodes": 1, "skewness": 0.0}
    assert told["compared"]["best"]["run"]["prompts"]["lambda"] == 0.5


@pytest.mark.parametrize(("text", "place"), [("{", "the file"), ("[]", "the file"), ("{}", "record")])
def test_what_is_no_finding_is_refused_in_a_sentence(text, place):
    with pytest.raises(ValueError, match=rf"^finding.json must be what .* but is not, at {place} \(.*anew$"):
        finding_of(text)


def test_a_number_of_another_version_is_refused():
    told = json.loads(as_text(finding()))
    told["record"]["trials"][0]["reports"][0]["accuracy"] = "high"
    with pytest.raises(ValueError, match=r"at record\.trials\.0\.reports\.0\.accuracy \("):
        finding_of(json.dumps(told))
