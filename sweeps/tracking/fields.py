"""A sweep and its trials as MLflow lists and filters them: parameters, tags, data sets. All in plain values."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.config import BACKBONE, HyperParameters, Run
from pipeline.data.store import ImageStore
from pipeline.identity import Inputs, hash_of, identity
from pipeline.storage.folder import Home
from pipeline.storage.masking import without_secrets

# Hyper-parameters that a trial's run has under their own names, whether they are searched or not.
USUAL = ("lambda", "alpha", "tau", "patches", "lr")
NAME = r"[A-Za-z0-9_. -]{1,100}"  # of a parameter, so that MLflow takes it


@dataclass(frozen=True)
class Data:
    """Data are images that a run reads, and what for (`context`). `profile` tells how many."""

    name: str
    digest: str
    uri: str
    context: str
    profile: Mapping[str, Any]

    @property
    def source_type(self) -> str:
        """Returns what MLflow calls the kind of place that the images come from."""
        scheme = urlsplit(self.uri).scheme
        return "local" if scheme in ("", "file") else scheme


def flat(described: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns sections within sections as `a.b.c`, down to what is no section, is empty, or has keys that no parameter
    can have in its name.
    """
    values: dict[str, Any] = {}
    for key, value in described.items():
        if isinstance(value, Mapping) and value and all(re.fullmatch(NAME, str(name)) for name in value):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


def parameters_of_sweep(sweep: Run, inputs: Mapping[str, str], left_out: Set[str]) -> dict[str, Any]:
    """Returns the configuration, flat and without what is `left_out`, and what workers found (`inputs`): all that
    identifies the run, so that none of it can change under it.
    """
    described = sweep.model_dump(by_alias=True, mode="json", exclude=set(left_out))
    return flat(described) | dict(inputs)


def parameters_of_trial(
    run: Run, values: HyperParameters, generation: int, seed: int, inputs: Inputs
) -> dict[str, Any]:
    """Returns all that a trial's result follows from: searched and usual hyper-parameters by their own names, and all
    of them and the rest as in the sweep's parameters. What a solver does not use, or a trial without prompts, is left
    out. `seed` is the search's.
    """
    described = run.model_dump(by_alias=True, mode="json", include={"dataset", "backbone"})
    used = identity(run, inputs)
    sections = {name: used[name] for name in ("episodes", "solver", "prompts") if used[name] is not None}
    usual = {
        name: own[name] for own in (sections["solver"], sections.get("prompts", {})) for name in USUAL if name in own
    }
    return {
        **usual,
        **values,
        **flat({**described, **sections}),
        **inputs._asdict(),
        "generation": generation,
        "search.seed": seed,
    }


def hyper_parameters_of(parameters: Mapping[str, str]) -> dict[str, str]:
    """Returns those of a trial's recorded parameters that stand by their own names, and its generation; the backbone is
    told by its fields.
    """
    others = (*Inputs._fields, BACKBONE)
    return {name: value for name, value in parameters.items() if "." not in name and name not in others}


def of_its_own(parameters: Mapping[str, str]) -> dict[str, str]:
    """Returns those of a trial's recorded parameters that may differ from its sweep's beside hyper-parameters: what the
    backbone is, and what workers found.
    """
    return {
        name: value for name, value in parameters.items() if name in Inputs._fields or name.startswith(f"{BACKBONE}.")
    }


def check_registrable(name: str) -> None:
    """Raises ValueError for a sweep's name that MLflow does not take for a registered model."""
    if odd := [letter for letter in "/:" if letter in name]:
        raise ValueError(
            f"name must hold no {' and no '.join(odd)} where tracking.register is true, as MLflow registers no such "
            f"model, but got {name!r}"
        )


def cut(text: str, longest: int) -> str:
    r"""Returns what MLflow takes of a text; it would cut it as well, or refuse it, as it is set up. A byte of a path
    that is no UTF-8 is written like \udcff.
    """
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= longest else text[: longest - 4] + " ..."


def tags_of(run: Run, kind: str) -> dict[str, str]:
    """Returns what runs are filtered by. `kind` is sweep, trial or table."""
    return {
        "fpt.kind": kind,
        "solver": run.solver.name,
        "data": run.dataset.source,
        "backbone": run.backbone.name,
        "way": str(run.episodes.way),
        "shot": str(run.episodes.shot),
    }


def hash_tag(run: Run, inputs: Inputs) -> dict[str, str]:
    """Returns the configuration hash as a tag, for it changes with the version of the method, and a sweep may be gone
    on with under another.
    """
    return {"config_hash": hash_of(run, inputs)}


def compute_tags(run: Run) -> dict[str, str]:
    """Returns how a run was computed last, which changes no result and may be another way the next time."""
    return {f"compute.{name}": str(value) for name, value in run.compute.model_dump().items()}


def data_of(run: Run, splits: Mapping[str, str], store: Path, home: Home, fingerprint: str) -> Sequence[Data]:
    """Returns the splits that a run reads, by context. Each is a data set by itself with the digest of the whole packed
    file: MLflow keeps one context for each name and digest.
    """
    images = ImageStore(store)
    uri = store.as_uri()
    if home.here is None and run.dataset.source != "packed":  # the store is this node's copy
        uri = without_secrets(run.dataset.path or home.uri_of("images"))
    whole = {"images": images.count, "splits": list(images.splits), "masks": images.has_masks}
    data = []
    for context, split in splits.items():
        classes = images.classes(split)
        counts = {"split": split, "split_images": sum(map(len, classes.values())), "split_classes": len(classes)}
        size = {"height": images.side[0], "width": images.side[1]}
        data.append(Data(f"{run.dataset.source} {split}", fingerprint, uri, context, {**counts, **whole, **size}))
    return data
