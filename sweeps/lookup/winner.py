"""The winner of a sweep as a classifier's parameters: by its file, its sweep's ID, or a run in MLflow."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fpt.classifier.calibration import calibration_of, check_is_of
from fpt.registry import SOLVERS
from pipeline.config import Run, members_of, plain_run
from pipeline.storage.folder import Home
from sweeps.lookup.finished import SWEEPS, chosen_sweep
from sweeps.lookup.trial_run import run_of_trial
from sweeps.schema.loading import load
from sweeps.schema.sweep import Sweep
from sweeps.tracking.store import tracking_uri

BEST, CALIBRATION = "best.yaml", "calibration.json"


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
    the sweep's ID (or how it begins) in a home, by its run in MLflow, or by the run of a trial. Its calibration is
    among them, where the sweep has left one.

    Raises ValueError where there is none.
    """
    path = Path(named)
    if path.is_file() or named.endswith((".yaml", ".yml")):
        run = plain_run(load(path, []))
        return {**parameters_of(run), "calibration": calibration_beside(path)}
    where = Home(home or Sweep().home)
    if re.fullmatch("[0-9a-f]{32}", named):
        return _recorded(named, where)
    folder = f"{SWEEPS}/{chosen_sweep(where, named, BEST)}"
    run = _read((where.read(f"{folder}/{BEST}") or b"").decode())
    return {**parameters_of(run), "calibration": described_in(where.read(f"{folder}/{CALIBRATION}"), folder)}


def calibration_beside(config: Path) -> dict[str, Any] | None:
    """Returns the calibration in the folder of a configuration, as a sweep leaves both; None where there is none.
    Raises ValueError for a file that holds none.
    """
    path = config.parent / CALIBRATION
    return described_in(path.read_bytes(), str(path)) if path.is_file() else None


def described_in(content: bytes | None, where: str) -> dict[str, Any] | None:
    """Returns the object that a calibration's file holds; None where there is no file. Raises ValueError for any other
    content. What it says is checked where it is used.
    """
    if content is None:
        return None
    try:
        described = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{CALIBRATION} must be as a sweep leaves it, but {where} is no JSON ({error})") from error
    if not isinstance(described, dict):
        raise ValueError(f"{CALIBRATION} must be as a sweep leaves it, but {where} holds no object")
    return described


def with_calibration(parameters: Mapping[str, Any], config: Path | None) -> tuple[dict[str, Any], str | None]:
    """Returns the parameters of a classifier with the calibration that lies beside their configuration, and why it has
    none; a calibration of another setting, as where one was overridden, is left out. Raises ValueError for a file that
    is no calibration.
    """
    described = None if config is None else calibration_beside(config)
    if described is None:
        return dict(parameters), f"no {CALIBRATION} lies beside {'it' if config is None else config}"
    calibration_of(described)
    try:
        check_is_of(described, parameters)
    except ValueError as error:
        return dict(parameters), str(error).partition(";")[0].replace("calibration", CALIBRATION, 1)
    return {**parameters, "calibration": described}, None


def _recorded(run_id: str, home: Home) -> dict[str, Any]:
    from sweeps.tracking.reading import recorded_trial, recorded_winner  # brings MLflow, which takes seconds

    uri = tracking_uri(Sweep(home=str(home.here or home.uri)))
    text = recorded_winner(uri, run_id, BEST)
    if text is not None:
        calibration = recorded_winner(uri, run_id, CALIBRATION, optional=True)
        described = described_in(None if calibration is None else calibration.encode(), f"that of run {run_id}")
        return {**parameters_of(_read(text)), "calibration": described}
    of_trial, of_sweep = recorded_trial(uri, run_id)
    return parameters_of(run_of_trial("run", run_id, of_trial, of_sweep, None))


def _read(text: str) -> Run:
    with TemporaryDirectory() as folder:
        (Path(folder) / BEST).write_text(text, encoding="utf-8")
        return plain_run(load(Path(folder) / BEST, []))


def told(parameters: Mapping[str, Any]) -> str:
    """Returns the solver and the backbone of a classifier, in words."""
    return f"{parameters['solver']} on {parameters['backbone']}"
