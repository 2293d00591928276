"""What a saved classifier says of itself, in JSON: each entry is checked before it is believed, as a stranger may have
written it.
"""

import json
import math
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fpt.backbones.backbone import Backbone
from fpt.backbones.naming import check_name as check_backbone
from fpt.classifier.calibration import Calibration, calibration_of
from fpt.classifier.saving import BACKBONE, EMBEDDED, FORMAT, TOLD
from fpt.classifier.transform import Transform
from fpt.pictures.resizing import NAMES
from fpt.registry import PRECISIONS, SOLVERS, check_name

MOST_BYTES = 64 * 2**20  # of the JSON file: a hundred thousand long names
MOST_CLASSES, MOST_SIDE, MOST_MEMBERS = 100_000, 1024, 100  # a larger side could take all memory
MOST = {"blocks": 1000, "rank": 100_000, "tokens": 100_000, "depth": 16}
ENTRIES = frozenset(
    [
        "format",
        "kind",
        "classes",
        "images",
        "transform",
        "parameters",
        "pixels",
        "fingerprints",
        "calibration",
        "versions",
    ]
)
TYPES = {"text": str, "whole": int, "truth": bool, "number": (int, float)}


def told_in(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise ValueError(
            f"path must be the folder of a saved classifier but {path} is {'a file' if path.exists() else 'not there'}"
        )
    file = file_of(path, TOLD)
    if file.stat().st_size > MOST_BYTES:
        raise wrong(path, f"{TOLD} must have at most {MOST_BYTES} bytes but has {file.stat().st_size}")
    try:
        told = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise wrong(path, f"{TOLD} cannot be read: {error}") from error
    if not isinstance(told, dict) or told.get("kind") != "fpt.FewShotClassifier":
        raise wrong(path, f"{TOLD} must say that it is of an fpt.FewShotClassifier")
    if told.get("format") != FORMAT:
        raise wrong(path, f"its format must be {FORMAT}, which this fpt reads, but is {told.get('format')!r}")
    if told.keys() != ENTRIES:
        odd = sorted(told.keys() ^ ENTRIES)
        raise wrong(path, f"{TOLD} must hold {', '.join(sorted(ENTRIES))}, and nothing else, but differs in {odd[:3]}")
    for name in ("classes", "transform", "parameters", "fingerprints", "calibration", "versions"):
        if not isinstance(told[name], dict):
            raise wrong(path, f"{name} must be an object")
    if not isinstance(told["images"], list) or not {"backbone", "support", "learnt"} <= told["fingerprints"].keys():
        raise wrong(path, "images must be a list, and fingerprints of backbone, support and learnt be told")
    return told


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def parameters_of(cls: type, told: dict[str, Any], path: Path) -> dict[str, Any]:
    """Returns the constructor's arguments, each of a kind that its default has. What they mean is checked by use."""
    parameters: dict[str, Any] = told["parameters"]
    known = {name: own.default for name, own in signature(cls).parameters.items() if name != "calibration"}
    if odd := sorted(parameters.keys() - known.keys()):
        raise wrong(
            path, f"parameters must be those of FewShotClassifier but hold {odd[:3]}, as a newer fpt may have it"
        )
    parameters = {**known, **parameters}  # what was added since then is as it was
    for name, value in parameters.items():
        if not _fits(name, value, known[name]):
            raise wrong(path, f"{name} must not be {str(value)[:60]!r}")
    if not isinstance(parameters["backbone"], str) or parameters["weights"] not in (True, BACKBONE):
        raise wrong(path, f"backbone must be a name, and weights true or {BACKBONE}, which lies in the folder")
    if parameters["weights"] is True and parameters["backbone"] != EMBEDDED:
        raise wrong(path, f"weights must be {BACKBONE}, in the folder, for all backbones but {EMBEDDED}")
    if parameters["precision"] not in PRECISIONS:
        raise wrong(path, f"precision must be one of {', '.join(PRECISIONS)}")
    members = parameters["ensemble"]
    if len(members) > MOST_MEMBERS or not all(
        isinstance(member, dict)
        and all(name in known and _fits(name, value, known[name]) for name, value in member.items())
        for member in members
    ):
        raise wrong(path, f"ensemble must be a list of at most {MOST_MEMBERS} settings")
    try:
        check_backbone(parameters["backbone"])
        for setting in (parameters, *members):
            check_name("solver", setting.get("solver", parameters["solver"]), SOLVERS)
    except ValueError as error:
        raise wrong(path, str(error)) from error
    return parameters


def _fits(name: str, value: Any, default: Any) -> bool:
    """Tells whether a value may be a parameter's, by the kind of its default."""
    if name in ("order", "rows"):
        return value is None or isinstance(value, str)
    if name in ("mean", "std"):
        return value is None or (isinstance(value, list) and len(value) == 3 and all(is_number(one) for one in value))
    if name == "image_size":
        return value is None or is_whole(value, 1, MOST_SIDE)
    if name == "weights":
        return value is True or isinstance(value, str)
    if name == "ensemble":
        return isinstance(value, list)
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int):
        return is_whole(value, 0, MOST.get(name, 2**63 - 1))
    if isinstance(default, float):
        return is_number(value)
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def classes_of(told: dict[str, Any], path: Path) -> np.ndarray:
    kind, names = told["classes"].get("kind"), told["classes"].get("names")
    if kind not in TYPES or not isinstance(names, list) or not 2 <= len(names) <= MOST_CLASSES:
        raise wrong(path, f"classes must be 2 to {MOST_CLASSES} names of a kind among {', '.join(TYPES)}")
    if not all(isinstance(name, TYPES[kind]) and (kind == "truth") == isinstance(name, bool) for name in names):  # type: ignore[arg-type]
        raise wrong(path, f"classes must all be of the kind {kind}")
    if kind in ("whole", "number") and not all(is_number(name) and abs(name) < 2**63 for name in names):
        raise wrong(path, "classes must be finite numbers")
    classes = np.array(names, dtype=float if kind == "number" else None)
    if len(np.unique(classes)) != len(names) or not (np.sort(classes) == classes).all():
        raise wrong(path, "classes must differ, and stand in their order")
    return classes


