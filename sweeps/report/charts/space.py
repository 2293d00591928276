"""The search space as pictures: which hyper-parameters matter, and where in it the good settings are."""

from collections.abc import Mapping, Sequence
from math import ceil, isfinite
from typing import Any

import numpy as np

from sweeps.report.charts.history import DID_ALL, NO_RACE, STOPPED, did_all, did_race
from sweeps.report.charts.scale import Scale, scale_of
from sweeps.report.charts.style import (
    BLUE,
    GREY,
    LETTERS,
    SMALL,
    STAR,
    TINY,
    VERMILION,
    in_style,
    label,
    legend_below,
    new_figure,
    shades,
)
from sweeps.verdict.landscape import Scored, best_of, kinds, told_by_slices

HIGH = 1.06  # where names stand above the axes, which are 1 high
DASHES, THIN = (0, (4, 1.5)), 0.4


@in_style
def parallel_figure(trials: Sequence[Scored], logarithmic: Mapping[str, bool]) -> Any:
    """Draws a line for each trial through its hyper-parameters to its accuracy, the darker the better, and thin where
    it did not race; where a trial lacks a hyper-parameter, its line is broken. `logarithmic` says how each was
    searched. Raises ValueError for no trials and for none that has a hyper-parameter.
    """
    best, names = best_of(trials), list(kinds(trials))
    if not names:
        raise ValueError("trials must have a hyper-parameter to be drawn but have none")
    scales = {
        name: scale_of([trial.values[name] for trial in trials if name in trial.values], logarithmic.get(name))
        for name in names
    }
    accuracy = scale_of([100 * trial.score for trial in trials])
    figure = new_figure(min(16.0, max(5.0, 1.4 * len(names) + 1.2)), 4.4)
    axis = figure.add_subplot()
    norm, colours, _ = shades([100 * trial.score for trial in trials])
    whole, raced = did_all(trials), did_race(trials)
    wide = 1.4 if raced.sum() <= 60 else 0.8
    for i in sorted(range(len(trials)), key=lambda i: (trials[i] is best, raced[i], trials[i].score)):
        trial = trials[i]
        line = {"color": colours(norm(100 * trial.score)), "linewidth": wide, "marker": ".", "markersize": 4}
        line |= {"linestyle": "-" if whole[i] else DASHES, "clip_on": False}
        if not raced[i]:
            line |= {"linewidth": THIN, "linestyle": "-", "markersize": 2}
        if trial is best:
            line |= {"color": VERMILION, "linewidth": 3.0, "markersize": 10, "label": "winner"}
        shares = [_height(scales[name], trial.values.get(name)) for name in names]
        axis.plot(range(len(names) + 1), [*shares, accuracy.share(100 * trial.score)], **line)
    told: list[tuple[str, Any, float]] = [(DID_ALL, "-", wide), (STOPPED, DASHES, wide), (NO_RACE, "-", THIN)]
    for text, style, width in told if not raced.all() else told[:2]:
        axis.plot([], [], color=GREY, linestyle=style, linewidth=width, label=text)
    for place, name in enumerate(names):
        _stand(axis, place, name, scales[name])
    _stand(axis, len(names), "accuracy %", accuracy)
    axis.set(xlim=(-0.45, len(names) + 0.45), ylim=(-0.03, HIGH + 0.06))
    axis.axis("off")
    axis.set_title("Settings: the darker, the more accurate")
    legend_below(figure, axis)
    return figure


def _height(scale: Scale, value: float | int | str | bool | None) -> float:
    return np.nan if value is None else scale.share(scale.place(value))


def _stand(axis: Any, place: int, name: str, scale: Scale) -> None:
    """Draws an upright axis, on which 0 is apart."""
    low = 0.0 if scale.line is None else scale.share(scale.line)
    axis.plot([place, place], [low, 1], color="black", linewidth=0.9, zorder=3)
    axis.text(place, HIGH, label(name, 1.3, LETTERS), ha="center", fontsize=LETTERS, weight="bold")
    marks = {**scale.marks, **_ends(scale)}
    for at, text in marks.items():
        height = scale.share(at)
        said = "no prompts" if name == "alpha" and at == scale.zero else text
        axis.plot([place - 0.02, place], [height, height], color="black", linewidth=0.9, zorder=3)
        behind = {"boxstyle": "square,pad=0.15", "facecolor": "white", "linewidth": 0}  # no line goes across a number
        shown = label(said, 0.9, TINY)
        axis.text(place - 0.05, height, shown, ha="right", va="center", fontsize=TINY, bbox=behind, zorder=4)


