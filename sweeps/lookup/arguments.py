"""Which configuration of a ledger is meant by a YAML file, a hash or its beginning, or a trial's run in MLflow."""

import json
import re
from ast import literal_eval
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config import Dataset, Run, plain_run, with_hyper_parameters
from pipeline.identity import METHOD_VERSION, Inputs, configuration_hash, hash_of, identity, packing_identity
from pipeline.storage.folder import Home
from pipeline.storage.ledger import Ledger
from sweeps.schema.loading import load
from sweeps.schema.naming import setting_of
from sweeps.schema.sweep import Sweep
from sweeps.tracking.store import tracking_uri

SECTIONS = ("backbone", "episodes", "solver", "prompts")  # that a sweep's run in MLflow tells of, and a hash covers
MOST_NAMED = 8
READERS = 16  # of descriptions, which are many small files

Described = Mapping[str, Any]
Scores = dict[int, float | None]  # by episode; None where it failed


@dataclass(frozen=True)
class Argument:
    """What was typed for A or B; `sweep` is what it holds where it is a file."""

    side: str
    typed: str
    sweep: Sweep | None


class Kept:
    """The configurations that a home's ledger describes. Raises ValueError for a home without a ledger."""

    def __init__(self, home: str) -> None:
        self.home = Home(home)
        self.ledger = Ledger(self.home.uri_of("ledger"))
        files = self.ledger.folder.names("configurations")
        self.hashes = [name.removesuffix(".json") for name in files if name.endswith(".json")]
        self._read: dict[str, Described] = {}
        if not self.hashes:
            raise ValueError(f"home must hold a ledger but {home!r} has none; fpt run and fpt sweep make one")

    def of(self, config_hash: str) -> Described:
        """What a configuration hash of this ledger stands for."""
        if config_hash not in self._read:
            content = self.ledger.folder.read(f"configurations/{config_hash}.json")
            assert content is not None, f"{config_hash} was listed and is not there"
            self._read[config_hash] = json.loads(content)
        return self._read[config_hash]

    @cached_property
    def found(self) -> list[Inputs]:
        """All that workers found where rows of this version of the method were computed."""
        with ThreadPoolExecutor(READERS) as pool:
            described = list(pool.map(self.of, self.hashes))
        return sorted({found_of(one) for one in described if one["method"] == METHOD_VERSION})

    @cached_property
    def data_sets(self) -> dict[str, list[dict[str, Any]]]:
        """The data sets that this home holds, by fingerprint."""
        known: dict[str, list[dict[str, Any]]] = {}
        for name in self.home.names("images"):
            content = self.home.read(f"images/{name}") if name.endswith(".json") else None
            if content is not None:
                manifest = json.loads(content)
                described = packing_identity(Dataset.model_construct(**manifest["dataset"]))
                known.setdefault(manifest["fingerprint"], []).append(described)
        return known

    def hashes_of(self, run: Run) -> list[str]:
        """What a run may be in this ledger: one hash for each data set, weights and precision that fit it."""
        wanted, own = run.backbone.precision, packing_identity(run.dataset)
        fitting = [
            found
            for found in self.found
            if wanted in ("auto", found.precision)
            and own in self.data_sets.get(found.dataset_fingerprint, [own])  # unless known to be another
        ]
        hashes = {hash_of(run, found) for found in fitting}
        return sorted(hashes.intersection(self.hashes))

    def scores(self, config_hashes: Iterable[str]) -> dict[str, Scores]:
        """Accuracies of some configurations."""
        wanted = sorted(set(config_hashes))
        scores: dict[str, Scores] = {config_hash: {} for config_hash in wanted}
        table = self.ledger.read(wanted).select(["config_hash", "episode", "accuracy", "failed"])
        for row in table.to_pylist():
            scores[row["config_hash"]][row["episode"]] = None if row["failed"] else row["accuracy"]
        return scores