def transform_of(told: dict[str, Any], backbone: Backbone, path: Path) -> Transform:
    makers: dict[str, Any] = {name: maker for maker, name in NAMES.items()}
    values = {name: value for name, value in told.items() if name not in ("size", "geometry", "depth")}
    if told.get("geometry") not in makers or told.get("size") != backbone.image_size:
        raise wrong(path, f"transform must be one of {', '.join(makers)}, of the backbone's size {backbone.image_size}")
    if not is_whole(told.get("depth"), 8, 16):
        raise wrong(path, "transform's depth must be from 8 to 16")
    if "fill" in values:
        values["fill"] = tuple(values["fill"]) if isinstance(values["fill"], list) else values["fill"]
    try:
        how = makers[told["geometry"]](**values)
        if max(how.resized(100, 100, backbone.image_size)) > 20 * backbone.image_size:
            raise ValueError("transform must not enlarge more than 20 times")
        Image.Resampling[how.interpolation.upper()]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise wrong(path, f"transform {error}") from error
    return Transform(backbone.image_size, how, told["depth"])


def calibration_in(told: dict[str, Any], path: Path) -> Calibration | None:
    """Returns how far probabilities may be relied on; None where nothing but a temperature of 1 is told."""
    held = told["calibration"]
    if held == {"temperature": 1.0}:
        return None
    try:
        return calibration_of(held)
    except ValueError as error:
        raise wrong(path, str(error)) from error


def wrong(path: Path, why: str) -> ValueError:
    said = " ".join(why.split())
    return ValueError(f"{path} must be a classifier that fpt has saved but is not: {said}")


def file_of(path: Path, name: str) -> Path:
    """Returns a file of the folder. Raises ValueError for one that is not there, or leads elsewhere."""
    file = path / name
    if file.is_symlink() or not file.is_file():
        raise wrong(path, f"{name} must be a file in it" + (" and no link" if file.is_symlink() else ""))
    return file


def is_colours(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(is_number(one) for one in value)
