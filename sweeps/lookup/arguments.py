"""Works out which configuration of a ledger a YAML file, a hash or its beginning, or a trial's run in MLflow means."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pipeline.config import plain_run
from pipeline.identity import Inputs, identity
from sweeps.lookup.ledger_index import Described, LedgerIndex, Scores, as_packed, found_of
from sweeps.lookup.trial_run import hash_of_trial
from sweeps.schema.loading import load
from sweeps.schema.shipped import file_of
from sweeps.schema.sweep import Sweep

MOST_NAMED = 8


@dataclass(frozen=True)
class Argument:
    """An argument says what was typed for A or B (`side`); `sweep` is what it holds where it is a file."""

    side: str
    typed: str
    sweep: Sweep | None


def argument_of(side: str, typed: str, overrides: Sequence[str]) -> Argument:
    """Returns what was typed, read where it is a file. Raises ValueError for a bad file, and for overrides of anything
    that is no file.
    """
    if not (file_of(Path(typed)).is_file() or typed.endswith((".yaml", ".yml"))):
        if overrides:
            raise ValueError(f"--set-{side.lower()} must go with a YAML file but {side} is {typed!r}")
        return Argument(side, typed, None)
    try:
        return Argument(side, typed, load(Path(typed), list(overrides)))
    except ValueError as error:
        raise ValueError(f"{side}: {error}") from error


def home_of(arguments: Sequence[Argument], home: str | None) -> str:
    """Returns the home as it was typed, or as the files say, or the default. Raises ValueError where they say two
    homes.
    """
    if home is not None:
        return home
    sweeps = [argument.sweep for argument in arguments if argument.sweep]
    named = sorted({sweep.home for sweep in sweeps if "home" in sweep.model_fields_set})
    if len(named) > 1:
        raise ValueError(f"home must be one for A and B but they name {' and '.join(named)}; --home says which")
    return named[0] if named else Sweep().home


def tracking_uri_named(arguments: Sequence[Argument]) -> str | None:
    """Returns the URI at which the files say that MLflow is, None where they do not say it."""
    sweeps = [argument.sweep for argument in arguments if argument.sweep]
    return next((sweep.tracking_uri for sweep in sweeps if sweep.tracking_uri), None)


def hashes_of_argument(
    argument: Argument, index: LedgerIndex, split: str | None, tracking_uri: str | None
) -> list[str]:
    """Returns the configuration hashes that an argument may stand for. Raises ValueError where there is none."""
    side, typed = argument.side, argument.typed
    if argument.sweep is not None:
        run = plain_run(argument.sweep, split)
        if not (hashes := index.hashes_of(run)):
            raise index.missing(side, identity(run, Inputs("", "", "")))
        return hashes
    if re.fullmatch("[0-9a-f]{32}", typed):
        return [hash_of_trial(side, typed, index, split, tracking_uri)]
    if re.fullmatch("[0-9a-f]{4,12}", typed):
        return [_hash_beginning(side, typed, index, split)]
    raise ValueError(
        f"{side} must be a YAML file, a configuration hash (12 hexadecimal digits, or its first 4 at least) or an "
        f"MLflow run id (32) but got {typed!r}"
    )


def _hash_beginning(side: str, typed: str, index: LedgerIndex, split: str | None) -> str:
    found = [config_hash for config_hash in index.hashes if config_hash.startswith(typed)]
    if not found:
        raise ValueError(f"{side} must be in the ledger of {index.home.uri!r} but no configuration hash begins {typed}")
    if len(found) > 1:
        named = ", ".join(found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")
        raise ValueError(f"{side} must begin one configuration hash but {typed} begins {len(found)}: {named}")
    if split is None:
        return found[0]
    described = dict(index.of(found[0]))
    described["episodes"] = {**described["episodes"], "split": split}
    if (moved := index.hash_like(described)) is None:
        raise index.missing(side, described)
    return moved


def one_of_each(
    arguments: Sequence[Argument], hashes: Sequence[list[str]], index: LedgerIndex, scores: Mapping[str, Scores]
) -> tuple[str, str]:
    """Returns a hash for A and a hash for B, chosen from those that each may stand for: the two share data set, weights
    and precision, and have most episodes in common.

    Raises ValueError, naming what there is, where that leaves a choice.
    """
    if len(hashes[0]) == len(hashes[1]) == 1:
        return hashes[0][0], hashes[1][0]
    same = hashes[0] == hashes[1]
    common = {
        (a, b): len(scores[a].keys() & scores[b].keys())
        for a, b in product(*hashes)
        if found_of(index.of(a)) == found_of(index.of(b)) and (same or a != b)
    }
    most = [pair for pair, count in common.items() if count == max(common.values())]
    if len(most) == 1:
        return most[0]
    argument, several = next(pair for pair in zip(arguments, hashes, strict=True) if len(pair[1]) > 1)
    named = [
        "{} (data set {}, weights {}, {})".format(config_hash, *found_of(index.of(config_hash)))
        for config_hash in several
    ]
    raise ValueError(
        f"{argument.side} must be one configuration but the ledger has {argument.typed} as {', '.join(named)}; "
        "one of these hashes names it"
    )


def check_told_apart(a: Sweep | None, b: Sweep | None, described: Sequence[Described], index: LedgerIndex) -> None:
    """Raises ValueError for two files that differ in images or weights and yet stand for the same images and weights: a
    hash covers both by fingerprints, which a file does not tell.
    """
    if a is None or b is None:
        return
    of_a, of_b = (found_of(description) for description in described)
    both_known = all(index.is_of(sweep.dataset, found.dataset_fingerprint) for sweep, found in ((a, of_a), (b, of_b)))
    other_images = as_packed(a.dataset) != as_packed(b.dataset) and not both_known
    other_weights = a.backbone.weights != b.backbone.weights
    for field, differ, told_of_a, told_of_b in (
        ("dataset", other_images, of_a.dataset_fingerprint, of_b.dataset_fingerprint),
        ("backbone.weights", other_weights, of_a.backbone_fingerprint, of_b.backbone_fingerprint),
    ):
        if differ and told_of_a == told_of_b:
            raise ValueError(
                f"A and B differ in {field} but the ledger knows it by its fingerprint alone, and what fits both is "
                f"{told_of_a}; configuration hashes name what is meant"
            )
