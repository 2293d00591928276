"""What was found, as pictures: differences to the yardstick, and accuracy against its cost."""

from collections import defaultdict
from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

from pipeline.config import BACKBONE
from sweeps.report.charts.history import DID_ALL, NO_RACE, STOPPED, did_all, did_race
from sweeps.report.charts.scale import scale_of
from sweeps.report.charts.style import (
    BLUE,
    GREEN,
    GREY,
    PALE,
    SMALL,
    STAR,
    VERMILION,
    in_style,
    label,
    legend_below,
    new_figure,
    points,
)
from sweeps.statistics.estimates import p_text
from sweeps.verdict.finding import Compared, Finding
from sweeps.verdict.landscape import Scored, best_of

ALIKE = 1.5  # highest cost over lowest that says little
# Settings share orders, whose time is divided evenly among them, unless they differ in one of these.
APART = (BACKBONE, "blocks", "embeddings")
SECONDS = "a worker's seconds an episode (mean of the trials that adapt as much)"
NAME = 2.4  # inches

BETTER, WORSE, UNTOLD = "better", "worse", "cannot be told apart from it"
LOOKS: dict[str, dict[str, Any]] = {
    BETTER: {"marker": "^", "color": GREEN},
    WORSE: {"marker": "v", "color": VERMILION},
    UNTOLD: {"marker": "o", "color": GREY, "markerfacecolor": "white"},
}


def differing(finding: Finding) -> dict[str, Compared]:
    """Returns the settings that have a difference to the baseline, on another seed too, by their
    names in the picture.
    """
    shown = {name: one for name, one in finding.compared.items() if one.difference is not None}
    if finding.again is not None and finding.again.difference is not None:
        shown[f"best, {finding.about.again if finding.about else 'another seed'}"] = finding.again
    return shown


@in_style
def differences_figure(finding: Finding) -> Any:
    """Draws each difference to the yardstick with its 95 %, and a line at 0. Raises ValueError where there is none."""
    shown = differing(finding)
    if not shown:
        raise ValueError("compared must have a difference to be drawn but have none")
    figure = new_figure(8.0, 1.5 + 0.32 * len(shown))
    axis = figure.add_subplot()
    axis.axvline(0, color="black", linewidth=1)
    for row, one in enumerate(shown.values()):
        assert one.difference is not None
        look = LOOKS[told(one)]
        half = 100 * one.difference.ci95 if isfinite(one.difference.ci95) else np.nan
        bar = {"capsize": 3, "linewidth": 1.6, "markersize": 7, "ecolor": look["color"]}
        axis.errorbar([100 * one.difference.mean], [row], xerr=[half], **bar, **look)
    for name in dict.fromkeys(told(one) for one in shown.values()):
        axis.plot([], [], **LOOKS[name], linestyle="none", label=name)
    axis.set_yticks(range(len(shown)), [label(name, NAME, SMALL) for name in shown])
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.margins(x=0.08)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=PALE, linewidth=0.5)
    axis.set_axisbelow(True)
    right = axis.secondary_yaxis("right")
    right.set_yticks(range(len(shown)), [_numbers(one) for one in shown.values()])
    right.tick_params(length=0)
    for side in (axis.spines["left"], right.spines["right"]):
        side.set_visible(False)
    episodes = finding.best.estimate.episodes if finding.best.estimate else 0
    on = f", {episodes} unseen episodes" if episodes else ""
    axis.set(xlabel="points of accuracy, bar: 95 %", title=f"Differences to {finding.yardstick}{on}, paired")
    legend_below(figure, axis)
    return figure


def told(compared: Compared) -> str:
    """Says whether a difference can be told, after correction, and which way it goes."""
    if compared.difference is None or not compared.differs:
        return UNTOLD
    return BETTER if compared.difference.mean > 0 else WORSE


def _numbers(compared: Compared) -> str:
    assert compared.difference is not None
    said = points(compared.difference.mean, compared.difference.ci95)
    if compared.p_holm is None:
        return said
    return f"{said}, p {p_text(compared.p_holm)}"


def costs(trials: Sequence[Scored]) -> list[float] | None:
    """Returns what each trial costs, in seconds an episode: the mean over all that adapt as much of the same backbone,
    as those that share an order have one time, and others of them differ by chance. None where that is one cost, or
    nearly.
    """
    alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, trial in enumerate(trials):
        alike[tuple(trial.values.get(name) for name in APART)].append(place)
    cost = [0.0] * len(trials)
    for places in alike.values():
        episodes = [trials[place].episodes + trials[place].looks for place in places]
        spent = sum(trials[place].seconds * count for place, count in zip(places, episodes, strict=True))
        for place in places:
            cost[place] = spent / max(1, sum(episodes))
    return cost if min(cost) > 0 and max(cost) >= ALIKE * min(cost) else None


@in_style
def cost_figure(trials: Sequence[Scored]) -> Any:
    """Draws scores over cost, of those that raced with 95 % of their difference to the best, and the front: those of
    the trials that did all episodes which no cheaper one equals.

    Raises ValueError for no trials, and where all cost the same.
    """
    best = best_of(trials)
    spent = costs(trials)
    if spent is None:
        raise ValueError("trials must differ in cost to be drawn but do not")
    at, scores = np.array(spent), np.array([100 * trial.score for trial in trials])
    halves = np.array([100 * trial.difference.ci95 for trial in trials])
    halves[~np.isfinite(halves)] = np.nan
    figure = new_figure(7.5, 4.2)
    axis = figure.add_subplot()
    scale = scale_of(spent)
    axis.set_xscale("log" if scale.logarithmic else "linear")
    axis.set_xticks(list(scale.marks), list(scale.marks.values()))
    axis.minorticks_off()
    front = front_of(trials, spent)
    line = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.2}
    axis.step(at[front], scores[front], where="post", label="front of those that did all", **line)
    whole, raced = did_all(trials), did_race(trials)
    if not raced.all():
        axis.plot(at[~raced], scores[~raced], ".", color="0.6", markersize=4, label=f"{NO_RACE}, as expected")
    for chosen, face, text in ((whole, BLUE, DID_ALL), (raced & ~whole, "white", STOPPED)):
        if chosen.any():
            bar = {"fmt": "o", "color": BLUE, "markerfacecolor": face, "ecolor": "0.7", "elinewidth": 1, "label": text}
            axis.errorbar(at[chosen], scores[chosen], halves[chosen], **bar, markersize=5, zorder=2.5)
    axis.plot([spent[trials.index(best)]], [100 * best.score], label="winner", **STAR, markersize=15)
    margin = max(float(np.ptp(scores)) / 4, 0.5)
    axis.set_ylim(scores.min() - margin, scores.max() + margin)
    axis.set(xlabel=SECONDS, ylabel="validation accuracy %", title="Accuracy against cost")
    axis.grid(color=PALE, linewidth=0.5)
    axis.set_axisbelow(True)
    legend_below(figure, axis)
    return figure


def front_of(trials: Sequence[Scored], spent: Sequence[float]) -> list[int]:
    """Returns the places of the front of those trials that did all episodes: what was stopped is not as well known."""
    whole = [place for place, did in enumerate(did_all(trials)) if did]
    return [whole[i] for i in pareto_front([spent[i] for i in whole], [trials[i].score for i in whole])]


def pareto_front(spent: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Returns the places of the trials that nothing equals or betters at the same cost or less, the cheapest first."""
    front: list[int] = []
    for i in sorted(range(len(spent)), key=lambda i: (spent[i], -scores[i])):
        if not front or scores[i] > scores[front[-1]]:
            front.append(i)
    return front
