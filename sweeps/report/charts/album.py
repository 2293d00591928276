"""Which pictures a finding has, and what each shows, in words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.report.charts.confidence import confidence_figure
from sweeps.report.charts.history import did_all, did_race, history_figure, racing_figure
from sweeps.report.charts.space import importances_figure, parallel_figure, slices_figure
from sweeps.report.charts.style import points, save
from sweeps.report.charts.verdict import SECONDS, cost_figure, costs, differences_figure, differing, front_of, told
from sweeps.verdict.confidence import Confidence
from sweeps.verdict.finding import Finding
from sweeps.verdict.landscape import best_of, kinds, told_by_slices

NAMES = ("differences", "confidence", "history", "racing", "cost", "parallel", "slices", "importances")


@dataclass(frozen=True)
class Picture:
    """A picture is a file, and in `alt` what it shows, for who does not see it."""

    path: Path
    alt: str


def draw_all(finding: Finding, logarithmic: Mapping[str, bool], folder: Path) -> list[Picture]:
    """Writes each picture that makes sense for a finding as a PNG named for what it shows. `logarithmic` says which
    hyper-parameters were searched by their logarithm.
    """
    return [Picture(save(draw(), folder / f"{name}.png"), alt) for name, draw, alt in _album(finding, logarithmic)]


def _album(finding: Finding, logarithmic: Mapping[str, bool]) -> Iterator[tuple[str, Callable[[], Any], str]]:
    trials = finding.tried
    if differing(finding):
        yield "differences", lambda: differences_figure(finding), _of_differences(finding)
    if (sure := finding.confidence) is not None:
        yield "confidence", lambda: confidence_figure(sure), _of_confidence(sure)
    if trials:
        yield "history", lambda: history_figure(trials), _of_history(finding)
        yield "racing", lambda: racing_figure(trials), _of_race(finding)
        if costs(trials):
            yield "cost", lambda: cost_figure(trials), _of_cost(finding)
        if kinds(trials):
            yield "parallel", lambda: parallel_figure(trials, logarithmic), _of_settings(finding)
        if any(told_by_slices(trials).values()):
            yield "slices", lambda: slices_figure(trials, logarithmic), _of_slices(finding)
    if shares := finding.importances:
        yield "importances", lambda: importances_figure(shares), _of_importances(finding)


def _of_differences(finding: Finding) -> str:
    told_ = (
        f"{name} {points(one.difference.mean, one.difference.ci95)}, {told(one)}"
        for name, one in differing(finding).items()
        if one.difference
    )
    return f"Differences to {finding.yardstick} in points, with 95 %: {'; '.join(told_)}."


def _of_confidence(confidence: Confidence) -> str:
    before, after = confidence.error
    boldest = confidence.kept[-1]
    return (
        f"Right answers over their probability, off by {before} points and, calibrated, {after}; wrong answers over "
        f"answers, up to {boldest.wrong} % where all is answered; and sets of {confidence.size.mean:.2f} classes on "
        f"average, which hold the true one in {confidence.covered} %."
    )


def _of_history(finding: Finding) -> str:
    trials, best = finding.tried, best_of(finding.tried)
    scores, raced = [100 * trial.score for trial in trials], int(did_race(trials).sum())
    apart = "" if raced == len(trials) else f", of which {raced} raced"
    return (
        f"Accuracy of {len(trials)} trials in their order{apart}, from {min(scores):.1f} to {max(scores):.1f} %. The "
        f"winner, with {100 * best.score:.1f} %, is number {trials.index(best) + 1}."
    )


def _of_race(finding: Finding) -> str:
    raced, done = [trial.episodes for trial in finding.tried if trial.episodes], int(did_all(finding.tried).sum())
    lanes = f"A lane for each of {len(raced)} trials that raced, as long as the episodes that it did"
    if done == len(raced):
        return f"{lanes}: all did {max(raced)}."
    return f"{lanes}: {done} did all {max(raced)}; the first to be stopped did {min(raced)}."


def _of_cost(finding: Finding) -> str:
    trials, spent = finding.tried, costs(finding.tried)
    assert spent is not None
    told_ = ", ".join(f"{100 * trials[i].score:.1f} % for {spent[i]:.3g}" for i in front_of(trials, spent))
    return f"Accuracy of each trial over {SECONDS}. No cheaper one that did all episodes is as good as these: {told_}."


def _of_settings(finding: Finding) -> str:
    names = ", ".join(kinds(finding.tried))
    return f"A line for each of {len(finding.tried)} trials through {names} to its accuracy; the winner's is thick."


def _of_slices(finding: Finding) -> str:
    names = ", ".join(name for name, numeric in told_by_slices(finding.tried).items() if numeric)
    return f"Accuracy of {len(finding.tried)} trials over each of {names}; the tables tell the same in numbers."


def _of_importances(finding: Finding) -> str:
    shares = (finding.importances or {}).items()
    return f"Importance of the hyper-parameters: {', '.join(f'{name} {share:.2f}' for name, share in shares)}."
