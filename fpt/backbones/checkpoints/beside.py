"""What the files beside a file of weights say of it, as Hugging Face, OpenCLIP and timm write them."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fpt.backbones.checkpoints.layouts import Colours

# Files of weights that have a folder to themselves; beside others, a config.json may be of something else.
ALONE = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")

HEADS, EPSILON = "num_attention_heads", "layer_norm_eps"

# Tags of timm's whose CLIP models were trained with the exact GELU.
GELU_TAGS = ("laion", "datacomp", "merged", "tinyclip")


@dataclass(frozen=True)
class Beside:
    """This is what is said of weights: mean and standard deviation of pixels, whether the activation is quickgelu, how
    many heads attention has, and what layer norms add to a variance; None where nothing is said.
    """

    pixels: tuple[Colours, Colours] | None = None
    quickgelu: bool | None = None
    heads: int | None = None
    epsilon: float | None = None


NOTHING_BESIDE = Beside()


def said_beside(path: Path, tag: str = "") -> Beside:
    """Returns what preprocessor_config.json, open_clip_config.json and config.json beside a file say; of the
    activation, a tag of timm's that names whose weights these are says it too.
    """
    by_tag = False if tag.startswith(GELU_TAGS) else None
    if path.name not in ALONE:
        inside = _inside(path)
        return Beside(quickgelu=by_tag, heads=_heads(inside), epsilon=_epsilon(inside))
    config, pictures, clip = (
        _read(path.parent / name) for name in ("config.json", "preprocessor_config.json", "open_clip_config.json")
    )
    told = [
        _pixels(pictures, "image_mean", "image_std"),
        _pixels(clip.get("preprocess_cfg"), "mean", "std"),
        _pixels(config.get("pretrained_cfg"), "mean", "std"),
    ]
    quickgelu = _quickgelu(config, clip)
    pixels = next((pixels for pixels in told if pixels), None)
    vision = config.get("vision_config", config)
    return Beside(pixels, by_tag if quickgelu is None else quickgelu, _heads(vision), _epsilon(vision))


def _read(file: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _pixels(told: Any, mean: str, std: str) -> tuple[Colours, Colours] | None:
    with suppress(TypeError, ValueError, AttributeError):
        first, second = (tuple(float(value) for value in told.get(name)) for name in (mean, std))
        if len(first) == len(second) == 3 and all(value > 0 for value in second):
            return (first[0], first[1], first[2]), (second[0], second[1], second[2])
    return None


def _inside(path: Path) -> dict[str, Any]:
    """Returns what a file of safetensors says in its header, as classifiers are saved here."""
    with suppress(SafetensorError, OSError, ValueError), safe_open(path, "pt") as held:
        told = held.metadata() or {}
        return {name: json.loads(told[name]) for name in (HEADS, EPSILON) if name in told}
    return {}


def inside(heads: int | None, epsilon: float | None) -> dict[str, str]:
    """Returns what a file of safetensors is to say in its header of weights, for `said_beside` to find it."""
    return {name: json.dumps(value) for name, value in ((HEADS, heads), (EPSILON, epsilon)) if value is not None}


def _heads(told: Any) -> int | None:
    heads: Any = told.get(HEADS) if isinstance(told, dict) else None
    return heads if type(heads) is int and heads > 0 else None


def _epsilon(told: Any) -> float | None:
    epsilon: Any = told.get(EPSILON) if isinstance(told, dict) else None
    return float(epsilon) if type(epsilon) in (int, float) and 0 <= epsilon < 1 else None


def _quickgelu(config: dict[str, Any], clip: dict[str, Any]) -> bool | None:
    if isinstance(model := clip.get("model_cfg"), dict):
        return bool(model.get("quick_gelu", False))
    vision = config.get("vision_config", config)
    kind = vision.get("model_type", config.get("model_type", "")) if isinstance(vision, dict) else ""
    if not str(kind).startswith("clip"):
        return None
    return bool(vision.get("hidden_act", "quick_gelu") == "quick_gelu")  # Hugging Face leaves out its own default