def argument_of(side: str, typed: str, overrides: Sequence[str]) -> Argument:
    """What was typed, read where it is a file. Raises ValueError for a bad file, or overrides of what is none."""
    if not (Path(typed).is_file() or typed.endswith((".yaml", ".yml"))):
        if overrides:
            raise ValueError(f"--set-{side.lower()} must go with a YAML file but {side} is {typed!r}")
        return Argument(side, typed, None)
    try:
        return Argument(side, typed, load(Path(typed), list(overrides)))
    except ValueError as error:
        raise ValueError(f"{side}: {error}") from error


def home_of(arguments: Sequence[Argument], home: str | None) -> str:
    """As typed, or as the files say, or the default."""
    if home is not None:
        return home
    named = sorted({one.sweep.home for one in arguments if one.sweep and "home" in one.sweep.model_fields_set})
    if len(named) > 1:
        raise ValueError(f"home must be one for A and B but they name {' and '.join(named)}; --home says which")
    return named[0] if named else Sweep().home


def tracking_uri_named(arguments: Sequence[Argument]) -> str | None:
    """Where the files say that MLflow is, if they do."""
    return next((one.sweep.tracking_uri for one in arguments if one.sweep and one.sweep.tracking_uri), None)


def hashes_of_argument(argument: Argument, kept: Kept, split: str | None, tracking_uri: str | None) -> list[str]:
    """What an argument may be in the ledger, at least one. Raises ValueError where it is nothing there."""
    side, typed = argument.side, argument.typed
    if argument.sweep is not None:
        run = plain_run(argument.sweep, split)
        return kept.hashes_of(run) or _refuse_as_missing(side, identity(run, Inputs("", "", "")), kept)
    if re.fullmatch("[0-9a-f]{32}", typed):
        return [_hash_of_trial(side, typed, kept, split, tracking_uri)]
    if re.fullmatch("[0-9a-f]{4,12}", typed):
        return [_hash_beginning(side, typed, kept, split)]
    raise ValueError(
        f"{side} must be a YAML file, a configuration hash (12 hexadecimal digits, or its first 4 at least) or an "
        f"MLflow run id (32) but got {typed!r}"
    )


