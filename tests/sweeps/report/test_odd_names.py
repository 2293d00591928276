"""Names with newlines, HTML, pipes and marks of direction, wherever a report or a table shows them."""

import re
from dataclasses import replace

import pytest
from rich.console import Console

from sweeps.report.charts.page import write_page
from sweeps.report.markdown import table
from sweeps.report.text import as_markdown, print_finding
from sweeps.terminal.messages import say
from tests.sweeps.findings import SWEEP, finding

ODD = "a\n## b|c<script>alert(1)</script>\u202egnp.[x](javascript:1)\x1b[2J"
SHOWN = r"a\u000a## b|c<script>alert(1)</script>\u202egnp.[x](javascript:1)\u001b[2J"
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def odd():
    """A finding one of whose settings has an odd name, of a backbone and images with such a name."""
    found = finding()
    named = {
        name: replace(one, name=ODD) if number == 0 else one
        for number, (name, one) in enumerate(found.compared.items())
    }
    held = None if found.about is None else replace(found.about, data=ODD, backbone=ODD)
    return replace(found, compared=named, about=held, lost=(f"episode 1 of {ODD}",))


def test_a_report_keeps_its_lines_and_makes_no_tags(odd):
    told, plain = as_markdown(odd, SWEEP), as_markdown(replace(odd, compared=finding().compared), SWEEP)
    assert len(told.splitlines()) == len(plain.splitlines())
    assert "<script" not in told
    assert not re.search(r"(?<!\\)\]\(", told)
    assert not UNSEEN.search(told)
    (row,) = [line for line in told.splitlines() if line.startswith(r"| a\u000a## b\|c")]
    assert len(re.split(r"(?<!\\)\|", row)) == len(re.split(r"(?<!\\)\|", told.splitlines()[4]))


def test_a_table_has_as_many_lines_as_rows():
    assert len(table(("name", ODD), [(ODD, 1), ("b", 2)])) == 4


def test_a_page_shows_names_as_text(odd, tmp_path):
    page = write_page(odd, SWEEP.model_copy(update={"name": ODD}), [], tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert r"<title>a\u000a## b" in page
    assert not UNSEEN.search(page)
    assert "\nsearch:\n" in page  # the configuration keeps its lines


def test_a_terminal_shows_what_cannot_be_seen(odd, capsys):
    print_finding(odd, Console(width=400))
    say(f"fpt: {ODD}")
    told = capsys.readouterr()
    assert not UNSEEN.search(told.out + told.err)
    assert SHOWN.split("\\u000a")[1] in told.err
