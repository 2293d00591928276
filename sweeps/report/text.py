"""What a sweep has found, in words, tables and JSON."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.report import markdown, search_space
from sweeps.report.trials import rows_of
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Sweep
from sweeps.statistics.estimates import Estimate, numbers, p_text
from sweeps.verdict.finding import BASELINE, Audit, Compared, Finding

COLUMNS = ("setting", "accuracy %", "difference", "p", "prompts on key", "[CLS] on key", "hyper-parameters")

WITH_DIFFERENCES = (
    f"Differences are paired, to {BASELINE}; p is two-sided, after Holm's correction for how many settings were "
    "compared with it."
)


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
        gain = "" if best.difference is None else f", {_against(best)}: no difference can be told"
        return (
            f"No winner: {setting} was best on validation episodes, but has {best.estimate} % on {episodes} unseen "
            f"ones{gain}."
        )
    return f"Best: {setting}, {best.estimate} % on {episodes} unseen episodes; {_against(best)}: {found}."


def _prompted(finding: Finding) -> str:
    """Says what prompts cost or gain where the winner has none."""
    prompted = finding.prompted
    if prompted is None or prompted.difference is None:
        return ""
    return f" The best with prompts, {setting_name(prompted.run)}, has {_against(prompted)}."


def _against(compared: Compared) -> str:
    sure = "" if compared.p_holm is None else f", p {p_text(compared.p_holm)}"
    return f"{_points(compared.difference)} points against no prompts (paired, 95 %{sure})"


def _points(difference: Estimate | None) -> str:
    return "" if difference is None else f"{100 * difference.mean:+.1f} ± {100 * difference.ci95:.1f}"


def cells(compared: Compared) -> tuple[str, ...]:
    """Returns a setting's row below COLUMNS."""
    located = compared.localisation
    precision, chance = located["prompt_precision"], located["prompt_chance"]
    before, after = located["attention_on_key_before"], located["attention_on_key_after"]
    return (
        compared.name,
        "failed" if compared.estimate is None else str(compared.estimate),
        _points(compared.difference),
        "" if compared.p_holm is None else p_text(compared.p_holm).removeprefix("= "),
        "" if precision is None or chance is None else f"{100 * precision:.0f} % (chance {100 * chance:.0f})",
        "" if before is None or after is None else f"{100 * before:.0f} → {100 * after:.0f} %",
        setting_name(compared.run),
    )


def as_table(finding: Finding) -> Table:
    """Returns the table for a terminal, under 100 columns wide: it leaves hyper-parameters out."""
    table = Table(
        title=f"{_judged(finding)} episodes that no trial saw; difference: paired, to {BASELINE}; p: corrected (Holm)",
        title_justify="left",
    )
    for column in COLUMNS[:-1]:
        table.add_column(column, justify="left" if column == "setting" else "right")  # wraps before it loses a figure
    for compared in finding.compared.values():
        table.add_row(*map(Text, cells(compared)[:-1]))  # brackets of a name are no markup
    return table


def print_finding(finding: Finding, console: Console) -> None:
    """Prints the table, the verdict and what was left out."""
    console.print(as_table(finding))
    for line in (verdict(finding), *([left_out(finding.lost)] if finding.lost else [])):
        console.print(line, highlight=False, markup=False)


def as_markdown(finding: Finding, sweep: Sweep) -> str:
    """Returns the report, for MLflow's description and the report file."""
    lines = [
        verdict(finding),
        "",
        extent(finding, sweep),
        "",
        *markdown.table(COLUMNS, [cells(compared) for compared in finding.compared.values()], texts=COLUMNS[-1:]),
        "",
        WITH_DIFFERENCES,
        "",
        *how_sure(finding, sweep),
        *(["", left_out(finding.lost)] if finding.lost else []),
        *(["", *search_space.as_markdown(finding.tried, finding.importances)] if finding.tried else []),
    ]
    return "\n".join(lines) + "\n"


def extent(finding: Finding, sweep: Sweep) -> str:
    """Says how much was tried and judged."""
    episodes = sweep.episodes
    return (
        f"{len(finding.record.trials)} trials, {finding.stopped} stopped early; {finding.spent} episodes in all. "
        f"Final: {_judged(finding)} episodes of split {episodes.split}, "
        f"{episodes.way}-way {episodes.shot}-shot, {episodes.query} queries a class. Intervals are 95 %."
    )


