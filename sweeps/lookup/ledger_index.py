"""An index tells what a home's ledger holds: configurations by hash, what workers found for them, accuracies."""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from os.path import abspath, expanduser
from typing import Any

from pipeline.config import Dataset, Run
from pipeline.data.listed import handed_over
from pipeline.identity import METHOD_VERSION, Inputs, configuration_hash, identity, packing_identity
from pipeline.storage.folder import Home
from pipeline.storage.ledger import Ledger
from sweeps.schema.naming import setting_of

READERS = 16  # of descriptions, which are many small files

Described = Mapping[str, Any]
Scores = dict[int, float | None]  # by episode; None where it failed


class LedgerIndex:
    """The index lists the configurations that a home's ledger describes, and reads a description when it is asked for.

    Raises ValueError for a home without a ledger.
    """

    def __init__(self, home: str) -> None:
        self.home = Home(home)
        self.ledger = Ledger(self.home.uri_of("ledger"))
        files = self.ledger.folder.names("configurations")
        self.hashes = [name.removesuffix(".json") for name in files if name.endswith(".json")]
        self._read: dict[str, Described] = {}
        if not self.hashes:
            raise ValueError(f"home must hold a ledger but {home!r} has none; fpt run and fpt sweep make one")

    def of(self, config_hash: str) -> Described:
        """Returns the description that a configuration hash of this ledger stands for. Raises ValueError where it is
        damaged.
        """
        described = self._description(config_hash)
        if described is None:
            raise ValueError(
                f"configuration {config_hash} must be described in the ledger of {self.home.uri!r} but its description "
                "was damaged; the command that computed it describes it again"
            )
        return described

    def _description(self, config_hash: str) -> Described | None:
        if config_hash not in self._read:
            described = self.ledger.description(config_hash)
            if described is None:
                return None
            self._read[config_hash] = described
        return self._read[config_hash]

    @cached_property
    def described(self) -> dict[str, Described]:
        """Returns all configurations by hash, but for those whose descriptions were damaged."""
        with ThreadPoolExecutor(READERS) as pool:
            described = pool.map(self._description, self.hashes)
        return {name: known for name, known in zip(self.hashes, described, strict=True) if known}

    @cached_property
    def found(self) -> list[Inputs]:
        """Returns all inputs that workers found where rows of this version of the method were computed."""
        return sorted({found_of(known) for known in self.described.values() if known["method"] == METHOD_VERSION})

    @cached_property
    def data_sets(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the data sets that this home holds, by fingerprint, as far as packing looks at their fields."""
        known: dict[str, list[dict[str, Any]]] = {}
        for name in self.home.names("images"):
            content = self.home.read(f"images/{name}") if name.endswith(".json") else None
            if content is not None:
                try:
                    manifest = json.loads(content)
                    packed = as_packed(Dataset.model_construct(**manifest["dataset"]))
                    known.setdefault(str(manifest["fingerprint"]), []).append(packed)
                except (ValueError, TypeError, KeyError, RecursionError):
                    continue  # damaged: it tells of no data set
        return known

    def is_of(self, dataset: Dataset, fingerprint: str) -> bool | None:
        """Returns whether a data set's images have a fingerprint, None where that is not known: what was packed
        elsewhere is known by its fingerprint alone.
        """
        if dataset.source == "packed":
            told = _fingerprint_of_packed(dataset)
            return None if told is None else told == fingerprint
        known = self.data_sets.get(fingerprint)
        return None if known is None else as_packed(dataset) in known

    def hashes_of(self, run: Run) -> list[str]:
        """Returns what a run may be in this ledger: a hash for each data set, weights and precision that fit it."""
        wanted = run.backbone.precision
        fitting = [
            found
            for found in self.found
            if wanted in ("auto", found.precision) and self.is_of(run.dataset, found.dataset_fingerprint) is not False
        ]
        return sorted({near for found in fitting if (near := self.hash_like(identity(run, found))) is not None})

    def hash_like(self, described: Described) -> str | None:
        """Returns the hash of a configuration of this ledger that is as described, but for `episodes.query_up_to` where
        none is so altogether, as a search asks more queries than a verdict; None where there is not one.
        """
        exact = configuration_hash(dict(described))
        if exact in self.hashes:
            return exact
        like = [name for name, known in self.described.items() if _alike(known, described)]
        return like[0] if len(like) == 1 else None

    def scores(self, config_hashes: Iterable[str]) -> dict[str, Scores]:
        """Returns the accuracies of some configurations, by hash."""
        wanted = sorted(set(config_hashes))
        scores: dict[str, Scores] = {config_hash: {} for config_hash in wanted}
        table = self.ledger.read(wanted).select(["config_hash", "episode", "accuracy", "failed"])
        for row in table.to_pylist():
            scores[row["config_hash"]][row["episode"]] = None if row["failed"] else row["accuracy"]
        return scores

    def missing(self, side: str, described: Described) -> ValueError:
        """Returns the mistake of an argument that stands for a configuration which this ledger lacks."""
        return ValueError(
            f"{side} must be in the ledger of {self.home.uri!r} but {setting_of(described)}, "
            f"{episodes_in_words(described['episodes'])}, is not; fpt run computes a configuration"
        )


def _alike(one: Described, other: Described) -> bool:
    episodes = [{of: value for of, value in each["episodes"].items() if of != "query_up_to"} for each in (one, other)]
    return episodes[0] == episodes[1] and {**one, "episodes": None} == {**other, "episodes": None}


def as_packed(dataset: Dataset) -> dict[str, Any]:
    """Returns the fields of a data set that decide which images are packed, its path in full."""
    described = packing_identity(dataset)
    path = described.get("path")
    return described if path is None or "://" in path else {**described, "path": abspath(expanduser(path))}


def _fingerprint_of_packed(dataset: Dataset) -> str | None:
    """Returns the fingerprint that a packed file's manifest tells, None where the file is not here any more."""
    try:
        return str(handed_over(dataset).manifest["fingerprint"])
    except ValueError:
        return None


def found_of(described: Described) -> Inputs:
    """Returns the fingerprints of images and weights, and the precision, which an old version left out (empty)."""
    backbone = described["backbone"]
    return Inputs(described["dataset"], backbone["fingerprint"], backbone.get("precision", ""))


def episodes_in_words(episodes: Described) -> str:
    """Returns what is drawn from which split, in words."""
    return f"split {episodes['split']}, {episodes['way']}-way {episodes['shot']}-shot"
