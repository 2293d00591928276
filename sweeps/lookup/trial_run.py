"""Finds the configuration that a trial tried, from what its run in MLflow recorded."""

from ast import literal_eval
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipeline.config import Run, asked_up_to, with_hyper_parameters
from pipeline.identity import METHOD_VERSION, Inputs, configuration_hash, identity
from sweeps.lookup.ledger_index import LedgerIndex
from sweeps.schema.sweep import Sweep
from sweeps.tracking.store import tracking_uri

SECTIONS = ("backbone", "episodes", "solver", "prompts")  # that a sweep's run in MLflow tells of, and a hash covers


def hash_of_trial(side: str, run_id: str, index: LedgerIndex, split: str | None, named: str | None) -> str:
    """Returns the configuration hash of the setting that a trial tried, on the split that it was searched on unless
    `split` says otherwise. `named` is MLflow's URI where a file names it.

    MLflow has all that a hash covers, but for the version of the method, which the ledger must then tell. Raises
    ValueError for a run that is no trial's, is of another version, or has no rows in the ledger.
    """
    from sweeps.tracking.reading import recorded_trial  # brings MLflow, which takes seconds

    home = str(index.home.here or index.home.uri)
    of_trial, of_sweep = recorded_trial(tracking_uri(Sweep(home=home, tracking_uri=named)), run_id)
    missing = [name for name in (*Inputs._fields, "search.split") if name not in of_sweep]
    if missing:
        raise ValueError(
            f"{side} must be a trial of a sweep that recorded {missing[0]} but that of {run_id} is older; "
            "its configuration hash names it"
        )
    run = run_of_trial(side, run_id, of_trial, of_sweep, split)
    described = identity(run, Inputs(*(of_sweep[name] for name in Inputs._fields)))
    hashes = [configuration_hash({**described, "method": 1 + version}) for version in range(METHOD_VERSION)]
    there = [config_hash for config_hash in hashes if config_hash in index.hashes]
    if len(there) > 1:
        raise ValueError(
            f"{side} must be one configuration but the ledger has the setting of {run_id} in {len(there)} versions of "
            f"the method, {', '.join(there)}, and MLflow does not tell which; one of these hashes does"
        )
    if not there:
        raise index.missing(side, described)
    return there[0]


def run_of_trial(
    side: str, run_id: str, of_trial: Mapping[str, str], of_sweep: Mapping[str, str], split: str | None
) -> Run:
    """Returns the run that a trial tried, from the parameters that MLflow recorded. Raises ValueError for others."""
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for field, text in of_sweep.items():
        section, _, name = field.partition(".")
        if section in sections:
            sections[section][name] = _value(text)
    sections["episodes"]["split"] = split or of_sweep["search.split"]
    values = {name: _value(text) for name, text in of_trial.items() if name != "generation"}
    try:
        run = Run.model_validate(sections)
        if run.episodes.split == of_sweep["search.split"]:
            run = asked_up_to(run, _value(of_sweep.get("search.query", "None")))
        return with_hyper_parameters(run, values)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "a setting"
        raise ValueError(
            f"{side} must be a trial that this version understands but {run_id} recorded {field} otherwise; "
            "its configuration hash names it"
        ) from error


def _value(text: str) -> Any:
    """Returns the number, the truth value or None that a text was made of, or the text itself."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text
