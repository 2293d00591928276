"""What a sweep has found, in words and tables."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.config import BACKBONE, Run
from sweeps.report import confidence, markdown, mistakes, search_space
from sweeps.report.backbones import in_words
from sweeps.schema.lines import in_markdown, on_a_line
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Sweep
from sweeps.statistics.estimates import Estimate, p_text
from sweeps.verdict.finding import BASELINE, FROZEN, About, Compared, Finding

TOO_FEW = 20  # classes, from which nobody can tell about others
COLUMNS = ("setting", "accuracy %", "difference", "p", "prompts on key", "[CLS] on key", "hyper-parameters")


def verdict(finding: Finding) -> str:
    """Says in a sentence what won, by how much, how sure. Nothing has won that cannot be told from chance."""
    best, found = finding.best, finding.outcome
    if found == "no verdict" or best.estimate is None:
        return "No verdict: some final episodes failed (scores that are not finite)."
    setting, episodes = setting_name(best.run, finding.values), best.estimate.episodes
    if found == "no prompts":
        return (
            f"No setting with prompts did better than the best without: {setting}, {best.estimate} % on {episodes} "
            f"unseen episodes.{_prompted(finding)}"
        )
    if found == "no winner":
        gain = "" if best.difference is None else f", {_against(finding, best)}{_untold(finding)}"
        return (
            f"No winner: {setting} was best on validation episodes, but has {best.estimate} % on {episodes} unseen "
            f"ones{gain}."
        )
    return f"Best: {setting}, {best.estimate} % on {episodes} unseen episodes; {_against(finding, best)}: {found}."


def _untold(finding: Finding) -> str:
    """Says what cannot be told of a winner that has not won."""
    if finding.twin is None and finding.best.worse:
        return ": whether its prompts harm is not known, as an episode without them was lost"
    if finding.twin is None:
        return ": no difference can be told"
    return f", and {_points(finding.twin.difference)} against itself without prompts: it is not told that these harm"


def _prompted(finding: Finding) -> str:
    """Says what prompts cost or gain where the winner has none."""
    prompted = finding.prompted
    if prompted is None or prompted.difference is None:
        return ""
    return f" The best with prompts, {_named(finding, prompted.run)}, has {_against(finding, prompted)}."


def _against(finding: Finding, compared: Compared) -> str:
    """Says the difference to the harder yardstick, how sure it is, and the difference to the other."""
    sure = "" if compared.p_holm is None else f", p {p_text(compared.p_holm)}"
    over = f" over {beyond(finding.about)}" if finding.about is not None and finding.few_classes else ""
    told = f"{_points(compared.difference)} points against {yardstick(finding)} (paired, 95 %{over}{sure})"
    if finding.other is not None and finding.other.difference is not None:
        easier = BASELINE if finding.yardstick == FROZEN else "the best frozen features"
        told += f" and {_points(finding.other.difference)} against {easier}"
    return told


def yardstick(finding: Finding) -> str:
    """Returns the name of what all settings are compared with: the harder of two."""
    if finding.yardstick == FROZEN:
        return f"{FROZEN} ({finding.baseline.run.solver.name})"
    return finding.yardstick


def _points(difference: Estimate | None) -> str:
    return "" if difference is None else f"{100 * difference.mean:+.1f} ± {100 * difference.ci95:.1f}"


def _named(finding: Finding, run: Run) -> str:
    """Returns the name of a setting, with its backbone where the search had several."""
    label = finding.record.label_of(run)
    return setting_name(run) if label is None else setting_name(run, {BACKBONE: label})


def settings_table(finding: Finding) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and rows of the table of settings, without columns in which nothing is known."""
    rows = [cells(finding, compared) for compared in finding.compared.values()]
    known = [place for place in range(len(COLUMNS)) if any(row[place] for row in rows)]
    return [COLUMNS[place] for place in known], [[row[place] for place in known] for row in rows]


def cells(finding: Finding, compared: Compared) -> tuple[str, ...]:
    """Returns a setting's row below COLUMNS."""
    located = compared.localisation
    precision, chance = located["prompt_precision"], located["prompt_chance"]
    before, after = located["attention_on_key_before"], located["attention_on_key_after"]
    return (
        on_a_line(compared.name),
        "failed" if compared.estimate is None else str(compared.estimate),
        _points(compared.difference),
        "" if compared.p_holm is None else p_text(compared.p_holm).removeprefix("= "),
        "" if precision is None or chance is None else f"{100 * precision:.0f} % (chance {100 * chance:.0f})",
        "" if before is None or after is None else f"{100 * before:.0f} → {100 * after:.0f} %",
        _named(finding, compared.run),
    )


