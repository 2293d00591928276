"""Rows that a ledger holds, made by hand, and what commands that read them say."""

import numpy as np

from pipeline.config import plain_run
from pipeline.identity import Inputs, configuration_hash, identity
from pipeline.storage.ledger import SCHEMA, Ledger
from sweeps.schema.loading import load
from tests.sweeps.tiny import CONFIG, TINY

FOUND = Inputs("images", "weights", "float32")
SETS = (*TINY, "backbone.precision=float32", "compute.workers=1")
WITH, WITHOUT = load(CONFIG, list(SETS)), load(CONFIG, [*SETS, "prompts.alpha=0"])
RANDOM = np.random.default_rng(0)
EASE = RANDOM.random(40) / 2
OURS, THEIRS = (np.clip(EASE + RANDOM.normal(mean, 0.05, 40), 0, 1).round(3).tolist() for mean in (0.15, 0.1))


def kept(sweep, accuracies, found=FOUND, home="runs", first=0, **changed):
    """Puts a configuration and its rows into a ledger, None for a failed one. Returns its hash."""
    described = {**identity(plain_run(sweep), Inputs(*found)), **changed}
    config_hash = configuration_hash(described)
    ledger = Ledger(f"{home}/ledger")
    ledger.describe(config_hash, described)
    rows = [
        dict.fromkeys(SCHEMA.names)
        | {"config_hash": config_hash, "episode": first + place, "accuracy": accuracy, "failed": accuracy is None}
        for place, accuracy in enumerate(accuracies)
    ]
    ledger.write(f"rows of {config_hash}", rows)
    return config_hash


def with_sets(*sets):
    return load(CONFIG, [*SETS, *sets])


def answered(result):
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(result, sentence):
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"fpt: {sentence}")
    return line
