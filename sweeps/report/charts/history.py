"""How a sweep went: the score of each trial in order, and how far those that raced came."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil, isfinite
from typing import Any

import numpy as np

from pipeline.config import HyperParameters
from sweeps.report.charts.style import (
    BLUE,
    GREY,
    PALE,
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
from sweeps.schema.naming import in_order
from sweeps.verdict.landscape import Scored, best_of

WIDTH = 9.0  # inches
TALLEST, LANE = 10.5, 0.2  # inches of all lanes together at most, of one where there is room
ROOM = 0.11  # inches of a lane that hold a line of text
LABEL = 3.4  # inches of such a line at most
DID_ALL, STOPPED, NO_RACE = "did all episodes", "stopped", "did not race"


@in_style
def history_figure(trials: Sequence[Scored]) -> Any:
    """Draws scores in the order of the trials' first looks, small where it is what the model of all looks expects, and
    the best trial so far that did all episodes of the race, with its 95 % interval.

    Raises ValueError for no trials.
    """
    best, whole, raced = best_of(trials), did_all(trials), did_race(trials)
    figure = new_figure(WIDTH, 3.6)
    axis = figure.add_subplot()
    order, scores = np.arange(1, len(trials) + 1), np.array([100 * trial.score for trial in trials])
    for change in _generations(trials):
        axis.axvline(change + 0.5, color=PALE, linestyle=":", linewidth=0.8, zorder=0)
    if not raced.all():
        small = {"marker": ".", "linestyle": "none", "markersize": 6 if len(trials) <= 60 else 4, "color": GREY}
        axis.plot(order[~raced], scores[~raced], label="did not race, as expected by all looks", **small)
    dots = {"marker": "o", "linestyle": "none", "markersize": 6, "color": BLUE}
    axis.plot(order[whole], scores[whole], label=DID_ALL, **dots)
    if (stopped := raced & ~whole).any():
        hollow = {**dots, "markerfacecolor": "white", "markeredgewidth": 1.0}
        axis.plot(order[stopped], scores[stopped], label="raced and stopped, as all episodes would have it", **hollow)
    _best_so_far(axis, trials, whole)
    axis.plot([order[trials.index(best)]], [100 * best.score], label="winner", **STAR, markersize=15)
    axis.set(
        xlabel="trial, in order of first looks; dotted: generations", ylabel="validation accuracy %", title="History"
    )
    axis.set_xlim(0.3, len(trials) + 0.7)
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axis.grid(axis="y", color=PALE, linewidth=0.5)
    axis.set_axisbelow(True)
    legend_below(figure, axis, 3)
    return figure


def did_all(trials: Sequence[Scored]) -> Any:
    """Returns for each trial whether it did as many episodes of the race as any, as an array of truths."""
    most = max(trial.episodes for trial in trials)
    return np.array([trial.episodes == most for trial in trials])


def did_race(trials: Sequence[Scored]) -> Any:
    """Returns for each trial whether it raced, as an array of truths."""
    return did_all(trials) | np.array([trial.episodes > 0 for trial in trials])


def _generations(trials: Sequence[Scored]) -> list[int]:
    """Counts the trials that there are before each generation but the first."""
    told = [trial.name.partition(".")[0] for trial in trials]
    return [place for place in range(1, len(told)) if told[place] != told[place - 1]]


def _best_so_far(axis: Any, trials: Sequence[Scored], whole: Any) -> None:
    """Draws a step line from the first trial that did all episodes on."""
    done = [trial if all_ else None for trial, all_ in zip(trials, whole, strict=True)]
    leaders = [one for one in accumulate(done, _better) if one is not None]
    first = len(trials) - len(leaders)
    at = np.arange(first + 1, len(trials) + 2) - 0.5  # each from halfway to its neighbours
    means = np.array([100 * leader.score for leader in (*leaders, leaders[-1])])
    halves = np.array([_half(leader) for leader in (*leaders, leaders[-1])])
    line = {"color": VERMILION, "linewidth": 1.6, "linestyle": (0, (5, 1.5)), "label": "best so far"}
    axis.step(at, means, where="post", **line)
    if np.isfinite(halves).any():
        band = {"color": VERMILION, "alpha": 0.13, "linewidth": 0, "label": "95 % of its mean"}
        axis.fill_between(at, means - halves, means + halves, step="post", **band)


def _better(old: Scored | None, new: Scored | None) -> Scored | None:
    return new if old is None or (new is not None and new.score > old.score) else old


def _half(trial: Scored) -> float:
    """Returns half the interval of a trial's accuracy, in points; nan where it has none."""
    half = trial.curve[-1].ci95 if trial.curve else np.nan
    return 100 * half if isfinite(half) else np.nan