def as_table(finding: Finding) -> Table:
    """Returns the table for a terminal, under 100 columns wide: it leaves hyper-parameters out."""
    table = Table(
        title=f"{judged_episodes(finding)} unseen episodes; differences to {yardstick(finding)}, paired; p after Holm",
        title_justify="left",
    )
    columns, rows = settings_table(finding)
    for column in columns[:-1]:
        table.add_column(column, justify="left" if column == "setting" else "right")  # wraps before it loses a figure
    for row in rows:
        table.add_row(*map(Text, row[:-1]))  # brackets of a name are no markup
    return table


def print_finding(finding: Finding, console: Console) -> None:
    """Prints the table, the verdict and what was left out."""
    console.print(as_table(finding))
    for line in (verdict(finding), *([left_out(finding.lost)] if finding.lost else [])):
        console.print(on_a_line(line), highlight=False, markup=False)


def as_markdown(finding: Finding, sweep: Sweep) -> str:
    """Returns the report, for MLflow's description and the report file."""
    columns, rows = settings_table(finding)
    lines = [
        in_markdown(verdict(finding)),
        "",
        in_markdown(extent(finding, sweep)),
        "",
        *markdown.table(columns, rows, texts=COLUMNS[-1:]),
        "",
        with_differences(finding),
        "",
        *map(in_markdown, how_sure(finding, sweep)),
        *(["", in_markdown(left_out(finding.lost))] if finding.lost else []),
        *(["", *confidence.as_markdown(finding.confidence)] if finding.confidence is not None else []),
        *(["", *mistakes.as_markdown(finding.mistakes)] if finding.mistakes is not None else []),
        *(["", *search_space.as_markdown(finding.tried, finding.importances)] if finding.tried else []),
    ]
    return "\n".join(lines) + "\n"


def with_differences(finding: Finding) -> str:
    """Says what the differences and p-values of the table are."""
    over = "episodes"
    if finding.about is not None and finding.few_classes:
        over = f"{'pictures' if finding.about.same_classes else 'classes'} and episodes, as there are few"
    return (
        f"Differences are paired, to {yardstick(finding)}, the harder of the two yardsticks: the best without prompts, "
        "whose rate was searched as hard as the winner's, and the best classifier on frozen features. Intervals are "
        f"95 %, over {over}; p is two-sided, after Holm's correction for how many settings were compared."
    )


def extent(finding: Finding, sweep: Sweep) -> str:
    """Says what the verdict is about, and how much was tried and judged."""
    episodes, record = sweep.episodes, finding.record
    looks = sum(len(trial.looks) for trial in record.trials)
    return (
        f"{about(finding.about)}{len(record.trials)} settings in {looks} looks, of which {len(record.racers)} raced, "
        f"{finding.stopped} of these stopped early; {finding.spent} episodes in all. "
        f"Final: {judged_episodes(finding)} episodes of split {episodes.split}, "
        f"{episodes.way}-way {episodes.shot}-shot (chance {100 / episodes.way:.3g} %), "
        f"{episodes.queries}."
    )


def beyond(held: About) -> str:
    """Says what an interval is over, where episodes alone would not do."""
    return f"{held.pictures} pictures" if held.same_classes else f"{held.classes} classes"


def about(held: About | None) -> str:
    """Says of which images, classes and backbone a verdict is, and for which classes it holds."""
    if held is None:
        return ""
    part = "" if held.part == "all" else f" ({held.part})"
    told = (
        f"{held.data}, {held.backbone}, judged {held.date} on {held.classes} classes{part}, {held.pictures} pictures: "
    )
    if held.same_classes:
        return told + "it holds for these classes. "
    if held.classes < TOO_FEW:
        return told + "whether it holds for other classes, so few cannot tell. "
    return told + "it holds for classes of their kind. "


