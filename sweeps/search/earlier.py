"""What earlier sweeps found good, as the first settings to look at: a start that is warm, at a price that is stated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config import BACKBONE, HyperParameters, Run, with_hyper_parameters
from pipeline.storage.folder import Home
from sweeps.schema.space import SOLVER, STEERING, Choices, Dimension, Range, dimensions, solvers_of
from sweeps.schema.sweep import Search
from sweeps.search.looks import key_of

FINDING, SWEEPS = "finding.json", "sweeps"  # what a finished sweep leaves, and where
TAKEN = 24  # settings of each earlier sweep: the most looks that it costs where it misleads


def with_earlier(search: Search, run: Run, home: Home) -> Search:
    """Returns the search with the best settings of the sweeps that `from` names among `warm`, the settings that it
    looks at first; what settings that are named leave open is as the run has it. They are the searching sweep's own
    from then on: what became of the earlier sweeps does not matter.

    Raises ValueError for a sweep that is not there.
    """
    first = {name: completed(values, search.space, run) for name, values in search.first.items()}
    warm = [completed(values, search.space, run) for values in search.warm]
    taken = {key_of(values): values for values in warm}
    for named in search.earlier:
        of_sweep = [fitted(values, search.space, run) for values in _best_first(_finding(named, home))]
        different = {key_of(values): values for values in of_sweep if values is not None}
        taken |= dict(list(different.items())[:TAKEN])
    return search.model_copy(update={"earlier": (), "first": first, "warm": tuple(taken.values())})


def fitted(values: Mapping[str, Any], space: Mapping[str, Dimension], run: Run) -> HyperParameters | None:
    """Returns the setting of a space that is nearest to one of another: what the space does not hold is left out, what
    the setting does not say is as the run has it, but for a backbone, and numbers are brought into their ranges. None
    where the space holds other choices alone.
    """
    solver = str(values.get(SOLVER, run.solver.name))
    if solver not in solvers_of(space, run.solver.name):
        return None
    fits: HyperParameters = {SOLVER: solver} if SOLVER in space else {}
    usual = {**run.solver.model_dump(), **run.prompts.model_dump(by_alias=True)}
    for name, (_, entry) in dimensions(space, solver).items():
        value = values.get(name, usual.get(name))
        if name in STEERING and fits.get("alpha") == 0:
            continue
        if name == BACKBONE and value is None:
            continue  # it is left open until backbones have raced
        if isinstance(entry, Choices):
            if value not in entry.choices:
                return None
            fits[name] = value
        elif not isinstance(value, (int, float)):
            return None
        elif isinstance(entry, Range) and entry.zero and value == 0:
            fits[name] = 0.0
        else:
            inside = min(max(float(value), entry.low), entry.high)
            fits[name] = round(inside) if entry.integer else inside
    try:
        with_hyper_parameters(run, fits)
    except ValidationError:
        return None
    return fits


def completed(values: HyperParameters, space: Mapping[str, Dimension], run: Run) -> HyperParameters:
    """Returns a setting with what it does not say as the run has it, brought into the ranges of the space."""
    return {**(fitted(values, space, run) or {}), **values}


def _best_first(finding: Any) -> list[dict[str, Any]]:
    """Returns the settings of a finding, those with the highest score first."""
    trials = [trial for trial in finding["record"]["trials"] if trial["score"] is not None]
    return [trial["values"] for trial in sorted(trials, key=lambda trial: -float(trial["score"]))]


def _finding(named: str, home: Home) -> Any:
    """Returns what a sweep found, by the beginning of its ID, or by its folder or file."""
    path = Path(named).expanduser()
    if path.is_dir() or path.suffix == ".json":
        file = path / FINDING if path.is_dir() else path
        if not file.is_file():
            raise ValueError(f"search.from must name a finished sweep's folder, {FINDING} or ID but got {named!r}")
        return _read(file.read_bytes(), named)
    ids = [one for one in home.folders(SWEEPS) if one.startswith(named) and home.has(f"{SWEEPS}/{one}/{FINDING}")]
    if len(ids) != 1:
        what = f"{len(ids)} of its sweeps begin so" if ids else "it has no finished sweep that begins so"
        raise ValueError(f"search.from must name a finished sweep of home {home.uri!r} but got {named!r}: {what}")
    local = home.local / SWEEPS / ids[0] / FINDING
    if not local.is_file():
        local.parent.mkdir(parents=True, exist_ok=True)
        home.fetch(f"{SWEEPS}/{ids[0]}/{FINDING}", local)
    return _read(local.read_bytes(), named)


def _read(text: bytes, named: str) -> Any:
    try:
        finding = json.loads(text)
        _best_first(finding)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"search.from must name what a sweep of this version of fpt has found but {named!r} is something else"
        ) from error
    return finding
