"""What a search found: plain values, which say nothing of Ray, Tune or Optuna."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import HyperParameters
from sweeps.statistics.rows import LOCALISATION

LEAST_TRIALS = 8  # trials with a score, below which importances are not told


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
class Trial:
    """A trial is a setting that a search tried. `name` is `generation.number`; `reports` come after each rung that it
    did.

    `score` is its accuracy over all episodes, for a stopped trial by control variate, None where an episode failed or
    there was no trial to tell it by. `stopped_by` is the rule that stopped it, `error` where it could not go on, None
    where it did all rungs.
    """

    name: str
    generation: int
    values: HyperParameters
    reports: tuple[Report, ...] = ()
    score: float | None = None
    stopped_by: str | None = None

    @property
    def episodes(self) -> int:
        """Returns how many episodes the trial did."""
        return self.reports[-1].episodes if self.reports else 0

    @property
    def accuracy(self) -> float | None:
        """Returns the mean accuracy over those, None where an episode failed, or there was none."""
        return self.reports[-1].accuracy if self.reports else None

    @property
    def seconds(self) -> float:
        """Returns how long workers took for those."""
        return self.reports[-1].seconds_per_episode * self.episodes if self.reports else 0.0


@dataclass(frozen=True)
class SearchRecord:
    """A record holds all `trials` of a search in their order. A rung is a number of episodes after which trials are
    judged: `rungs` are all of them. `importances` are the hyper-parameters' shares (importance.py), None where they
    cannot be told.
    """

    trials: tuple[Trial, ...]
    rungs: tuple[int, ...]
    importances: Mapping[str, float] | None = None

    @property
    def whole(self) -> list[Trial]:
        """Returns the trials that did all episodes without a failure."""
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

    def check_ended(self, planned: int) -> None:
        """Raises RuntimeError where a planned trial has neither done all its rungs nor been stopped."""
        ended = sum(self._did_all(trial) or trial.stopped_by is not None for trial in self.trials)
        if ended < planned:
            raise RuntimeError(
                f"the search has ended early, with {ended} of {planned} trials done; the same command goes on with it"
            )

    def _did_all(self, trial: Trial) -> bool:
        return len(trial.reports) == len(self.rungs)


def names_of(settings: Iterable[HyperParameters]) -> list[str]:
    """Returns the hyper-parameters of all settings, in the order of a setting that has most of them."""
    return list(dict.fromkeys(name for values in sorted(settings, key=lambda values: -len(values)) for name in values))
