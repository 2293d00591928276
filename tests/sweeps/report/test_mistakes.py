from sweeps.report.mistakes import as_markdown, for_page, tables
from sweeps.report.text import as_markdown as report
from tests.sweeps.findings import MISTAKES, SWEEP, finding


def test_tables_hold_all():
    pairs, classes, surest = tables(MISTAKES)
    assert pairs[2] == [("a | b", "c", "3 of 12")]
    assert classes[2] == [("a | b", "50.0 ± 12.5", "6")]
    assert surest[2] == [("c", "a | b", "93.8", "17", "2")]


def test_the_report_has_the_section_where_there_is_one():
    section = "\n".join(as_markdown(MISTAKES))
    assert "| a \\| b | c | 3 of 12 |" in section
    assert section in report(finding(mistakes=MISTAKES), SWEEP)
    assert "What it mistakes" not in report(finding(), SWEEP)
    assert [title for title, _, _ in for_page(MISTAKES)["tables"]] == [one[0] for one in tables(MISTAKES)]
