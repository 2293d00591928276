"""Every name that can be chosen, once, and where its code is: solvers and what they read, heads, variants of prompts.

Configurations, identities, search spaces and tables read this file, and none of them may wait for torch: code is loaded
when it is first used. Installed packages add solvers through the entry-point group `fpt.solvers`; CONTRIBUTING.md shows
one.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry]):
    """Holds entries by name: first those that come with this project, then those of installed packages, by name.

    `group` is the packages' entry-point group, whose members `of_package` turns into entries when they are first asked
    for. Reading it raises ValueError where a package takes a name that is taken.
    """

    def __init__(self, group: str, here: Mapping[str, Entry], of_package: Callable[[EntryPoint], Entry]) -> None:
        self.group, self._here, self._of_package = group, here, of_package
        self._loaded: dict[str, Entry] = {}

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: (point.name, point.value)):
            if point.name in self._here or point.name in found:
                other = f"is also {package_of(found[point.name])}'s" if point.name in found else "comes with fpt"
                raise ValueError(
                    f"entry points of {self.group} must have names that are not taken but {package_of(point)} has "
                    f"{point.name!r}, which {other}"
                )
            found[point.name] = point
        return found

    def __getitem__(self, name: str) -> Entry:
        installed = self._installed
        if name in self._here:
            return self._here[name]
        if name not in self._loaded:
            self._loaded[name] = self._of_package(installed[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._installed or name in self._here  # and not by loading the entry

    def __iter__(self) -> Iterator[str]:
        return iter([*self._here, *self._installed])

    def __len__(self) -> int:
        return len(self._here) + len(self._installed)


def package_of(point: EntryPoint) -> str:
    """Returns the name of the package that an entry point came with."""
    return point.dist.name if point.dist is not None else "an installed package"


@cache
def load(where: str) -> Any:
    """Returns what `module:name` names. Raises ValueError where it is not there."""
    module, _, name = where.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{where} must be the module and name of a function but cannot be loaded: {error}") from error


def check_name(field: str, name: object, names: Collection[str]) -> None:
    """Raises ValueError, naming the field, for a name that is not among `names`."""
    if name not in names:
        raise ValueError(f"{field} must be one of {', '.join(names)} but got {name!r}")


OF_A_HEAD = frozenset({"head", "temperature", "head_multiplier", "lr", "epochs", "batch"})
OF_BLOCKS = OF_A_HEAD | {"blocks"}
OF_SOLVERS = OF_BLOCKS | {
    "rank",
    "tokens",
    "deep",
    "embeddings",
}  # all fields of a configuration's section `solver` but its name


@dataclass(frozen=True)
class SolverEntry:
    """Says what is known of a solver before its code is loaded.

    `function` says where it is, as module:name. It is `trained` or has nothing to train, reads `frozen_features` alone
    or runs the backbone itself, and is `steered` if it takes position prompts. `fields` are those of a configuration's
    section `solver` that it reads, and so what identifies its results beside its name. `version` does so too: a solver
    of an installed package raises it when its results change. Raises ValueError for what does not fit together.
    """

    function: str
    trained: bool
    frozen_features: bool
    steered: bool
    fields: frozenset[str] = frozenset()
    version: int | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.fields) - OF_SOLVERS):
            raise ValueError(f"fields must be among {', '.join(sorted(OF_SOLVERS))} but got {', '.join(unknown)}")
        if self.steered and self.frozen_features:
            raise ValueError("steered must be false for a solver that reads frozen features alone but is true")


def _of_package(point: EntryPoint) -> SolverEntry:
    try:
        entry = load(point.value)
    except ValueError as error:
        raise ValueError(f"solver {point.name} of {package_of(point)}: {error}") from error
    if not isinstance(entry, SolverEntry):
        raise ValueError(
            f"solver {point.name} of {package_of(point)} must be a SolverEntry but {point.value} is {entry!r}"
        )
    return entry


def _without_training(name: str) -> SolverEntry:
    return SolverEntry(f"fpt.solvers.{name}:{name}", trained=False, frozen_features=True, steered=False)


def _steered(name: str, *own: str) -> SolverEntry:
    return SolverEntry(
        f"fpt.solvers.{name}:{name}", trained=True, frozen_features=False, steered=True, fields=OF_BLOCKS.union(own)
    )


SOLVERS = Registry(
    "fpt.solvers",
    {
        "knn": _without_training("knn"),
        "ridge": _without_training("ridge"),
        "svm": _without_training("svm"),
        "protonet": _without_training("protonet"),
        "r2d2": _without_training("r2d2"),
        "metaoptnet": _without_training("metaoptnet"),
        "linear_probe": SolverEntry("fpt.solvers.linear_probe:linear_probe", True, True, False, OF_A_HEAD),
        "full": _steered("full", "embeddings"),
        "vpt": _steered("vpt", "tokens", "deep"),
        "lora": _steered("lora", "rank"),
        "ssf": _steered("ssf", "embeddings"),
    },
    _of_package,
)

# Where a fine-tuned solver's head starts. All but `random`, which reads no features, have one signature.
HEADS = {
    "protonet": "fpt.heads.closed_form:protonet",
    "r2d2": "fpt.heads.closed_form:r2d2",
    "metaoptnet": "fpt.heads.closed_form:metaoptnet",
    "zero": "fpt.heads.closed_form:zero",
    "random": "fpt.heads.closed_form:random",
}
# How prompts are estimated; `masks` are the true key patches instead, a yardstick where the data has them.
ESTIMATED = {
    "paper": "fpt.prompts.variants:PAPER",
    "scaled": "fpt.prompts.variants:SCALED",
    "contrast": "fpt.prompts.variants:CONTRAST",
    "official": "fpt.prompts.variants:OFFICIAL",
}
MASKS = "masks"
VARIANTS = (*ESTIMATED, MASKS)
ORDERS = ("paper", "rollout")  # of the product of layers
ROWS = ("patches", "all", "class")  # whose attention is steered
OWN_ROWS = {"official": "all"}  # of the variants whose rows are not the patches
STEERED_HEADS = ("mean", "each")  # of attention


def rows_of(variant: str, rows: str | None) -> str:
    """Returns the rows that are steered; where `rows` is None, the variant's own: patches in the paper, all tokens in
    its released code.
    """
    return OWN_ROWS.get(variant, "patches") if rows is None else rows


# What weights and tokens are kept in, by torch's name; heads, adapters, maps and optimisers are float32 always.
PRECISIONS = {"float32": "float32", "tf32": "float32", "bfloat16": "bfloat16"}


def timms_name(name: str) -> str:
    """Returns a timm model's name without what the Hub and its readers write before it: `timm/`, `hf-hub:timm/`."""
    for before in ("hf-hub:", "hf_hub:"):
        if name.startswith(f"{before}timm/"):
            return name.removeprefix(f"{before}timm/")
    return name.removeprefix("timm/").removeprefix("timm:")
