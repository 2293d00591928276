"""What a search found: plain values, which say nothing of Ray, Tune or Optuna."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.backbones import BackboneName
from pipeline.config import HyperParameters, Run
from sweeps.schema.naming import in_order
from sweeps.statistics.estimates import Estimate
from sweeps.statistics.rows import LOCALISATION

LEAST_TRIALS = 32  # with a score, below which importances are not told: their best quarter would be a handful


@dataclass(frozen=True)
class Report:
    """A report says what a trial had after a rung, over the `episodes` of all its rungs so far, of which so many
    `failed`. `accuracy` is None where an episode failed; seconds are a worker's.
    """

    episodes: int
    failed: int
    accuracy: float | None
    ci95: float | None
    seconds_per_episode: float
    localisation: Mapping[str, float | None]

    @staticmethod
    def of(metrics: Mapping[str, Any]) -> "Report":
        """Returns the report that holds METRICS (sweeps/statistics/rows.py)."""
        return Report(
            metrics["episodes"],
            metrics["failed"],
            metrics["accuracy"],
            metrics["ci95"],
            metrics["seconds_per_episode"],
            {name: metrics[name] for name in LOCALISATION},
        )


@dataclass(frozen=True)
class Gain:
    """A gain is what so many more `looks` are expected to gain, in accuracy, and its standard deviation, in the opinion
    of the model of those before.
    """

    looks: int
    mean: float
    spread: float

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f} ± {100 * self.spread:.1f} points"


@dataclass(frozen=True)
class Trial:
    """A trial is a setting that a search tried. `name` is `generation.number` of its first look; `looks` are what it
    had on an episode or two each, `reports` come after each rung of the race that it did.

    `score` is its accuracy over all episodes of the race: as measured where it did them, by control variate where it
    was stopped, and as the model of all looks expects it where it did not race; None where an episode failed.
    `to_winner` is how far it is from the winner, in that model's opinion (95 %), None where that cannot be told.
    `stopped_by` is the rule that stopped it in the race, `error` where it could not go on, None where nothing did.
    """

    name: str
    generation: int
    values: HyperParameters
    looks: tuple[Report, ...] = ()
    reports: tuple[Report, ...] = ()
    score: float | None = None
    to_winner: Estimate | None = None
    stopped_by: str | None = None

    @property
    def raced(self) -> int:
        """Returns how many episodes of the race the trial did."""
        return self.reports[-1].episodes if self.reports else 0

    @property
    def episodes(self) -> int:
        """Returns how many episodes the trial did."""
        return self.raced + sum(look.episodes for look in self.looks)

    @property
    def accuracy(self) -> float | None:
        """Returns the mean accuracy over those of the race, or of all looks where it did not race; None where an
        episode failed, or there was none.
        """
        if self.reports:
            return self.reports[-1].accuracy
        seen = [look.accuracy for look in self.looks]
        return sum(map(float, seen)) / len(seen) if seen and None not in seen else None  # type: ignore[arg-type]

    @property
    def seconds(self) -> float:
        """Returns how long workers took for all of them."""
        race = self.reports[-1:]
        return sum(report.seconds_per_episode * report.episodes for report in (*self.looks, *race))


@dataclass(frozen=True)
class RacedBackbone:
    """A backbone, by its `label` in the space, had this accuracy by its best frozen `classifier`; `behind` is the
    difference of that to the best classifier of all backbones, on the episodes that both did: None for the best itself.
    It `stays` in the search, or was left out. There are no figures where there was no race.
    """

    label: str
    backbone: BackboneName
    classifier: str = ""
    accuracy: Estimate | None = None
    behind: Estimate | None = None
    stays: bool = True


@dataclass(frozen=True)
class Backbones:
    """These are the backbones of a space, in its order, and how many `problems` their race took."""

    raced: tuple[RacedBackbone, ...]
    problems: int = 0

    @property
    def left(self) -> list[RacedBackbone]:
        """Returns those that stay in the search."""
        return [one for one in self.raced if one.stays]

    @property
    def out(self) -> list[RacedBackbone]:
        """Returns those that were left out."""
        return [one for one in self.raced if not one.stays]

    @property
    def best(self) -> RacedBackbone:
        """Returns the best of those that stay; the first where they did not race."""
        return next((one for one in self.left if one.accuracy is not None and one.behind is None), self.left[0])


@dataclass(frozen=True)
class SearchRecord:
    """A record holds all `trials` of a search in the order of their first looks. A rung is a number of episodes after
    which those that race are judged: `rungs` are all of them. `importances` are the hyper-parameters' shares
    (importance.py), None where they cannot be told; `gain` is what more looks are expected to gain; `backbones` are
    those of the space, None where it holds none.
    """

    trials: tuple[Trial, ...]
    rungs: tuple[int, ...]
    importances: Mapping[str, float] | None = None
    gain: Gain | None = None
    backbones: Backbones | None = None

    @property
    def racers(self) -> list[Trial]:
        """Returns the trials that raced."""
        return [trial for trial in self.trials if trial.reports]

    @property
    def whole(self) -> list[Trial]:
        """Returns the trials that did all episodes of the race without a failure."""
        return [trial for trial in self.trials if self._did_all(trial) and trial.accuracy is not None]

    @property
    def leader(self) -> Trial | None:
        """Returns the most accurate of those trials, of equals the earlier; None where there is none."""
        return max(self.whole, key=lambda trial: trial.accuracy or 0.0, default=None)

    @property
    def winner(self) -> Trial:
        """Returns the leader. Raises RuntimeError where no trial did all its episodes without a failure."""
        if (leader := self.leader) is None:
            raise RuntimeError("no trial did all its episodes without a failure; lower rates in search.space may help")
        return leader

    @property
    def problems(self) -> int:
        """Returns how many problems the search took, the race of backbones among them."""
        return sum(trial.episodes for trial in self.trials) + (self.backbones.problems if self.backbones else 0)

    @property
    def raced(self) -> int:
        """Returns how many problems of those the race took."""
        return sum(trial.raced for trial in self.trials)

    def label_of(self, run: Run) -> str | None:
        """Returns what the space calls the backbone of a run; None where it holds none."""
        raced = self.backbones.raced if self.backbones else ()
        return next((one.label for one in raced if one.backbone == run.backbone), None)

    def _did_all(self, trial: Trial) -> bool:
        return len(trial.reports) == len(self.rungs)


def names_of(settings: Iterable[HyperParameters]) -> list[str]:
    """Returns the hyper-parameters of all settings, in their order."""
    return in_order(name for values in settings for name in values)
