"""What shapes alone do not tell, or timm would bend silently: whether a file's weights are those of the model named."""

from collections.abc import Mapping
from math import isqrt
from typing import Any

import timm
import torch
from torch import Tensor, nn

from fpt.backbones.checkpoints.beside import Beside
from fpt.backbones.checkpoints.layouts import Layout, State

PATCHES = ("patch_embed.proj.weight", "visual.conv1.weight")
POSITIONS = ("pos_embed", "visual.positional_embedding")
BIASES_APART = (".attn.q_bias", ".attn.v_bias")
MOCO_HEADS = {384: 12}  # by width, where they are not timm's
REGISTERS = ("reg_token", "register_tokens", "storage_tokens")


def architecture(model: nn.Module) -> str:
    """Returns timm's name of the architecture; the class's where timm gave none."""
    config: Any = getattr(model, "pretrained_cfg", {})
    return config.get("architecture") or type(model).__name__


def check_fits(model: nn.Module, state: State, layout: Layout, beside: Beside, source: str) -> None:
    """Raises ValueError for weights of another size of patches, of more or fewer registers, with biases that the model
    has not, of positions that are no square, or of another activation than the model has.
    """
    _check_patches(model, state, source)
    _check_registers(model, state, source)
    _check_biases(model, state, source)
    _check_positions(model, state, source)
    _check_activation(model, layout, beside, source)


def pooled_by_mean(state: Mapping[str, Tensor]) -> bool:
    """Tells whether weights are of a model that takes the mean of its patches: it has `fc_norm` after that, and no norm
    before, as MAE's fine-tuned ones.
    """
    return "fc_norm.weight" in state and "norm.weight" not in state


def pooled_by_class(state: Mapping[str, Tensor], model: nn.Module) -> bool:
    """Tells whether weights are of a model that takes [CLS], where `model` would take the mean of its patches: BEiT, as
    its own code and Hugging Face's have it, with a norm before that and no `fc_norm` after it.
    """
    own = model.state_dict()
    beit = "fc_norm.weight" in own and any(name.endswith("relative_position_bias_table") for name in own)
    return beit and "norm.weight" in state and "fc_norm.weight" not in state


def heads_trained(state: State, layout: Layout, beside: Beside) -> int | None:
    """Returns how many heads weights were trained with, which their shapes do not tell; None where nothing else does.
    MoCo v3's small models have 12 (its `vits.py`), all others of their width 6.
    """
    return MOCO_HEADS.get(_width(state)) if layout.name == "MoCo v3" else beside.heads


def check_heads(state: State, heads: int, source: str) -> None:
    """Raises ValueError for heads into which the width of weights cannot be cut."""
    if _width(state) % heads:
        raise ValueError(
            f"{source} must hold weights of as many heads as divide their width {_width(state)}, but what is said "
            f"beside them tells of {heads}: is the configuration another model's?"
        )


