"""The search: Ray Tune runs the trials, Optuna proposes them, MLflow hears of them."""

from pathlib import Path
from typing import Any

import ray
from ray import tune

from pipeline.config import FROZEN, HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.session import Session
from sweeps.config import Search, Sweep
from sweeps.progress import Progress
from sweeps.proposals import Proposals, open_study
from sweeps.tracking import Tracker
from sweeps.trial import METRICS, run_trial

TRIAL_CPUS = 0.01  # a trial only waits, but Tune does not take zero


def generation_sizes(search: Search) -> list[int]:
    """Trials in each generation."""
    return [min(search.generation, search.trials - first) for first in range(0, search.trials, search.generation)]


def rung_episodes(search: Search) -> list[list[int]]:
    """Episodes that each rung adds."""
    return [list(range(start, stop)) for start, stop in zip((0, *search.rungs), search.rungs, strict=False)]


def search_settings(
    sweep: Sweep, search: Search, session: Session, tracker: Tracker, progress: Progress, home: Path, identity: str
) -> Proposals:
    """Runs all trials and returns what they were and reported. Raises RuntimeError where one could not be run."""
    rungs, searched = rung_episodes(search), plain_run(sweep, search.split)

    def begin(generation: int, values: dict[str, HyperParameters]) -> None:
        """Lets the workers begin, while the trials' own processes are still starting."""
        runs = {trial: with_hyper_parameters(searched, own) for trial, own in values.items()}
        ray.get(session.dispatcher.begin.remote(generation, runs, rungs))

    proposals = Proposals(search, open_study(f"sqlite:///{home / 'optuna.db'}", f"{sweep.name} {identity}"), begin)
    trainable = tune.with_parameters(run_trial, dispatcher=session.dispatcher, rungs=len(rungs))
    recorder = _Recorder(plain_run(sweep), tracker, progress, session.dispatcher, len(rungs))
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": TRIAL_CPUS}),
        tune_config=tune.TuneConfig(
            search_alg=proposals,
            num_samples=search.trials,
            max_concurrent_trials=search.generation,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=identity,
            storage_path=str(home / "tune"),
            callbacks=[recorder],
            failure_config=tune.FailureConfig(max_failures=3),
            verbose=0,
        ),
    )
    results = tuner.fit()
    if results.errors:
        raise RuntimeError(f"a trial failed: {str(results.errors[0]).strip().splitlines()[-1]}")
    proposals.finish()
    return proposals


def setting_name(run: Run) -> str:
    """A setting in a line that reads and sorts: `lora · lambda 1 · alpha 7 · tau 1 · P 6 · lr 0.005`."""
    prompts, solver = run.prompts, run.solver
    if solver.name in FROZEN:
        return f"{solver.name} · frozen features"
    parts: list[str] = [solver.name]
    if prompts.alpha == 0:
        parts.append("no prompts")
    elif prompts.variant == "masks":
        parts.append(f"true masks · alpha {prompts.alpha:.3g} · tau {prompts.tau:.3g}")
    else:
        parts.append(f"lambda {prompts.lambda_:.3g} · alpha {prompts.alpha:.3g} · tau {prompts.tau:.3g}")
        parts.append(f"P {prompts.patches}")
    return " · ".join([*parts, f"lr {solver.lr:.3g}"])


class _Recorder(tune.Callback):  # type: ignore[misc]
    """Passes what happens to trials on to MLflow and the progress display."""

    def __init__(self, run: Run, tracker: Tracker, progress: Progress, dispatcher: Any, rungs: int) -> None:
        self.run, self.tracker, self.progress, self.dispatcher, self.rungs = run, tracker, progress, dispatcher, rungs
        self.best = 0.0
        self.ended = 0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        run = with_hyper_parameters(self.run, trial.config["values"])
        self.tracker.trial(
            trial.config["trial"],
            setting_name(run),
            {**trial.config["values"], "generation": trial.config["generation"]},
            {"solver": run.solver.name, "data": run.dataset.source, "fpt.kind": "trial"},
        )
        self._note(trials)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get("stopped_by"):
            return
        self.tracker.report(trial.config["trial"], result["episodes"], {name: result[name] for name in METRICS})
        if result["rung"] == self.rungs and result["accuracy"] is not None:
            self.best = max(self.best, result["accuracy"])
        self._note(trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ended += 1
        stopped_by = (trial.last_result or {}).get("stopped_by", "none")
        self.tracker.finish_trial(trial.config["trial"], "FINISHED", stopped_by)
        self._note(trials)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ended += 1
        self.tracker.finish_trial(trial.config["trial"], "FAILED", "error")
        ray.get(self.dispatcher.withdraw.remote(trial.config["generation"], trial.config["trial"]))

    def _note(self, trials: list[Any]) -> None:
        best = f" · best so far {100 * self.best:.1f} %" if self.best else ""
        self.progress.note = f"trials: {self.ended} ended, {len(trials) - self.ended} running{best}"