def _hash_beginning(side: str, typed: str, kept: Kept, split: str | None) -> str:
    found = [config_hash for config_hash in kept.hashes if config_hash.startswith(typed)]
    if not found:
        raise ValueError(f"{side} must be in the ledger of {kept.home.uri!r} but no configuration hash begins {typed}")
    if len(found) > 1:
        named = ", ".join(found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")
        raise ValueError(f"{side} must begin one configuration hash but {typed} begins {len(found)}: {named}")
    if split is None:
        return found[0]
    described = dict(kept.of(found[0]))
    described["episodes"] = {**described["episodes"], "split": split}
    moved = configuration_hash(described)
    return moved if moved in kept.hashes else _refuse_as_missing(side, described, kept)[0]


def _hash_of_trial(side: str, run_id: str, kept: Kept, split: str | None, named: str | None) -> str:
    """Of the setting that a trial tried, on the split that it was searched on.

    MLflow has all that a hash covers, but for the version of the method, which the ledger must then tell.
    """
    from sweeps.tracking.tracker import recorded_trial  # brings MLflow, which takes seconds

    home = str(kept.home.here or kept.home.uri)
    own, of_sweep = recorded_trial(tracking_uri(Sweep(home=home, tracking_uri=named)), run_id)
    missing = [name for name in (*Inputs._fields, "search.split") if name not in of_sweep]
    if missing:
        raise ValueError(
            f"{side} must be a trial of a sweep that recorded {missing[0]} but that of {run_id} is older; "
            "its configuration hash names it"
        )
    run = _run_of_trial(side, run_id, own, of_sweep, split)
    described = identity(run, Inputs(*(of_sweep[name] for name in Inputs._fields)))
    hashes = [configuration_hash({**described, "method": 1 + version}) for version in range(METHOD_VERSION)]
    there = [config_hash for config_hash in hashes if config_hash in kept.hashes]
    if len(there) > 1:
        raise ValueError(
            f"{side} must be one configuration but the ledger has the setting of {run_id} in {len(there)} versions of "
            f"the method, {', '.join(there)}, and MLflow does not tell which; one of these hashes does"
        )
    return (there or _refuse_as_missing(side, described, kept))[0]


def _run_of_trial(
    side: str, run_id: str, own: Mapping[str, str], of_sweep: Mapping[str, str], split: str | None
) -> Run:
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for field, text in of_sweep.items():
        section, _, name = field.partition(".")
        if section in sections:
            sections[section][name] = _value(text)
    sections["episodes"]["split"] = split or of_sweep["search.split"]
    values = {name: _value(text) for name, text in own.items() if name != "generation"}
    try:
        return with_hyper_parameters(Run.model_validate(sections), values)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "a setting"
        raise ValueError(
            f"{side} must be a trial that this version understands but {run_id} recorded {field} otherwise; "
            "its configuration hash names it"
        ) from error


def _value(text: str) -> Any:
    """What str() made a text of, where that was a number, a truth value or None."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _refuse_as_missing(side: str, described: Described, kept: Kept) -> list[str]:
    raise ValueError(
        f"{side} must be in the ledger of {kept.home.uri!r} but {setting_of(described)}, "
        f"{drawn(described['episodes'])}, is not; fpt run computes a configuration"
    )


def one_of_each(
    arguments: Sequence[Argument], hashes: Sequence[list[str]], kept: Kept, scores: Mapping[str, Scores]
) -> tuple[str, str]:
    """Of what both may be, the two that share data set, weights and precision and have most episodes in common.

    Raises ValueError, naming what there is, where that leaves a choice.
    """
    if len(hashes[0]) == len(hashes[1]) == 1:
        return hashes[0][0], hashes[1][0]
    same = hashes[0] == hashes[1]
    common = {
        (a, b): len(scores[a].keys() & scores[b].keys())
        for a, b in product(*hashes)
        if found_of(kept.of(a)) == found_of(kept.of(b)) and (same or a != b)
    }
    most = [pair for pair, count in common.items() if count == max(common.values())]
    if len(most) == 1:
        return most[0]
    argument, several = next((one, own) for one, own in zip(arguments, hashes, strict=True) if len(own) > 1)
    named = [
        "{} (data set {}, weights {}, {})".format(config_hash, *found_of(kept.of(config_hash)))
        for config_hash in several
    ]
    raise ValueError(
        f"{argument.side} must be one configuration but the ledger has {argument.typed} as {', '.join(named)}; "
        "one of these hashes names it"
    )


def check_told_apart(a: Sweep | None, b: Sweep | None, described: Sequence[Described]) -> None:
    """A hash covers images and weights by fingerprints, which a file does not tell: two files may seem to be one."""
    if a is None or b is None:
        return
    told = [found_of(one) for one in described]
    for field, differ, (of_a, of_b) in (
        ("dataset", a.dataset != b.dataset, (told[0][0], told[1][0])),
        ("backbone.weights", a.backbone.weights != b.backbone.weights, (told[0][1], told[1][1])),
    ):
        if differ and of_a == of_b:
            raise ValueError(
                f"A and B differ in {field} but the ledger knows it by its fingerprint alone, and what fits both is "
                f"{of_a}; configuration hashes name what is meant"
            )


def found_of(described: Described) -> Inputs:
    """Fingerprints of images and weights, and the precision; empty where an old version kept none."""
    backbone = described["backbone"]
    return Inputs(described["dataset"], backbone["fingerprint"], backbone.get("precision", ""))


def drawn(episodes: Described) -> str:
    """What is drawn, in words."""
    return f"split {episodes['split']}, {episodes['way']}-way {episodes['shot']}-shot"
