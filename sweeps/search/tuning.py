"""The search: Ray Tune runs the trials, Optuna proposes them, MLflow hears of them."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune

from pipeline.config import HyperParameters, with_hyper_parameters
from pipeline.dispatch.actors import ON_HEAD
from pipeline.dispatch.generations import GenerationSpec
from pipeline.session import Session
from pipeline.storage.folder import Home
from pipeline.storage.sqlite import sqlite_uri
from sweeps.schema.sweep import Search, Sweep, searched_run
from sweeps.search.plan import Plan
from sweeps.search.proposals import Proposals
from sweeps.search.record import SearchRecord
from sweeps.search.recorder import Recorder
from sweeps.search.study import open_study
from sweeps.search.trial import run_trial
from sweeps.terminal.progress import Progress
from sweeps.tracking.fields import Data
from sweeps.tracking.tracker import Tracker


def search_settings(
    sweep: Sweep,
    search: Search,
    plan: Plan,
    session: Session,
    tracker: Tracker,
    progress: Progress,
    home: Home,
    identity: str,
    code: Mapping[str, str],
    data: Sequence[Data],
) -> SearchRecord:
    """Runs all trials of a plan and returns what they were and reported. `code` are tags of each trial's run, `data`
    what the sweep reads. Raises RuntimeError where a trial could not be run, and where Tune ends before all
    trials have.
    """
    searched = searched_run(sweep, search)

    def begin(generation: int, values: dict[str, HyperParameters], rungs: list[list[int]]) -> None:
        """Lets the workers begin, while the trials' own processes are still starting."""
        session.begin(GenerationSpec.of(generation, values, searched, rungs))

    def accuracies(trials: Mapping[str, tuple[HyperParameters, int]]) -> dict[str, list[float]]:
        asked = [(with_hyper_parameters(searched, values), episodes) for values, episodes in trials.values()]
        return dict(zip(trials, session.accuracies(asked), strict=True))

    home.local.mkdir(parents=True, exist_ok=True)
    # A trace where Tune's own notes cannot be written, from which nothing goes on; what cannot be done then is said.
    logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)
    with open_study(sqlite_uri(home.local / "optuna.db"), f"{sweep.name} {identity}") as study:
        trainable = tune.with_parameters(run_trial, session=session, searched=searched, rule=search.stop)
        read = [one for one in data if one.context == "search"]
        recorder = Recorder(searched, search, plan, session, tracker, progress, code, read)
        proposals = Proposals(search, plan, searched.solver.name, accuracies, study.add, begin, recorder.believed)
        failure = _Failure()
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 0, **ON_HEAD}),
            tune_config=tune.TuneConfig(
                search_alg=proposals,
                num_samples=len(plan.generations) + plan.racers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=identity,
                storage_path=str(home.local / "tune"),
                callbacks=[recorder],
                stop=failure,
                # A failure is a process that died; what a trial meets it reports.
                failure_config=tune.FailureConfig(max_failures=-1),
                verbose=0,
            ),
        )
        results = tuner.fit()
        if failure.error:
            raise RuntimeError(f"a trial failed: {failure.error}")
        if results.errors:
            raise RuntimeError(f"a trial failed: {str(results.errors[0]).strip().splitlines()[-1]}")
        record = proposals.finish()
        recorder.close(record)
        return record


class _Failure(tune.Stopper):  # type: ignore[misc]
    """A failure ends the search as soon as a trial has reported an error: the others wait for the same episodes."""

    def __init__(self) -> None:
        self.error: str | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.error = self.error or result.get("error")
        return False

    def stop_all(self) -> bool:
        return self.error is not None
