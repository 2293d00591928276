import json
from dataclasses import replace

from sweeps.report.confidence import COLUMNS, RISKS, as_json, as_markdown, for_page, lines, rows
from sweeps.report.text import as_markdown as report
from tests.sweeps.findings import CONFIDENCE, SWEEP, finding


def test_lines_say_what_was_fitted_and_how_it_did():
    probabilities, sets, unknown, lowest = lines(CONFIDENCE)
    assert probabilities == (
        "Probabilities are off by 12.5 ± 1.2 points as they are, and by 2.5 ± 1.2 with a temperature of 1.25 (expected "
        "calibration error; log loss 1.00 ± 0.06 and 0.75 ± 0.06), which 60 3-way 1-shot episodes of validation "
        "classes asked for."
    )
    assert sets == (
        "The classes with a probability of 12.5 % or more hold the true one in 90.0 ± 1.2 % of all cases (for other "
        "classes of their kind ± 2.5; 90 % were asked for), and are 1.50 ± 0.12 of 3."
    )
    assert "75.0 ± 2.5 % of pairs" in unknown
    assert "that 95 % of queries pass calls 25.0 ± 1.2 % of such pictures none of these, and 5.0 ± 1.2 % of" in unknown
    assert lowest == "The lowest share of wrong answers that can be promised is 5 %."
    assert len(lines(replace(CONFIDENCE, unknown=None))) == 3


def test_each_risk_has_a_row():
    told = {row[0]: row[1:] for row in rows(CONFIDENCE)}
    assert list(told) == [f"{100 * risk:g}" for risk in RISKS]
    assert told["1"] == ("cannot be", "", "")
    assert told["5"] == told["30"] == ("from 75 % on", "50.0 ± 2.5", "3.1 ± 1.2")
    assert rows(replace(CONFIDENCE, kept=()))[-1] == ("30", "cannot be", "", "")


def test_the_report_has_the_section_where_there_is_one():
    section = "\n".join(as_markdown(CONFIDENCE))
    assert section in report(finding(confidence=CONFIDENCE), SWEEP)
    assert "How sure it may be" not in report(finding(), SWEEP)
    assert for_page(CONFIDENCE)["columns"] == COLUMNS


def test_numbers_are_json():
    told = json.loads(json.dumps(as_json(CONFIDENCE), allow_nan=False))
    assert told["calibration_error"] == [[0.125, 0.0125], [0.025, 0.0125]]
    assert told["risks"]["0.01"] is None
    assert told["risks"]["0.05"] == {"answered": [0.5, 0.025], "wrong": [0.03125, 0.0125]}
    assert as_json(replace(CONFIDENCE, unknown=None))["told_apart"] is None