def _ends(scale: Scale) -> dict[float, str]:
    """Returns marks of the lowest and the highest value, where no other mark is near."""
    if scale.choices:
        return {}
    marked = [scale.share(at) for at in scale.marks]
    ends = {end: scale.share(end) for end in (scale.low, scale.high)}
    return {end: f"{end:.3g}" for end, here in ends.items() if all(abs(here - other) > 0.05 for other in marked)}


@in_style
def importances_figure(shares: Mapping[str, float]) -> Any:
    """Draws a bar for each share, the largest first. Raises ValueError for no shares."""
    if not shares:
        raise ValueError("importances must be of at least 1 hyper-parameter but got 0")
    figure = new_figure(6.0, 1.0 + 0.3 * len(shares))
    axis = figure.add_subplot()
    bars = axis.barh(range(len(shares)), list(shares.values()), height=0.62, color=BLUE)
    axis.bar_label(bars, [f"{share:.2f}" for share in shares.values()], padding=4, fontsize=SMALL)
    axis.set_yticks(range(len(shares)), [label(name, 2.0, SMALL) for name in shares])
    axis.set_ylim(len(shares) - 0.4, -0.6)
    axis.set(xlabel="share of what is explained (PED-ANOVA)", title="Importance of the hyper-parameters")
    axis.set_xlim(0, 1.12 * max(*shares.values(), 0.01))
    return figure


@in_style
def slices_figure(trials: Sequence[Scored], logarithmic: Mapping[str, bool]) -> Any:
    """Draws a panel for each numeric hyper-parameter that enough trials have: scores of those that raced with 95 % of
    their difference to the best, cut where it is far more than the scores span, and small what is expected of the
    others. `logarithmic` says how each was searched. Raises ValueError for no trials and no panel.
    """
    best, names = best_of(trials), [name for name, numeric in told_by_slices(trials).items() if numeric]
    if not names:
        raise ValueError("enough trials must have a numeric hyper-parameter to be drawn but do not")
    columns, rows = min(3, len(names)), ceil(len(names) / 3)
    figure = new_figure(3 * columns + 0.6, 2.4 * rows + 0.6)
    for place, name in enumerate(names, 1):
        axis = figure.add_subplot(rows, columns, place, sharey=figure.axes[0] if figure.axes else None)
        _draw_panel(axis, trials, name, best, logarithmic.get(name))
    scores = np.array([100 * trial.score for trial in trials])
    margin = max(np.ptp(scores) / 2, 0.5)
    axis.set_ylim(scores.min() - margin, scores.max() + margin)
    figure.supylabel("accuracy %", fontsize=LETTERS)
    legend_below(figure, axis)
    return figure


def _draw_panel(axis: Any, trials: Sequence[Scored], name: str, best: Scored, logarithmic: bool | None) -> None:
    all_raced = did_race(trials)
    raced = all_raced[[name in trial.values for trial in trials]]
    own = [trial for trial in trials if name in trial.values]
    at = np.array(_places(axis, [float(trial.values[name]) for trial in own], logarithmic))
    scores = np.array([100 * trial.score for trial in own])
    bars = np.array([100 * trial.difference.ci95 if isfinite(trial.difference.ci95) else np.nan for trial in own])
    if not all_raced.all():
        axis.plot(at[~raced], scores[~raced], ".", color="0.6", markersize=3, label=f"{NO_RACE}, as expected")
    bar = {"ecolor": "0.6", "linewidth": 1, "capsize": 2, "label": "trial, bar: 95 % of its difference to the winner"}
    axis.errorbar(at[raced], scores[raced], bars[raced], fmt="o", color=BLUE, markersize=4, **bar)
    star = {**STAR, "markersize": 13, "label": "winner"}
    axis.plot([x if trial is best else np.nan for x, trial in zip(at, own, strict=True)], scores, **star)
    axis.set_xlabel(label(name, 2.5, LETTERS))


def _places(axis: Any, values: Sequence[float], logarithmic: bool | None) -> list[float]:
    """Returns where values are on the axis, whose scale and ticks this sets: 0 at the left of all others."""
    scale = scale_of(values, logarithmic)
    if scale.logarithmic:
        axis.set_xscale("log")
    if scale.line is not None:
        axis.axvline(scale.line, color="0.6", linestyle=":", linewidth=0.8)
    axis.set_xticks(list(scale.marks), list(scale.marks.values()))
    axis.minorticks_off()
    return [scale.place(value) for value in values]
