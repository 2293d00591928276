import io
from dataclasses import replace

import pytest
from rich.console import Console

from sweeps.report.json_object import as_json
from sweeps.report.text import COLUMNS, as_markdown, as_table, print_finding, verdict
from sweeps.search.record import Gain
from sweeps.statistics.estimates import Estimate
from sweeps.verdict.finding import About, Audit
from sweeps.verdict.landscape import Scored
from tests.sweeps.findings import SWEEP, finding

AGAIN = finding().best.run.model_copy(update={"episodes": SWEEP.episodes.model_copy(update={"seed": 1})})
FROZEN = {"alpha": 0.0, "lr": 0.01}


def test_a_gain_outside_its_interval_is_said_to_help():
    assert verdict(finding()) == (
        "Best: lora · lambda 0.5 · alpha 2 · tau 1 · P 4 · lr 0.01, 72.3 ± 1.5 % on 200 unseen episodes; "
        "+2.1 ± 0.9 points against no prompts (paired, 95 %, p < 0.0001): prompts help."
    )


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (
            Estimate(-0.021, 0.009, 200),
            "-2.1 ± 0.9 points against no prompts (paired, 95 %, p < 0.0001): prompts harm.",
        ),
        (Estimate(0.009, 0.021, 200), ": no difference can be told."),
        (Estimate(-0.009, 0.021, 200), ": no difference can be told."),
        (Estimate(0.009, 0.009, 200), ": no difference can be told."),
        (Estimate(0.0, 0.0, 200), ": no difference can be told."),
        (Estimate(0.5, float("inf"), 1), ": no difference can be told."),
    ],
)
def test_no_more_is_said_than_the_interval_allows(gain, said):
    told = verdict(finding(gain=gain, twin=finding(gain=gain).best if gain.mean < -0.01 else None))
    assert told.endswith(said)
    assert told.startswith("No winner: " if "no difference" in said else "Best: ")
    assert "help" not in told


def test_a_winner_without_prompts_is_said_to_be_one():
    said = verdict(finding(values=FROZEN, gain=Estimate(0.0, 0.0, 200)))
    assert said == (
        "No setting with prompts did better than the best without: lora · no prompts · lr 0.01, 72.3 ± 1.5 % on 200 "
        "unseen episodes."
    )


@pytest.mark.parametrize("failed", [{"mean": None, "gain": None}, {"baseline": None, "gain": None}])
def test_failed_episodes_leave_no_verdict(failed):
    assert verdict(finding(**failed)).startswith("No verdict")


def test_the_report_has_a_row_for_each_setting():
    lines = as_markdown(finding(), SWEEP).splitlines()
    assert lines[0] == verdict(finding())
    assert "16 settings in 16 looks, of which 8 raced, 7 of these stopped early; 1234 episodes in all." in lines[2]
    assert "Final: 200 episodes of split novel, 3-way 1-shot (chance 33.3 %), 3 queries a class." in lines[2]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == list(COLUMNS)
    assert table[2] == [
        "best",
        "72.3 ± 1.5",
        "+2.1 ± 0.9",
        "< 0.0001",
        "40 % (chance 10)",
        "30 → 55 %",
        "lora · lambda 0.5 · alpha 2 · tau 1 · P 4 · lr 0.01",
    ]
    assert table[3] == ["no prompts", "70.2 ± 1.5", "", "", "", "", "lora · no prompts · lr 0.02"]
    assert len(table) == 4
    assert "On its 64 validation episodes the winner had 81.0 ± 2.0 %" in lines[-1]


def test_a_failed_setting_is_said_to_have_failed():
    assert "| best | failed |" in as_markdown(finding(mean=None, gain=None), SWEEP)


def test_the_table_fits_a_hundred_columns():
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(as_table(finding()))
    shown = console.export_text()
    console.file.close()
    assert max(len(line) for line in shown.splitlines()) <= 100
    for cell in ("best", "no prompts", "72.3 ± 1.5", "+2.1 ± 0.9", "40 % (chance 10)", "30 → 55 %"):
        assert cell in shown
    assert "…" not in shown


def test_a_terminal_gets_the_table_the_verdict_and_what_was_left_out():
    console = Console(width=100, record=True, file=io.StringIO())
    print_finding(replace(finding(), lost=("episode [9] of novel",)), console)
    shown = " ".join(console.export_text().split())
    assert "72.3 ± 1.5" in shown
    assert f"{verdict(finding())} left out for all settings" in shown
    assert shown.endswith("episode [9] of novel")


def test_names_are_shown_as_they_were_given():
    """What Markdown would take for another column, and a terminal for a colour."""
    odd = "a|b [red] [/]"
    found = replace(finding(), compared={**finding().compared, odd: replace(finding().baseline, name=odd)})
    assert "| a\\|b [red] [/] | 70.2 ± 1.5 |" in as_markdown(found, SWEEP)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(as_table(found))
    assert odd in console.export_text()


def test_episodes_that_were_left_out_are_named():
    found = replace(finding(), lost=("episode 9 of novel (3-way 1-shot, seed 0)",))
    said = "left out for all settings, as each worker that tried them died: episode 9 of novel (3-way 1-shot, seed 0)"
    assert said in as_markdown(found, SWEEP).splitlines()
    assert as_json(found, {})["episodes_lost"] == ["episode 9 of novel (3-way 1-shot, seed 0)"]
    assert "left out" not in as_markdown(finding(), SWEEP)