def how_sure(finding: Finding, sweep: Sweep) -> list[str]:
    """Says what else tells whether the winner is better than others."""
    final, again, prompted = sweep.final, finding.again, finding.prompted
    gain = finding.best.difference if prompted is None else prompted.difference
    who, its = "the winner", "its difference"
    if prompted is not None and prompted is not finding.best:
        who, its = "the best with prompts", "the difference of the best with prompts"
    lines = []
    if again is not None and again.estimate is not None and again.difference is not None:
        lines.append(
            f"- On as many episodes of another seed ({again.run.episodes.seed}) {who} has {again.estimate} %, "
            f"{_points(again.difference)} points against no prompts."
        )
    if final.precision is not None and gain is not None:
        reached = 100 * gain.ci95 <= final.precision
        lines.append(
            f"- Asked for: {its} to ± {final.precision:g} points; "
            + (f"{gain.episodes} episodes do." if reached else f"not reached by {gain.episodes} episodes.")
        )
    lines.append(
        f"- On its {finding.validation.episodes} validation episodes the winner had {finding.validation} %: "
        "higher than on fresh ones if it was lucky there, which is why those decide."
    )
    if finding.whole > 1:
        beaten = finding.whole - finding.may_be_best
        lines.append(
            f"- {finding.whole} trials did all of those. The truly best is one of {finding.may_be_best} (95 %): the "
            f"winner beats {beaten or 'none'} of them with confidence."
        )
    if finding.audit is not None:
        lines.append(_audited(finding.audit))
    return lines


def _audited(audit: Audit) -> str:
    searched, full = audit.searched, audit.full
    told = f"- Audit: the search took {searched} validation episodes, {100 * searched / full:.0f} % of the {full} that "
    told += "all trials take on all of them. "
    if audit.lead is None:
        return told + "Both have the same winner."
    sure = "cannot be told apart" if abs(audit.lead.mean) <= audit.lead.ci95 else "differ"
    return told + (
        f"Their winner would have been {setting_name(audit.best)}, on unseen episodes {_points(audit.lead)} points "
        f"against the search's own (paired, 95 %): the two {sure}."
    )


def left_out(lost: Sequence[str]) -> str:
    """Names the episodes that no worker survived."""
    return f"left out for all settings, as each worker that tried them died: {', '.join(lost)}"


def _judged(finding: Finding) -> int:
    return finding.best.estimate.episodes if finding.best.estimate else 0


def as_json(finding: Finding, where: dict[str, str]) -> dict[str, Any]:
    """Returns the object that `fpt sweep --json` prints. `where` is the `report` and its place in MLflow."""
    values = {"lambda": None, "alpha": None, "tau": None, "patches": None, **finding.values}
    accuracy, ci95 = numbers(finding.best.estimate)
    difference, difference_ci95 = numbers(finding.best.difference)
    return {
        "best": values,
        "final": {
            "episodes": _judged(finding),
            "accuracy": accuracy,
            "ci95": ci95,
            "baseline_accuracy": numbers(finding.baseline.estimate)[0],
            "difference": difference,
            "difference_ci95": difference_ci95,
            "p": finding.best.p,
            "p_holm": finding.best.p_holm,
            "again": None if finding.again is None else _compared_as_json(finding.again),
            "compared": {name: _compared_as_json(compared) for name, compared in finding.compared.items()},
        },
        "trials": rows_of(finding.record),
        "whole": finding.whole,
        "may_be_best": finding.may_be_best,
        "importances": None if finding.importances is None else dict(finding.importances),
        "audit": None if finding.audit is None else _audit_as_json(finding.audit),
        "episodes_spent": finding.spent,
        "episodes_lost": list(finding.lost),
        "mlflow": {name: place for name, place in where.items() if name != "report"} or None,
        "report": where.get("report"),
    }


def _audit_as_json(audit: Audit) -> dict[str, Any]:
    lead, lead_ci95 = numbers(audit.lead)
    shares = {"episodes_searched": audit.searched, "episodes_full": audit.full}
    return {**shares, "best": setting_name(audit.best), "lead": lead, "lead_ci95": lead_ci95}


def _compared_as_json(compared: Compared) -> dict[str, Any]:
    accuracy, ci95 = numbers(compared.estimate)
    difference, difference_ci95 = numbers(compared.difference)
    return {
        "config_hash": compared.config_hash,
        "accuracy": accuracy,
        "ci95": ci95,
        "difference": difference,
        "difference_ci95": difference_ci95,
        "p": compared.p,
        "p_holm": compared.p_holm,
        **compared.localisation,
    }