def how_sure(finding: Finding, sweep: Sweep) -> list[str]:
    """Says what else tells whether the winner is better than others."""
    final, again, prompted = sweep.final, finding.again, finding.prompted
    asked = finding.best if prompted is None else prompted
    gain = asked.over_episodes or asked.difference
    who, its = "the winner", "its difference"
    if prompted is not None and prompted is not finding.best:
        who, its = "the best with prompts", "the difference of the best with prompts"
    lines = []
    if again is not None and again.estimate is not None and again.difference is not None:
        lines.append(
            f"- On as many episodes of {finding.about.again if finding.about else 'another seed'} {who} has "
            f"{again.estimate} %, {_points(again.difference)} points against {yardstick(finding)}."
        )
    lines += _intervals(asked, finding)
    if final.precision is not None and gain is not None:
        reached = 100 * gain.ci95 <= final.precision
        lines.append(
            f"- Asked for: {its} to ± {final.precision:g} points; "
            + (f"{gain.episodes} episodes do." if reached else f"not reached by {gain.episodes} episodes.")
            + " How many was fixed before the first was drawn, by the spread on validation episodes."
        )
    lines.append(
        f"- On its {finding.validation.episodes} validation episodes the winner had {finding.validation} %: "
        "higher than on fresh ones if it was lucky there, which is why those decide."
    )
    if finding.whole > 1:
        lines.append(
            f"- {finding.whole} trials did all of those. The truly best of those that raced is one of "
            f"{finding.may_be_best} (95 %), whatever their differences are like; one of {finding.best_if_symmetric} if "
            "those are symmetric."
        )
    if (backbones := finding.record.backbones) is not None and backbones.problems:
        lines.append(f"- {in_words(backbones)}")
    if (more := finding.record.gain) is not None:
        lines.append(
            f"- Another {more.looks} looks are expected to gain {more} (mean and standard deviation, in the opinion of "
            f"the search's model); `fpt sweep CONFIG --more {more.looks}` adds them."
        )
    if sweep.search is not None and (warm := len(sweep.search.warm)):
        lines.append(f"- {warm} of the looks were at settings that earlier sweeps found good.")
    if sweep.search is not None and sweep.search.stop == "t_racing" and finding.tried:
        raced = [trial for trial in finding.tried if trial.episodes]
        skewed = sum(trial.difference.skewed for trial in raced)
        lines.append(
            "- Trials raced by t tests, which keep the best (95 %) if differences are symmetric: of "
            f"{len(raced)} differences to the winner {skewed or 'none'} {'is' if skewed == 1 else 'are'} "
            f"skewed{'; search.stop: racing holds then too' if skewed else ''}."
        )
    if finding.audit is not None:
        lines.append(_audited(finding))
    return lines


def _intervals(asked: Compared, finding: Finding) -> list[str]:
    """Says what the difference is over episodes, over classes, and under no assumption."""
    episodes, classes, limits = asked.over_episodes, asked.over_classes, asked.bounds
    if episodes is None or classes is None or limits is None or finding.about is None:
        return []
    low, high = (f"{100 * end:+.1f}" for end in limits)
    kind = "other pictures of these classes" if finding.about.same_classes else "classes of their kind"
    lines = [
        f"- The difference is {_points(episodes)} on these classes and pictures (over episodes, skewness "
        f"{episodes.skewness:+.1f}), and "
        f"{_points(classes)} for {kind} (over {beyond(finding.about)}). Whatever the "
        f"distribution over episodes, it lies between {low} and {high} (95 %, by betting)."
    ]
    if episodes.skewed:
        lines.append(
            "- **Skewed**: a few episodes decide the difference, so its interval over episodes is approximate; the "
            "limits by betting are not."
        )
    return lines


def _audited(finding: Finding) -> str:
    audit = finding.audit
    assert audit is not None
    searched, full = audit.searched, audit.full
    told = f"- Audit: the race took {searched} episodes, {100 * searched / full:.0f} % of the {full} that it takes "
    told += "where nobody is stopped. "
    if audit.lead is None:
        return told + "Both have the same winner."
    sure = "cannot be told apart" if abs(audit.lead.mean) <= audit.lead.ci95 else "differ"
    return told + (
        f"Their winner would have been {_named(finding, audit.best)}, on unseen episodes {_points(audit.lead)} points "
        f"against the race's own (paired, 95 %): the two {sure}."
    )


def left_out(lost: Sequence[str]) -> str:
    """Names the episodes that no worker survived."""
    return f"left out for all settings, as each worker that tried them died: {', '.join(lost)}"


def judged_episodes(finding: Finding) -> int:
    return finding.best.estimate.episodes if finding.best.estimate else 0
