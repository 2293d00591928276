"""What happens to trials, told to MLflow and to the progress display."""

from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune

from pipeline.config import Run, with_hyper_parameters
from pipeline.identity import Inputs
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Search
from sweeps.search.proposals import Accuracies
from sweeps.statistics.estimates import Estimate, numbers, paired_difference
from sweeps.statistics.rows import METRICS
from sweeps.terminal.progress import Best, Progress, Trials
from sweeps.tracking.fields import Data, hash_tag, parameters_of_trial, tags_of
from sweeps.tracking.tracker import Tracker


class Recorder(tune.Callback):  # type: ignore[misc]
    """A recorder tells MLflow and the progress display what Tune says of trials. `searched` is the run as trials change
    it, `inputs` what workers found, `code` tags of every trial and `data` what all of them read; `accuracies` of
    settings are asked for to tell how far a trial is ahead of the incumbent, the best of earlier generations.
    """

    def __init__(
        self,
        searched: Run,
        search: Search,
        inputs: Inputs,
        tracker: Tracker,
        progress: Progress,
        accuracies: Accuracies,
        code: Mapping[str, str],
        data: Sequence[Data],
    ) -> None:
        self.searched, self.search, self.inputs = searched, search, inputs
        self.tracker, self.progress, self.accuracies = tracker, progress, accuracies
        self.code, self.data = code, data
        self.ended, self.stopped, self.spared = 0, 0, 0  # `spared`: episodes that stopped trials need not do
        self.leader: Best | None = None
        progress.away_since = lambda: tracker.away_since
        progress.searching(Trials(0, 0, 0, search.trials, 0 if search.stop != "halving" else None), None)

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune writes down what it would go on with, but a sweep is gone on with from its ledger."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        values, generation = trial.config["values"], trial.config["generation"]
        run = with_hyper_parameters(self.searched, values)
        self.tracker.trial(
            trial.config["trial"],
            setting_name(run, values),
            parameters_of_trial(run, values, generation, self.search.seed, self.inputs),
            # `winner` may be said otherwise at the end, `stopped_by` when the trial ends.
            {**tags_of(run, "trial"), **hash_tag(run, self.inputs), **self.code, "winner": "no"},
            self.data,
        )
        self._note(trials)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "stopped_by" in result or "error" in result:
            return
        metrics = {name: result[name] for name in METRICS}
        if result["seconds_per_episode"]:
            metrics["episodes_per_second"] = 1 / result["seconds_per_episode"]  # of one worker
        metrics["difference"], metrics["difference_ci95"] = self._ahead(trial.config, result)
        self.tracker.report(trial.config["trial"], result["episodes"], metrics)
        accuracy, last = result["accuracy"], result["rung"] == len(self.search.rungs)
        if last and accuracy is not None and (self.leader is None or accuracy > self.leader.estimate.mean):
            run = with_hyper_parameters(self.searched, trial.config["values"])
            estimate = Estimate(accuracy, result["ci95"], result["episodes"])
            self.leader = Best(setting_name(run, trial.config["values"]), estimate)
        self._note(trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        last = trial.last_result or {}
        self._end(trials, trial, "FAILED" if "error" in last else "FINISHED", last.get("stopped_by", "none"))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._end(trials, trial, "FAILED", "error")

    def _end(self, trials: list[Any], trial: Any, status: str, stopped_by: str) -> None:
        self.ended += 1
        if stopped_by != "none":
            self.stopped += 1
            self.spared += self.search.rungs[-1] - (trial.last_result or {}).get("episodes", 0)
        self.tracker.finish_trial(trial.config["trial"], status, stopped_by)
        self.tracker.so_far(self.ended, self.leader.estimate.mean if self.leader else None, self.description())
        self._note(trials)

    def _ahead(self, config: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """Returns how far a trial is ahead of the best of earlier generations, on the same episodes, and half the
        interval.
        """
        if config["incumbent"] is None or result["accuracy"] is None:
            return None, None
        episodes = self.search.rungs[result["rung"] - 1]
        asked = {"own": (config["values"], episodes), "incumbent": (config["incumbent"], episodes)}
        found = self.accuracies(asked)
        return numbers(paired_difference(found["own"], found["incumbent"], self.searched.episodes.step))

    def description(self) -> str:
        """Returns what goes on, for MLflow's page of a sweep that has no verdict yet."""
        said = f"**Searching:** {self.ended} of {self.search.trials} trials have ended."
        if self.leader is None:
            return said
        best = self.leader.estimate
        return f"{said} Best so far: {self.leader.setting}, {best} % on {best.episodes} {self.search.split} episodes."

    def _note(self, trials: list[Any]) -> None:
        spared = self.spared if self.search.stop != "halving" else None  # halving is in the plan already
        running = len(trials) - self.ended
        self.progress.searching(
            Trials(running, self.stopped, self.ended - self.stopped, self.search.trials, spared), self.leader
        )