@in_style
def racing_figure(trials: Sequence[Scored]) -> Any:
    """Draws a lane for each trial that raced, as long as the episodes that it did, the darker the better; ticks are
    where it was judged.

    Raises ValueError for no trials.
    """
    from matplotlib.cm import ScalarMappable

    best = best_of(trials)
    trials = [trial for trial, raced in zip(trials, did_race(trials), strict=True) if raced]
    whole = did_all(trials)
    height = min(TALLEST, max(1.2, LANE * len(trials)))
    figure = new_figure(WIDTH, height + 1.4)
    axis = figure.add_subplot()
    lanes, done = np.arange(len(trials)), np.array([trial.episodes for trial in trials])
    norm, colours, cut = shades([100 * trial.score for trial in trials])
    fill = colours(norm([100 * trial.score for trial in trials]))
    axis.barh(lanes, done, height=0.78, color=fill, edgecolor=GREY, linewidth=0.3)
    judged = [(lane, one.episodes) for lane, trial in enumerate(trials) for one in trial.curve[:-1]]
    axis.vlines([x for _, x in judged], [y - 0.39 for y, _ in judged], [y + 0.39 for y, _ in judged], "white", lw=1.2)
    lane = 72 * height / len(trials)  # points
    size = min(7.0, 0.75 * lane)
    marks = {"linestyle": "none", "markersize": size, "markeredgecolor": "black", "clip_on": False, "zorder": 4}
    ends = whole & (lanes != trials.index(best))
    for chosen, marker, text in ((ends, "o", DID_ALL), (~whole, "X", STOPPED)):
        if chosen.any():
            axis.plot(done[chosen], lanes[chosen], marker, color="white", label=text, **marks)
    star = {**STAR, "markersize": max(11.0, 2 * size), "clip_on": False, "label": "winner"}
    axis.plot([best.episodes], [trials.index(best)], **star)
    _name_lanes(axis, trials, height / len(trials))
    rungs = sorted({one.episodes for trial in trials for one in trial.curve} | {best.episodes})
    axis.set_xticks(rungs, _thinned(rungs))
    axis.grid(axis="x", color=PALE, linewidth=0.5)
    axis.set_axisbelow(True)
    axis.set(xlabel="episodes of the race done; ticks: where trials were judged", title="The race")
    axis.set_xlim(0, 1.03 * max(rungs))
    shown = ScalarMappable(norm, colours)
    bar = figure.colorbar(shown, ax=axis, extend="min" if cut else "neither", fraction=0.03, aspect=30, pad=0.02)
    bar.set_label("accuracy %", fontsize=SMALL)
    bar.ax.tick_params(labelsize=TINY)
    legend_below(figure, axis)
    return figure


def _name_lanes(axis: Any, trials: Sequence[Scored], room: float) -> None:
    """Puts names at the left; where lanes have room, in inches, each has its setting and its score too."""
    every = ceil(ROOM / room)
    lanes = list(range(0, len(trials), every))
    if every == 1:
        told = [f"{trials[lane].name or lane + 1}:  {setting_text(trials[lane].values)}" for lane in lanes]
        right = axis.secondary_yaxis("right")
        right.set_yticks(lanes, [f"{100 * trial.score:.1f}" for trial in trials], fontsize=TINY)
        right.tick_params(length=0)
        right.spines[:].set_visible(False)
    else:
        told = [trials[lane].name or str(lane + 1) for lane in lanes]
    axis.set_yticks(lanes, [label(one, LABEL, TINY) for one in told], fontsize=TINY)
    axis.tick_params(axis="y", length=0 if every == 1 else 2)
    axis.set_ylim(len(trials) - 0.4, -0.6)
    axis.spines["left"].set_visible(False)


def _thinned(rungs: Sequence[int]) -> list[str]:
    """Returns the texts of ticks, empty where a text would touch the next."""
    texts, right = [], float("inf")
    for rung in reversed(rungs):
        room = right - rung > 0.045 * rungs[-1]
        texts.append(str(rung) if room else "")
        right = rung if room else right
    return texts[::-1]


def setting_text(values: Mapping[str, Any] | HyperParameters) -> str:
    """Says a trial's hyper-parameters in a line: `lambda 0.5 · alpha 2 · tau 1 · P 4 · lr 0.01`."""
    return " · ".join(_told(name, values[name]) for name in in_order(values))


def _told(name: str, value: Any) -> str:
    if name == "alpha" and value == 0:
        return "no prompts"
    if name == "name":
        return str(value)
    return f"{'P' if name == 'patches' else name} " + (f"{value:.3g}" if isinstance(value, float) else str(value))
