"""What identifies a result: one function works it out, and all that hashes, packs, compares or reports reads it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from fpt.registry import SOLVERS, rows_of
from pipeline.config import Dataset, Run, members_of
from pipeline.storage.descriptions import configuration_hash

__all__ = [
    "METHOD_VERSION",
    "Found",
    "Inputs",
    "configuration_hash",
    "hash_of",
    "identity",
    "packing_identity",
    "with_precision",
]

# Raise it when the method changes results: rows of another version are never reused.
METHOD_VERSION = 4


class Inputs(NamedTuple):
    """Inputs are what a result depends on beside its configuration: fingerprints of images and weights, and the
    precision used.
    """

    dataset_fingerprint: str
    backbone_fingerprint: str
    precision: str


@dataclass(frozen=True)
class Found:
    """This is what the first worker of a session found, and what every later worker must find too: the inputs;
    `device`, the kind that it computes on; how many `patches` a prompt can hold and the `depth` of the backbone;
    whether `masks` of key entities are known; and the number of `classes` in each split.
    """

    dataset_fingerprint: str
    backbone_fingerprint: str
    precision: str
    device: str
    patches: int
    depth: int
    masks: bool
    classes: Mapping[str, int]

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.dataset_fingerprint, self.backbone_fingerprint, self.precision)

    def differences(self, other: "Found") -> dict[str, tuple[Any, Any]]:
        """Returns the fields, but for the kind of device, in which `other` differs, with both values."""
        ours, theirs = asdict(self), asdict(other)
        names = [field.name for field in fields(self) if field.name != "device"]
        return {name: (ours[name], theirs[name]) for name in names if ours[name] != theirs[name]}


def identity(run: Run, inputs: Inputs) -> dict[str, Any]:
    """Returns all that can change a result, and nothing else: what a configuration hash covers."""
    part = set() if run.episodes.part != "all" else {"part"}
    episodes = run.episodes.model_dump(exclude={"count", *part})
    known = SOLVERS[run.solver.name]
    solver = {key: value for key, value in run.solver.model_dump().items() if key == "name" or key in known.fields}
    if not run.solver.embeddings:  # hashes are those of the time before there was a choice
        solver.pop("embeddings", None)
    if known.version is not None:  # of a package of its own, which METHOD_VERSION does not count
        solver["version"] = known.version
    steered = known.steered and run.prompts.alpha > 0
    prompts = run.prompts.model_dump(by_alias=True) if steered else None
    if prompts:
        prompts["rows"] = rows_of(run.prompts.variant, run.prompts.rows)
        prompts.pop("contrast", None)
    if prompts and run.prompts.variant == "contrast":
        prompts["contrast"] = run.prompts.contrast
    if prompts and run.prompts.variant == "masks":
        prompts = {key: value for key, value in prompts.items() if key not in ("order", "lambda", "patches")}
    return {
        "method": METHOD_VERSION,
        "dataset": inputs.dataset_fingerprint,
        "backbone": {
            "name": run.backbone.name,
            "image_size": run.backbone.image_size,
            "fingerprint": inputs.backbone_fingerprint,
            "precision": inputs.precision,
            **({} if inputs.precision == "float32" else {"attention": "float32"}),  # it was rounded before, and pixels
        },
        "episodes": episodes,
        "solver": solver,
        "prompts": prompts,
        **_members(run, inputs),
    }


def _members(run: Run, inputs: Inputs) -> dict[str, Any]:
    """Returns solvers and prompts of the members of an ensemble, whose order does not matter; nothing for others."""
    if not run.ensemble:
        return {}
    members = [identity(member, inputs) for member in members_of(run)]
    described = [{name: member[name] for name in ("solver", "prompts")} for member in members]
    return {"ensemble": sorted(described, key=repr)}


def packing_identity(dataset: Dataset) -> dict[str, Any]:
    """Returns the fields of a data set that decide which images are packed, and nothing else: not, for instance, what
    becomes of small classes, which is decided when episodes are drawn, nor how classes would be divided that are all
    novel. Fields that were added later are left out at their defaults.
    """
    described: dict[str, Any] = dataset.model_dump()
    if dataset.source == "glyphs":
        read = {"source", "images_per_class", "distractors"}
    elif dataset.source == "packed":
        read = {"source", "path"}  # it was packed as fpt data pack was told
    else:
        divided = () if dataset.all_novel else ("shares", "split_seed")
        listed = ("source", "path", "follow_links", "classes", "merge_splits", "hold_out", "all_novel")
        read = {*listed, "image_column", "label_column", "resize", "leaks", *divided}
    return {name: value for name, value in described.items() if name in read}


def hash_of(run: Run, inputs: Inputs) -> str:
    """Returns the configuration hash of a run on some images and weights."""
    return configuration_hash(identity(run, inputs))


def with_precision(run: Run, precision: str) -> Run:
    """Returns the run with a precision that was found."""
    return run.model_copy(update={"backbone": run.backbone.model_copy(update={"precision": precision})})
