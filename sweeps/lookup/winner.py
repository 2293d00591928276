"""The winner of a sweep as a classifier's parameters: by its file, its sweep's ID, or a run in MLflow."""

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fpt.classifier.estimator import FewShotClassifier
from fpt.registry import SOLVERS
from pipeline.config import Run, members_of, plain_run
from pipeline.storage.folder import Home
from sweeps.lookup.finished import SWEEPS, chosen_sweep
from sweeps.lookup.trial_run import run_of_trial
from sweeps.schema.loading import load
from sweeps.schema.sweep import Sweep
from sweeps.tracking.store import tracking_uri

BEST = "best.yaml"


def parameters_of(run: Run) -> dict[str, Any]:
    """Returns the parameters of a FewShotClassifier that does what a configuration says."""
    named, solver = run.backbone, run.solver
    members = members_of(run)
    settings = [_setting(member) for member in members] if run.ensemble else []
    parameters = {
        "backbone": named.name,
        "weights": named.weights or None,
        "image_size": named.image_size,
        "mean": named.mean,
        "std": named.std,
        "precision": named.precision,
        "resize": run.dataset.resize,
        "solver": solver.name,
        **_setting(run),
        "ensemble": settings,
        "seed": run.episodes.seed,
    }
    assert parameters.keys() <= set(FewShotClassifier().get_params())
    return parameters


def _setting(run: Run) -> dict[str, Any]:
    sections = (run.solver, run.prompts)
    setting = {name: getattr(section, name) for section in sections for name in type(section).model_fields}
    del setting["name"]
    if not SOLVERS[run.solver.name].steered:
        setting["alpha"] = 0.0
    return setting


def parameters_of_run(named: str, home: str | None = None) -> dict[str, Any]:
    """Returns the parameters of a classifier that does as the winner of a finished sweep: named by its best.yaml, by
    the sweep's ID (or how it begins) in a home, by its run in MLflow, or by the run of a trial.

    Raises ValueError where there is none.
    """
    path = Path(named)
    if path.is_file() or named.endswith((".yaml", ".yml")):
        return parameters_of(plain_run(load(path, [])))
    where = Home(home or Sweep().home)
    if re.fullmatch("[0-9a-f]{32}", named):
        return parameters_of(_recorded(named, where))
    sweep_id = chosen_sweep(where, named, BEST)
    return parameters_of(_read((where.read(f"{SWEEPS}/{sweep_id}/{BEST}") or b"").decode()))


def _recorded(run_id: str, home: Home) -> Run:
    from sweeps.tracking.reading import recorded_trial, recorded_winner  # brings MLflow, which takes seconds

    uri = tracking_uri(Sweep(home=str(home.here or home.uri)))
    text = recorded_winner(uri, run_id, BEST)
    if text is not None:
        return _read(text)
    of_trial, of_sweep = recorded_trial(uri, run_id)
    return run_of_trial("run", run_id, of_trial, of_sweep, None)


def _read(text: str) -> Run:
    with TemporaryDirectory() as folder:
        (Path(folder) / BEST).write_text(text, encoding="utf-8")
        return plain_run(load(Path(folder) / BEST, []))


def told(parameters: Mapping[str, Any]) -> str:
    """Returns the solver and the backbone of a classifier, in words."""
    return f"{parameters['solver']} on {parameters['backbone']}"
