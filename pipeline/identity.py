"""What identifies a result: one function works it out, and all that hashes, packs, compares or reports reads it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from fpt.registry import SOLVERS, rows_of
from pipeline.backbones import BackboneName
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
    whether `masks` of key entities are known; and the number of `classes` in each split. Where a session holds several
    backbones, this is of the first, and `each` is what was found of all of them.
    """

    dataset_fingerprint: str
    backbone_fingerprint: str
    precision: str
    device: str
    patches: int
    depth: int
    masks: bool
    classes: Mapping[str, int]
    each: Mapping[BackboneName, "Found"] = field(default_factory=dict)

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.dataset_fingerprint, self.backbone_fingerprint, self.precision)

    @staticmethod
    def of_several(each: Mapping[BackboneName, "Found"]) -> "Found":
        """Returns what was found of each of a session's backbones as one."""
        return replace(next(iter(each.values())), each=dict(each))

    def of(self, backbone: BackboneName) -> "Found":
        """Returns what was found of a backbone of the session, by what a run says of it."""
        return self.each[backbone] if self.each else self

    def only(self, backbones: Iterable[BackboneName]) -> "Found":
        """Returns what was found of some of several backbones."""
        return Found.of_several({one: self.each[one] for one in backbones}) if self.each else self

    def described(self) -> dict[str, str]:
        """Returns the inputs as text; those of several backbones side by side."""
        inputs = [one.inputs._asdict() for one in self.each.values()] or [self.inputs._asdict()]
        return {name: ", ".join(str(one[name]) for one in inputs) for name in Inputs._fields}

    def differences(self, other: "Found") -> dict[str, tuple[Any, Any]]:
        """Returns the fields, but for the kind of device, in which `other` differs, with both values."""
        names = [one.name for one in fields(self) if one.name not in ("device", "each")]
        told: dict[str, tuple[Any, Any]] = {name: (getattr(self, name), getattr(other, name)) for name in names}
        for backbone in self.each.keys() & other.each.keys():
            own = self.each[backbone].differences(other.each[backbone])
            told |= {f"{name} of {backbone.name}": values for name, values in own.items()}
        if self.each.keys() != other.each.keys():
            told["backbones"] = ([one.name for one in self.each], [one.name for one in other.each])
        return {name: values for name, values in told.items() if values[0] != values[1]}


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
