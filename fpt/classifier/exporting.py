"""A fitted classifier for other runtimes: torch.export's program, or ONNX. What comes out is tried before it is
kept.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.classifier.fitted import Fitted
from fpt.classifier.merging import Merged
from fpt.pictures.resizing import described
from fpt.registry import check_name

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
GET_ONNX = "pip install 'fpt[export]', which brings onnx, onnxscript and onnxruntime"
ALIKE = 1e-4  # of the largest logit
TRIED = (1, 5)  # pictures at once, on which an export is tried; it was traced on two
LARGEST_ONNX = 2**31 - 2**20  # bytes: no larger message can be written


def export(fitted: Fitted, classes: list[Any], path: Path, to: str) -> float:
    """Writes a classifier as one file: uint8 pixels (images x size x size x 3, resized as the transform says) in,
    logits out, any number of images at once. Classes and transform lie in it too, as JSON.

    Returns by how much its logits differ from the classifier's, over the largest. Raises ValueError for another
    runtime, one that is not installed or a solver that cannot be exported, and RuntimeError where logits differ by more
    than ALIKE.
    """
    check_name("--to", to, SUFFIXES)
    if path.suffix != SUFFIXES[to]:
        raise ValueError(f"--out must be a {SUFFIXES[to]} file for {to} but got {str(path)!r}")
    fitted = _in_float32(fitted)
    merged = Merged(fitted).eval().requires_grad_(False)
    told = {"classes": classes, "size": fitted.transform.size, **described(fitted.transform.how)}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        run = {"torch": _torch, "onnx": _onnx}[to](merged, fitted.transform.size, json.dumps(told), part)
        differ = max(_difference(fitted, run, count) for count in TRIED)
        if not differ <= ALIKE:
            raise RuntimeError(f"logits of the export differ by {differ:.1e} of the largest, more than {ALIKE:.0e}")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return differ


def _in_float32(fitted: Fitted) -> Fitted:
    """Returns the classifier on a CPU, in float32, as it is exported."""
    held = fitted.backbone
    if held.dtype == torch.float32 and held.device.type == "cpu":
        return fitted
    backbone = Backbone(deepcopy(held.model).cpu().float(), held.image_size, held.pixels)
    learnt = [{name: value.cpu() for name, value in own.items()} for own in fitted.learnt]
    return replace(fitted, backbone=backbone, learnt=learnt)


Runs = Callable[[Tensor], Float[np.ndarray, "images way"]]


def _pixels(count: int, size: int) -> Tensor:
    random = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, 3, 4, 4, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    return (smooth.permute(0, 2, 3, 1) * 255).to(torch.uint8).contiguous()


def _difference(fitted: Fitted, run: Runs, count: int) -> float:
    pixels = _pixels(count, fitted.transform.size)
    expected = fitted.logits(pixels).cpu().numpy()
    return float(np.abs(run(pixels) - expected).max() / np.abs(expected).max())


def _torch(merged: Merged, size: int, told: str, path: Path) -> Runs:
    with _quiet():
        batch = torch.export.Dim("batch", min=1, max=2**16)
        program = torch.export.export(merged, (_pixels(2, size),), dynamic_shapes=({0: batch},), strict=False)
        torch.export.save(program, path, extra_files={"fpt.json": told})
        module = torch.export.load(path).module()
    return lambda pixels: np.asarray(module(pixels).detach().numpy())


def _onnx(merged: Merged, size: int, told: str, path: Path) -> Runs:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (torch exports by it)
    except ImportError as error:
        raise ValueError(f"--to must be torch where {error.name} is not installed but is onnx; {GET_ONNX}") from error
    weight = sum(value.nbytes for value in merged.state_dict().values())
    if weight > LARGEST_ONNX:
        raise ValueError(f"--to must be torch for {weight / 2**30:.1f} GB of weights, as a file of ONNX holds 2 GB")
    with _quiet():
        batch = torch.export.Dim("batch", min=1, max=2**16)
        exported = torch.onnx.export(
            merged,
            (_pixels(2, size),),
            dynamo=True,
            dynamic_shapes=({0: batch},),
            input_names=["pixels"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
        assert exported is not None
        model = exported.model_proto
        onnx.helper.set_model_props(model, {"fpt": told})
        onnx.save_model(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pixels: np.asarray(session.run(["logits"], {"pixels": pixels.numpy()})[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from the terminal what the exporters themselves warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
