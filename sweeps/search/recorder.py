"""What happens to trials, told to MLflow and to the progress display."""

from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune

from pipeline.config import HyperParameters, Run, with_hyper_parameters
from pipeline.session import Session
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Search
from sweeps.search.plan import Plan
from sweeps.search.record import SearchRecord, Trial
from sweeps.statistics.estimates import NORMAL, Estimate
from sweeps.statistics.rows import METRICS
from sweeps.terminal.progress import Best, Progress, Trials
from sweeps.tracking.fields import Data, hash_tag, parameters_of_trial, tags_of
from sweeps.tracking.tracker import Tracker

UNRACED = "looks"  # what stopped a trial that did not race


class Recorder(tune.Callback):  # type: ignore[misc]
    """A recorder tells MLflow and the progress display what Tune says of trials. `searched` is the run as trials change
    it, `session` knows what workers found, `code` are tags of every trial and `data` what they read, each the images of
    its backbone's size. A trial of MLflow's is a setting, however often Tune looks at it.
    """

    def __init__(
        self,
        searched: Run,
        search: Search,
        plan: Plan,
        session: Session,
        tracker: Tracker,
        progress: Progress,
        code: Mapping[str, str],
        data: Sequence[Data],
    ) -> None:
        self.searched, self.search, self.plan, self.session = searched, search, plan, session
        self.tracker, self.progress = tracker, progress
        self.code, self.data = code, data
        self.looks, self.stopped, self.raced = 0, 0, 0
        self.racing: set[str] = set()
        self.spared = 0  # episodes that stopped trials need not do
        self.known: set[str] = set()
        self.best: Best | None = None
        progress.away_since = lambda: tracker.away_since
        self._note()

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune writes down what it would go on with, but a sweep is gone on with from its ledger."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        for place, name in trial.config["asked"].items():
            if trial.config["race"]:
                self.racing.add(name)  # a trial may be started again
            if name not in self.known:
                self.known.add(name)
                self._begin(name, trial.config["settings"][place])
        self._note()

    def _begin(self, name: str, values: HyperParameters) -> None:
        run, generation = with_hyper_parameters(self.searched, values), int(name.split(".")[0])
        inputs = self.session.inputs_of(run)
        self.tracker.trial(
            name,
            setting_name(run, values),
            parameters_of_trial(run, values, generation, self.search.seed, inputs),
            # `winner` may be said otherwise at the end, `stopped_by` when the search ends.
            {**tags_of(run, "trial"), **hash_tag(run, inputs), **self.code, "winner": "no"},
            [one for one in self.data if one.digest == inputs.dataset_fingerprint],
        )

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        for report in result.get("reports", []):
            name = trial.config["asked"][report["asked"]]
            if "stopped_by" in report:
                self._stop(name, report.get("episodes", 0))
            elif trial.config["race"]:
                metrics = {name: report[name] for name in METRICS}
                if report["seconds_per_episode"]:
                    metrics["episodes_per_second"] = 1 / report["seconds_per_episode"]  # of one worker
                self.tracker.report(name, report["episodes"], metrics)
            else:
                self.tracker.look(name, trial.config["generation"], report["accuracy"])
        self._note()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ended = set(trial.config["asked"].values())
        if trial.config["race"]:
            self.raced += len(ended & self.racing)
            self.racing -= ended
        else:
            self.looks += len(trial.config["asked"])
        self._note()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.config["race"]:
            for name in trial.config["asked"].values():
                self._stop(name, 0)
        self.on_trial_complete(iteration, trials, trial)

    def _stop(self, name: str, episodes: int) -> None:
        """Notes that one that raced was stopped after so many episodes."""
        if name in self.racing:
            self.racing.discard(name)
            self.raced += 1
            self.stopped += 1
            self.spared += self.plan.rungs[-1] - episodes

    def believed(self, values: HyperParameters, mean: float, spread: float, looks: int) -> None:
        """Notes which setting is believed to be the best after so many looks, and how accurate it would be."""
        run = with_hyper_parameters(self.searched, values)
        self.best = Best(setting_name(run, values), Estimate(mean, NORMAL * spread, looks))
        self.tracker.so_far(looks, mean, self.description())
        self._note()

    def close(self, record: SearchRecord) -> None:
        """Closes the runs of all trials."""
        for trial in record.trials:
            failed = "error" in (trial.stopped_by or "")
            self.tracker.finish_trial(trial.name, "FAILED" if failed else "FINISHED", stopped_by(trial))
        winner = record.winner
        last = winner.reports[-1]
        assert last.accuracy is not None
        assert last.ci95 is not None
        run = with_hyper_parameters(self.searched, winner.values)
        self.best = Best(setting_name(run, winner.values), Estimate(last.accuracy, last.ci95, last.episodes))
        self._note()

    def description(self) -> str:
        """Returns what goes on, for MLflow's page of a sweep that has no verdict yet."""
        said = f"**Searching:** {self.looks} of {self.plan.looks} looks, at {len(self.known)} settings."
        if self.best is None:
            return said
        return f"{said} Best so far: {self.best.setting}, expected to have {self.best.estimate} %."

    def _note(self) -> None:
        spared = self.spared if self.search.stop != "halving" else None  # halving is in the plan already
        self.progress.searching(
            Trials(self.looks, self.plan.looks, len(self.known), len(self.racing), self.raced, self.stopped, spared),
            self.best,
        )


def stopped_by(trial: Trial) -> str:
    """Returns what stopped a trial, for MLflow: the rule of the race, `looks` where it did not come to race, `none`
    where it did all episodes.
    """
    return trial.stopped_by or ("none" if trial.reports else UNRACED)
