"""Opens a saved classifier, which may be a stranger's: nothing in it is run, nothing beside it is read.

Only three files are read, by names that are known beforehand: nothing in the folder says where anything else lies. Of
tensors, names, types and shapes are compared with what the configuration makes of the backbone before a number is read.
"""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.backbones.fingerprint import backbone_fingerprint
from fpt.backbones.loading import best_device, load_backbone
from fpt.backbones.precision import bfloat16_works_on_cpu, use_precision
from fpt.classifier.claims import (
    calibration_in,
    classes_of,
    file_of,
    is_colours,
    is_whole,
    parameters_of,
    told_in,
    transform_of,
    wrong,
)
from fpt.classifier.fitted import Fitted
from fpt.classifier.saving import BACKBONE, LEARNT, TOLD, digest_of_file
from fpt.problems.learning import check_learnable
from fpt.problems.problem import Setting
from fpt.registry import PRECISIONS
from fpt.solvers import learner_named
from fpt.solvers.contract import Learnt

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}


def opened_classifier(cls: type, path: Path, device: str) -> Any:
    """Returns the classifier of class `cls` in a folder. Raises ValueError for what `save` did not write so."""
    told = told_in(path)
    parameters = parameters_of(cls, told, path)
    kept = parameters["weights"] is not True
    classes, images = classes_of(told, path), told["images"]
    if len(images) != len(classes) or not all(is_whole(count, 1, 10**9) for count in images):
        raise wrong(path, "images must be a whole number, 1 at least, for each class")
    device = best_device() if device == "auto" else device
    if kept:  # so that what is opened can be fitted anew
        mean, std = _pixels(path, parameters["backbone"], told["pixels"])
        parameters |= {"weights": str(path / BACKBONE), "mean": mean, "std": std}
    backbone = _backbone(path, parameters, kept, told)
    transform = transform_of(told["transform"], backbone, path)
    shown = cls(**parameters)
    try:
        settings = shown.settings_for(len(classes))
        for setting in settings:
            check_learnable(setting, backbone)
    except (TypeError, ValueError) as error:
        raise wrong(path, str(error)) from error
    learnt = _learnt(path, backbone, settings, sum(images), len(classes))
    if digest_of_file(path / LEARNT) != told["fingerprints"]["learnt"]:
        raise wrong(path, f"{LEARNT} must have the fingerprint that {TOLD} tells but has another")
    precision, placed = _placed(backbone, parameters["precision"], device)
    shown.classes_ = classes
    shown.fitted_ = Fitted(
        placed,
        precision,
        transform,
        settings,
        [{name: value.to(device) for name, value in own.items()} for own in learnt],
        images,
        str(told["fingerprints"]["support"]),
        calibration_in(told, path),
    )
    return shown


def _backbone(path: Path, parameters: dict[str, Any], kept: bool, told: dict[str, Any]) -> Backbone:
    """Returns the backbone on the CPU, in the precision that its weights were kept in."""
    dtype: torch.dtype = getattr(torch, PRECISIONS[parameters["precision"]])
    if kept:
        _header(path, file_of(path, BACKBONE))
    try:
        backbone = load_backbone(
            parameters["backbone"],
            weights=parameters["weights"],
            image_size=parameters["image_size"],
            dtype=dtype,
            mean=parameters["mean"],
            std=parameters["std"],
        )
    except (ValueError, RuntimeError) as error:
        raise wrong(path, str(error).replace("backbone.weights ", "")) from error
    if backbone_fingerprint(backbone) != told["fingerprints"]["backbone"]:
        raise wrong(path, "the backbone must have the fingerprint that is told but has another")
    return backbone


def _pixels(path: Path, name: str, told: Any) -> tuple[Any, Any]:
    """Returns mean and standard deviation of the pixels, as they are told or timm has them."""
    if told is not None:
        if not (isinstance(told, list) and len(told) == 2 and all(map(is_colours, told))):
            raise wrong(path, "pixels must be null, or mean and standard deviation of three colours")
        return told[0], told[1]
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise wrong(path, f"pixels must be told for {name}, of which timm tells none")
    return tuple(config.mean), tuple(config.std)


def _header(path: Path, file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Returns type and shape of each tensor of a file, of which nothing but the header is read."""
    try:
        with safe_open(file, "pt") as held:
            parts = {name: held.get_slice(name) for name in held.keys()}  # noqa: SIM118  (it is no mapping)
            return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        raise wrong(path, f"{file.name} must be a whole file of safetensors: {error}") from error


def _learnt(path: Path, backbone: Backbone, settings: list[Setting], support: int, way: int) -> list[Learnt]:
    file = file_of(path, LEARNT)
    header, expected = _header(path, file), dict[str, tuple[int, ...]]()
    for member, setting in enumerate(settings):
        shapes = learner_named(setting.solver).shapes(backbone, setting.training, support)
        expected |= {f"{member}.{name}": (1, *shape) for name, shape in shapes.items()}
    if header.keys() != expected.keys():
        odd = sorted(header.keys() ^ expected.keys())
        raise wrong(path, f"{LEARNT} must hold what its solver learns but differs in {', '.join(odd[:3])}")
    for name, (dtype, shape) in header.items():
        if shape != expected[name]:
            raise wrong(path, f"{LEARNT}: {name} must have the shape {expected[name]} but has {shape}")
        if dtype not in DTYPES or (dtype == "I64") != name.endswith(".labels"):
            raise wrong(path, f"{LEARNT}: {name} must not be of type {dtype}")
    found: list[dict[str, Tensor]] = [{} for _ in settings]
    with safe_open(file, "pt") as held:
        for name in expected:
            place, _, own = name.partition(".")
            value = held.get_tensor(name)
            if not bool(value.isfinite().all()):
                raise wrong(path, f"{LEARNT}: {name} must be finite")
            if own == "labels" and not 0 <= int(value.min()) <= int(value.max()) < way:
                raise wrong(path, f"{LEARNT}: {name} must be from 0 to {way - 1}")
            found[int(place)][own] = value
    return list(found)


def _placed(backbone: Backbone, precision: str, device: str) -> tuple[str, Backbone]:
    """Returns the backbone where it computes, and its precision there: float32 where a CPU has no bfloat16."""
    kind = torch.device(device).type
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device must be one that is here but got {device!r}")
    if precision == "bfloat16" and kind == "cpu" and not bfloat16_works_on_cpu():
        precision = "float32"
    dtype = use_precision(precision, device)
    if kind == "cpu" and dtype == backbone.dtype:
        return precision, backbone
    return precision, Backbone(backbone.model.to(device=device, dtype=dtype), backbone.image_size, backbone.pixels)
