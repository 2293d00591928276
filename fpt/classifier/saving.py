"""A fitted classifier as a folder: tensors in safetensors, all else in JSON. Nothing in it is code."""

import hashlib
import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from safetensors.torch import save_file

from fpt.backbones.checkpoints.beside import inside
from fpt.backbones.fingerprint import backbone_fingerprint
from fpt.pictures.resizing import described

FORMAT = 1
TOLD, LEARNT, BACKBONE = "classifier.json", "learnt.safetensors", "backbone.safetensors"
FILES = (TOLD, LEARNT, BACKBONE)
EMBEDDED = "vit_micro_glyphs"  # its weights lie in this package, and need not be kept again
VERSIONS = ("fpt", "torch", "timm", "numpy", "scikit-learn", "pillow")
KINDS = {"U": "text", "i": "whole", "u": "whole", "b": "truth", "f": "number"}  # of labels, by numpy's letter


def save(classifier: Any, path: Path) -> Path:
    """Writes a fitted classifier into a folder, whole or not at all. Raises ValueError for a folder that holds
    something else, and for what cannot be written down.
    """
    fitted, parameters = classifier.fitted_, classifier.get_params(deep=False)
    if not isinstance(parameters["backbone"], str):
        raise ValueError("backbone must be a name for a classifier that is saved but is a loaded Backbone")
    if classifier.classes_.dtype.kind not in KINDS:
        raise ValueError(
            f"y must hold text or numbers for a classifier that is saved but holds {classifier.classes_.dtype}"
        )
    check_free(path)
    kept = not (parameters["backbone"] == EMBEDDED and parameters["weights"] is True)
    parameters |= {"weights": BACKBONE if kept else True, "precision": fitted.precision, "device": "auto"}
    del parameters["calibration"]  # what was fitted by it is told apart
    parameters |= {"ensemble": [dict(member) for member in parameters["ensemble"]]}
    part = path.with_name(f".{path.name}-{uuid4().hex[:8]}")
    part.mkdir(parents=True)
    try:
        tensors = {
            f"{member}.{name}": value.detach().cpu().contiguous().clone()
            for member, learnt in enumerate(fitted.learnt)
            for name, value in learnt.items()
        }
        save_file(tensors, part / LEARNT)
        if kept:
            state, matched = fitted.backbone.model.state_dict().items(), fitted.backbone.weights
            header = inside(matched.heads, matched.epsilon) if matched is not None else {}
            kept_weights = {name: value.detach().cpu().contiguous().clone() for name, value in state}
            save_file(kept_weights, part / BACKBONE, header or None)
        told = {
            "format": FORMAT,
            "kind": "fpt.FewShotClassifier",
            "classes": {"kind": KINDS[classifier.classes_.dtype.kind], "names": classifier.classes_.tolist()},
            "images": list(fitted.images),
            "transform": {
                "size": fitted.transform.size,
                **described(fitted.transform.how),
                "depth": fitted.transform.depth,
            },
            "parameters": plain(parameters),
            "pixels": plain(fitted.backbone.pixels),
            "fingerprints": {
                "backbone": backbone_fingerprint(fitted.backbone),
                "support": fitted.support,
                "learnt": digest_of_file(part / LEARNT),
            },
            "calibration": {"temperature": 1.0} if fitted.calibration is None else asdict(fitted.calibration),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
        }
        (part / TOLD).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        replace_folder(part, path)
    finally:
        remove(part)
    return path


def check_free(path: Path) -> None:
    """Raises ValueError for a path where something is that is no saved classifier: it is not written over."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ValueError(f"path must be a folder, or not there yet, but {path} is a file")
    if path.is_dir() and {inside.name for inside in path.iterdir()} - set(FILES):
        raise ValueError(f"path must be a folder of a classifier, or not there yet, but {path} holds other files")


def replace_folder(part: Path, path: Path) -> None:
    """Puts a folder where another classifier may be."""
    if path.exists():
        old = path.with_name(f".{path.name}-{uuid4().hex[:8]}")
        path.rename(old)
        part.rename(path)
        remove(old)
    else:
        part.rename(path)


def remove(folder: Path) -> None:
    """Removes a classifier's folder, where it is there."""
    if folder.is_dir():
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def digest_of_file(path: Path) -> str:
    """Returns a digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def plain(value: Any) -> Any:
    """Returns a value as JSON has it: NumPy's numbers as plain ones, tuples as lists."""
    if isinstance(value, dict):
        return {str(name): plain(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(own) for own in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value
