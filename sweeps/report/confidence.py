"""How sure the winner may be of its answers, in words and a table."""

from collections.abc import Iterator
from typing import Any

from sweeps.report import markdown
from sweeps.statistics.estimates import Estimate, numbers
from sweeps.verdict.confidence import Confidence, Kept, Unknown

TITLE = "How sure it may be"
RISKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)  # that are told
COLUMNS = ("at most wrong %", "promised", "answers %", "of these wrong %")
WITH_RISKS = (
    "`fpt predict --risk 0.05` answers where at most 5 % of its answers are wrong. What is promised was shown on "
    "validation episodes (one-sided, 95 %, over episodes and classes) and holds for classifiers fitted to as many "
    "pictures of as many classes, of their kind; beside it stands what came of it on unseen episodes of novel classes."
)


def lines(confidence: Confidence) -> list[str]:
    """Says what was fitted, and how it did on unseen episodes."""
    return list(_lines(confidence))


def _lines(confidence: Confidence) -> Iterator[str]:
    fitted, (before, after), (loss, less) = confidence.calibration, confidence.error, confidence.loss
    way = fitted.way
    yield (
        f"Probabilities are off by {before} points as they are, and by {after} with a temperature of "
        f"{fitted.temperature:.3g} (expected calibration error; log loss {_plain(loss)} and {_plain(less)}), which "
        f"{fitted.told} of validation classes asked for."
    )
    yield (
        f"The classes with a probability of {_percent(fitted.in_set)} or more hold the true one in {confidence.covered}"
        f" % of all cases (for other classes of their kind ± {100 * confidence.covered_elsewhere.ci95:.1f}; "
        f"{100 * fitted.coverage:.0f} % were asked for), and are {_plain(confidence.size)} of {way}."
    )
    if confidence.unknown is not None and fitted.recognised is not None:
        yield _of_unknown(confidence.unknown, fitted.recognised)
    lowest = min((one.promise.risk for one in confidence.kept), default=1.0)
    yield f"The lowest share of wrong answers that can be promised is {_percent(lowest)}."


def _of_unknown(unknown: Unknown, recognised: float) -> str:
    return (
        f"A picture of a class that is none of an episode's has a lower highest probability than a query in "
        f"{unknown.apart} % of pairs (the area under the curve; 50 % is chance). The limit that "
        f"{100 * recognised:.0f} % of queries pass calls {unknown.caught} % of such pictures none of these, and "
        f"{unknown.mistaken} % of the queries."
    )


def rows(confidence: Confidence) -> list[tuple[str, ...]]:
    """Returns a row below COLUMNS for each of RISKS."""
    return [(f"{100 * risk:g}", *_row(confidence.kept_at(risk))) for risk in RISKS]


def _row(kept: Kept | None) -> tuple[str, str, str]:
    if kept is None:
        return "cannot be", "", ""
    return f"from {_percent(kept.promise.least)} on", str(kept.answered), str(kept.wrong)


def as_markdown(confidence: Confidence) -> list[str]:
    """Returns the lines of a report's section."""
    told = [f"- {line}" for line in lines(confidence)]
    return [f"## {TITLE}", "", *told, "", *markdown.table(COLUMNS, rows(confidence)), "", WITH_RISKS]


def for_page(confidence: Confidence) -> dict[str, Any]:
    """Returns what the page's section shows."""
    told = {"title": TITLE, "lines": lines(confidence), "columns": COLUMNS, "rows": rows(confidence)}
    return {**told, "note": WITH_RISKS.replace("`", "")}


def as_json(confidence: Confidence) -> dict[str, Any]:
    """Returns the figures as plain numbers."""
    unknown, risks = confidence.unknown, dict[str, Any]()
    for risk in RISKS:
        kept = confidence.kept_at(risk)
        told = None if kept is None else {"answered": numbers(kept.answered), "wrong": numbers(kept.wrong)}
        risks[f"{risk:g}"] = told
    return {
        "temperature": confidence.calibration.temperature,
        "calibration_error": [numbers(one) for one in confidence.error],
        "log_loss": [numbers(one) for one in confidence.loss],
        "covered": numbers(confidence.covered),
        "covered_elsewhere": numbers(confidence.covered_elsewhere),
        "set_size": numbers(confidence.size),
        "risks": risks,
        "told_apart": None if unknown is None else numbers(unknown.apart),
        "none_of_these": None
        if unknown is None
        else {"outsiders": numbers(unknown.caught), "queries": numbers(unknown.mistaken)},
    }


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _plain(estimate: Estimate) -> str:
    return f"{estimate.mean:.2f} ± {estimate.ci95:.2f}"