def _width(state: State) -> int:
    patches = _first(state, PATCHES)
    return 0 if patches is None else len(patches)


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Raises ValueError for weights that are not finite, and names the first of them."""
    counts = {name: int((~value.isfinite()).sum()) for name, value in state.items() if not _is_finite(value)}
    if counts:
        name, count = next(iter(counts.items()))
        others = f", and {len(counts) - 1} weights more have such values" if len(counts) > 1 else ""
        raise ValueError(
            f"{source} must be finite but {name} has {count} of {state[name].numel()} values that are NaN or infinite"
            f"{others}; take a checkpoint from before training diverged, or one that was copied whole"
        )


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _first(state: State, names: tuple[str, ...]) -> Tensor | None:
    return next((state[name] for name in names if name in state), None)


def _instead(name: str, old: str, new: str) -> str:
    """Returns a hint at the model that has `new` in its name where this one has `old`; empty where there is none."""
    other = name.replace(old, new)
    return f"; backbone.name {other} is such a model" if old in name and timm.is_model(other) else ""


def _check_patches(model: Any, state: State, source: str) -> None:
    there, own = _first(state, PATCHES), getattr(getattr(model, "patch_embed", None), "proj", None)
    if there is None or there.ndim != 4 or not isinstance(own, nn.Conv2d):
        return
    found, wanted = tuple(there.shape[2:]), tuple(own.weight.shape[2:])
    if found != wanted:
        name = architecture(model)
        hint = _instead(name, f"patch{wanted[0]}_", f"patch{found[0]}_")
        raise ValueError(
            f"{source} must hold patches of {wanted[0]} x {wanted[1]} pixels, which are those of {name}, but holds "
            f"patches of {found[0]} x {found[1]}{hint}"
        )


def _check_registers(model: Any, state: State, source: str) -> None:
    there, own = _first(state, REGISTERS), getattr(model, "reg_token", None)
    if not hasattr(model, "reg_token"):
        return
    found, wanted = (0 if tokens is None else tokens.shape[-2] for tokens in (there, own))
    if found != wanted:
        name = architecture(model)
        hint = _instead(name, "_dinov2", f"_reg{found}_dinov2") if not wanted else ""
        hint = hint or (_instead(name, f"_reg{wanted}", f"_reg{found}" if found else "") if wanted else "")
        raise ValueError(
            f"{source} must hold {wanted or 'no'} register tokens, as {name}, but holds {found or 'none'}{hint}"
        )


def _check_biases(model: nn.Module, state: State, source: str) -> None:
    """DINOv3's biases of queries and values are all zero in some of its models, which timm then has without. The larger
    EVA-02 have them in layers of their own.
    """
    own = {name for name, _ in model.named_parameters()}
    for name, value in state.items():
        there = {name, name.replace("_bias", "_proj.bias")} & own
        if name.endswith(BIASES_APART) and not there and bool(value.any()):
            known = architecture(model)
            hint = f"; backbone.name {known}_qkvb is such a model" if timm.is_model(f"{known}_qkvb") else ""
            raise ValueError(
                f"{source} must hold no bias of queries and values but zero, as {known} has none, but {name} is "
                f"another{hint}"
            )


def _check_positions(model: Any, state: State, source: str) -> None:
    there, own = _first(state, POSITIONS), getattr(model, "pos_embed", None)
    if there is None or not isinstance(own, Tensor) or there.ndim not in (2, 3) or own.ndim != 3:
        return
    none_before = getattr(model, "no_embed_class", False) and "register_tokens" not in state
    before = 0 if none_before else 1 if "register_tokens" in state else getattr(model, "num_prefix_tokens", 1)
    patches, size = there.shape[-2] - before, (there.shape[-2], there.shape[-1])
    if size != (own.shape[1], own.shape[2]) and (patches < 1 or isqrt(patches) ** 2 != patches):
        raise ValueError(
            f"{source} must hold a position embedding of a square of patches, or of as many as "
            f"{architecture(model)} has, but holds one of {patches} patches beside {before} other tokens: of a "
            "rectangle, or of a model with other tokens"
        )


def _check_activation(model: nn.Module, layout: Layout, beside: Beside, source: str) -> None:
    if not layout.clip:
        return
    quick, name = any(type(part).__name__ == "QuickGELU" for part in model.modules()), architecture(model)
    other = name.replace("_clip_quickgelu_", "_clip_") if quick else name.replace("_clip_", "_clip_quickgelu_")
    if beside.quickgelu is not None and beside.quickgelu != quick:
        kinds = ("quickgelu", "gelu") if quick else ("gelu", "quickgelu")
        raise ValueError(
            f"{source} must hold weights that were trained with {kinds[0]}, the activation of {name}, but were trained "
            f"with {kinds[1]}, as the tag of backbone.name or config.json says; backbone.name {other} has that"
        )
    if beside.quickgelu is None and not quick:
        raise ValueError(
            f"{source} must hold weights that were trained with gelu, the activation of {name}, which names of "
            f"{layout.name} do not tell: OpenAI's were trained with quickgelu, as backbone.name {other} has it; "
            f"for LAION's, say so by a tag, like {name}.laion2b"
        )
