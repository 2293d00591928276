"""The search: Ray Tune runs the trials, Optuna proposes them, MLflow hears of them."""

from collections.abc import Mapping
from typing import Any

import ray
from ray import tune

from pipeline.config import HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.session import Session
from pipeline.staff import ON_HEAD
from pipeline.storage import Home
from sweeps.config import Search, Sweep
from sweeps.naming import setting_name
from sweeps.progress import Progress
from sweeps.proposals import Proposals, open_study
from sweeps.tracking import Tracker
from sweeps.trial import METRICS, generation_of, run_trial


def generation_sizes(search: Search) -> list[int]:
    """Trials in each generation."""
    return [min(search.generation, search.trials - first) for first in range(0, search.trials, search.generation)]


def rung_episodes(search: Search) -> list[list[int]]:
    """Episodes that each rung adds."""
    return [list(range(start, stop)) for start, stop in zip((0, *search.rungs), search.rungs, strict=False)]


def search_settings(
    sweep: Sweep, search: Search, session: Session, tracker: Tracker, progress: Progress, home: Home, identity: str
) -> Proposals:
    """Runs all trials and returns what they were and reported. Raises RuntimeError where one could not be run."""
    rungs, searched = rung_episodes(search), plain_run(sweep, search.split)

    def begin(generation: int, values: dict[str, HyperParameters], incumbent: HyperParameters | None) -> None:
        """Lets the workers begin, while the trials' own processes are still starting."""
        ray.get(session.dispatcher.begin.remote(generation_of(generation, values, incumbent, searched, rungs)))

    def accuracies(trials: Mapping[str, tuple[HyperParameters, int]]) -> dict[str, list[float]]:
        asked = [(with_hyper_parameters(searched, values), episodes) for values, episodes in trials.values()]
        return dict(zip(trials, ray.get(session.dispatcher.accuracies.remote(asked)), strict=True))

    home.local.mkdir(parents=True, exist_ok=True)
    study = open_study(f"sqlite:///{home.local / 'optuna.db'}", f"{sweep.name} {identity}")
    proposals = Proposals(search, searched.solver.name, study, accuracies, begin)
    trainable = tune.with_parameters(
        run_trial, dispatcher=session.dispatcher, searched=searched, rungs=rungs, rule=search.stop
    )
    recorder = _Recorder(plain_run(sweep), tracker, progress, len(rungs))
    failure = _Failure()
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 0, **ON_HEAD}),
        tune_config=tune.TuneConfig(
            search_alg=proposals,
            num_samples=search.trials,
            max_concurrent_trials=search.generation,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=identity,
            storage_path=str(home.local / "tune"),
            callbacks=[recorder],
            stop=failure,
            failure_config=tune.FailureConfig(max_failures=-1),  # a process that died; what a trial meets it reports
            verbose=0,
        ),
    )
    results = tuner.fit()
    if failure.error:
        raise RuntimeError(f"a trial failed: {failure.error}")
    if results.errors:
        raise RuntimeError(f"a trial failed: {str(results.errors[0]).strip().splitlines()[-1]}")
    proposals.finish()
    return proposals


class _Failure(tune.Stopper):  # type: ignore[misc]
    """Ends the search as soon as a trial has reported an error: the others wait for the same episodes."""

    def __init__(self) -> None:
        self.error: str | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.error = self.error or result.get("error")
        return False

    def stop_all(self) -> bool:
        return self.error is not None


class _Recorder(tune.Callback):  # type: ignore[misc]
    """Passes what happens to trials on to MLflow and the progress display."""

    def __init__(self, run: Run, tracker: Tracker, progress: Progress, rungs: int) -> None:
        self.run, self.tracker, self.progress, self.rungs = run, tracker, progress, rungs
        self.best = 0.0
        self.ended = 0

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes down what it would go on with; a sweep is gone on with from its ledger."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        run = with_hyper_parameters(self.run, trial.config["values"])
        self.tracker.trial(
            trial.config["trial"],
            setting_name(run, trial.config["values"]),
            {**trial.config["values"], "generation": trial.config["generation"]},
            {"solver": run.solver.name, "data": run.dataset.source, "fpt.kind": "trial"},
        )
        self._note(trials)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "stopped_by" in result or "error" in result:
            return
        self.tracker.report(trial.config["trial"], result["episodes"], {name: result[name] for name in METRICS})
        if result["rung"] == self.rungs and result["accuracy"] is not None:
            self.best = max(self.best, result["accuracy"])
        self._note(trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ended += 1
        last = trial.last_result or {}
        status = "FAILED" if "error" in last else "FINISHED"
        self.tracker.finish_trial(trial.config["trial"], status, last.get("stopped_by", "none"))
        self._note(trials)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ended += 1
        self.tracker.finish_trial(trial.config["trial"], "FAILED", "error")

    def _note(self, trials: list[Any]) -> None:
        best = f" · best so far {100 * self.best:.1f} %" if self.best else ""
        self.progress.note = f"trials: {self.ended} ended, {len(trials) - self.ended} running{best}"