def test_what_else_tells_whether_the_winner_is_one():
    again = replace(
        finding().best, run=AGAIN, estimate=Estimate(0.71, 0.02, 200), difference=Estimate(0.01, 0.008, 200)
    )
    precise = SWEEP.model_copy(update={"final": SWEEP.final.model_copy(update={"precision": 0.5})})
    text = as_markdown(finding(again=again, whole=4, may_be_best=3), precise)
    assert "- On as many episodes of another seed the winner has 71.0 ± 2.0 %, +1.0 ± 0.8 points against" in text
    assert "- Asked for: its difference to ± 0.5 points; not reached by 200 episodes." in text
    assert (
        "The truly best of those that raced is one of 3 (95 %), whatever their differences are like; one of 1 if"
        in text
    )
    wide = SWEEP.model_copy(update={"final": SWEEP.final.model_copy(update={"precision": 0.9})})
    assert "its difference to ± 0.9 points; 200 episodes do." in as_markdown(finding(), wide)


def test_what_more_looks_would_gain_is_told():
    found = finding()
    found = replace(found, record=replace(found.record, gain=Gain(64, 0.0021, 0.0049)))
    text = as_markdown(found, SWEEP)
    assert "- Another 64 looks are expected to gain +0.2 ± 0.5 points (mean and standard deviation, in the" in text
    assert as_json(found, {})["more_looks"] == {"looks": 64, "mean": 0.0021, "spread": 0.0049}
    assert "expected to gain" not in as_markdown(finding(), SWEEP)


def test_what_earlier_sweeps_have_given_is_counted_apart():
    search = SWEEP.search.model_copy(update={"warm": ({"lr": 0.01}, {"lr": 0.02})})
    text = as_markdown(finding(), SWEEP.model_copy(update={"search": search}))
    assert "- 2 of the looks were at settings that earlier sweeps found good." in text
    assert "earlier sweeps" not in as_markdown(finding(), SWEEP)


def test_what_is_not_symmetric_is_told_where_that_matters():
    """Of the final difference always; of trials where they raced by t tests."""
    about = About("photos", 40, 800, "vit", "2026-01-02")
    for skewness, few in ((0.3, False), (8.0, True)):
        gain = Estimate(0.021, 0.009, 200, skewness)
        best = replace(
            finding().best, over_episodes=gain, over_classes=Estimate(0.021, 0.012, 200), bounds=(-0.01, 0.05)
        )
        tried = (
            Scored({"lr": 0.1}, 0.5, gain, curve=(gain,)),
            Scored({"lr": 0.2}, 0.5, Estimate(-0.1, 0.1, 1), looks=1),
        )
        found = replace(finding(tried=tried, about=about), compared={**finding().compared, "best": best})
        told = as_markdown(found, SWEEP)
        assert f"+2.1 ± 0.9 on these classes and pictures (over episodes, skewness {skewness:+.1f})" in told
        assert "and +2.1 ± 1.2 for classes of their kind (over 40 classes)" in told
        assert "it lies between -1.0 and +5.0 (95 %, by betting)" in told
        assert ("- **Skewed**" in told) == few
        raced = SWEEP.model_copy(update={"search": SWEEP.search.model_copy(update={"stop": "t_racing"})})
        assert (
            "of 1 differences to the winner 1 is skewed; search.stop: racing holds then too"
            in as_markdown(found, raced)
        ) == few
        assert "raced by t tests" not in told


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (About("photos", 40, 800, "vit", "2026-01-02"), "it holds for classes of their kind."),
        (About("photos", 12, 240, "vit", "2026-01-02"), "whether it holds for other classes, so few cannot tell."),
        (About("photos", 8, 96, "vit", "2026-01-02", same_classes=True), "it holds for these classes."),
    ],
)
def test_a_verdict_says_what_it_is_about(about, said):
    told = as_markdown(finding(about=about), SWEEP)
    assert f"photos, vit, judged 2026-01-02 on {about.classes} classes, {about.pictures} pictures: {said}" in told
    few = about.classes < 30
    over = f"{about.pictures} pictures" if about.same_classes else f"{about.classes} classes"
    assert (f"(paired, 95 % over {over}, p" in told) == few


def test_the_report_tells_of_the_search_space():
    tried = tuple(Scored({"alpha": 0.1 * i, "lr": 0.01}, 0.5 + i / 100, Estimate(0.0, 0.01, 8)) for i in range(1, 9))
    text = as_markdown(finding(tried=tried, importances={"alpha": 0.9, "lr": 0.1}), SWEEP)
    assert "| alpha | 0.90 |" in text
    assert "## Search space" not in as_markdown(finding(), SWEEP)


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        (None, "Both have the same winner."),
        (
            Estimate(0.002, 0.004, 200),
            "on unseen episodes +0.2 ± 0.4 points against the race's own (paired, 95 %): the",
        ),
        (Estimate(0.009, 0.004, 200), "the two differ."),
    ],
)
def test_the_report_tells_what_an_audit_found(lead, said):
    audit = Audit(finding().baseline.run, lead, 1200, 3200)
    text = as_markdown(finding(audit=audit), SWEEP)
    assert "the race took 1200 episodes, 38 % of the 3200 that it takes where nobody is stopped." in text
    assert said in text
    assert as_json(finding(audit=audit), {})["audit"]["episodes_full"] == 3200
