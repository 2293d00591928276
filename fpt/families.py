"""Which of timm's families the method runs on, tried: `python -m fpt.families --out docs/families.md`.

The smallest member of each, with random weights, solves a 2-way 1-shot episode of random pixels.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.backbones.loading import load_backbone
from fpt.interface import Episode, position_prompts, solve
from fpt.prompts.pyramids import PyramidPrompts

# By the size of the images in pixels, where that is not the model's own: small ones are quick.
FAMILIES: dict[str, int | None] = {
    "vit_micro_glyphs": None,
    "vit_tiny_patch16_224": 112,
    "deit_tiny_distilled_patch16_224": 112,
    "deit3_small_patch16_224": 112,
    "vit_xsmall_patch16_clip_224": 112,
    "vit_base_patch16_siglip_224": 112,
    "vit_wee_patch16_reg1_gap_256": 128,
    "vit_small_patch14_reg4_dinov2": 98,
    "vit_small_patch16_dinov3": 112,
    "vit_small_patch16_rope_224": 112,
    "vit_small_patch16_rope_mixed_224": 112,
    "vit_pe_core_tiny_patch16_384": 112,
    "eva02_tiny_patch14_224": 98,
    "beit_base_patch16_224": 112,
    "flexivit_small": 112,
    "vit_relpos_small_patch16_224": 112,
    "vit_tiny_r_s16_p8_224": None,
    "cait_xxs24_224": 112,
    "convit_tiny": None,
    "samvit_base_patch16_224": None,
    "swin_tiny_patch4_window7_224": None,
    "swin_s3_tiny_224": None,
    "swinv2_tiny_window8_256": None,
    "swinv2_cr_tiny_224": None,
    "pit_ti_224": None,
    "nest_tiny": None,
    "visformer_tiny": None,
    "gcvit_xxtiny": None,
    "maxvit_pico_rw_256": None,
    "coatnet_pico_rw_224": None,
    "mobilevit_xxs": None,
    "tiny_vit_5m_224": None,
    "caformer_s18": None,
    "resnet18": None,
    "mixer_s32_224": None,
    "xcit_nano_12_p16_224": None,
    "tnt_s_patch16_224": None,
    "levit_128s": None,
    "coat_lite_tiny": None,
    "crossvit_tiny_240": None,
    "hiera_tiny_224": None,
    "mvitv2_tiny": None,
    "davit_tiny": None,
    "twins_pcpvt_small": None,
    "pvt_v2_b0": None,
    "edgenext_xx_small": None,
}
WAY = 2
PATCHES = 2  # of each image or window
VARIANT = "paper"
SWITCHED_OFF = 1e-3
NO_GRADIENT_TERM = "lambda must be 0"
WORKING = ("model", "pixels", "kind", "layers", "prefix", "patches", "prompts", "LoRA with prompts", "linear probe")
REFUSED = ("model", "why")


@dataclass(frozen=True)
class Family:
    """Holds what was found out about a model. `shape` has kind, layers, prefix tokens and patches; None where refused.

    `tried` is "yes" or what went wrong, for prompts, LoRA with them and the linear probe.
    """

    name: str
    pixels: int
    shape: tuple[str, ...] | None
    tried: tuple[str, ...]


def examine(name: str, image_size: int | None = None) -> Family:
    """Loads a model, finds prompts and solves an episode."""
    try:
        backbone = _awake(load_backbone(name, image_size=image_size))
    except ValueError as error:
        return Family(name, image_size or 0, None, (str(error),))
    episode = _episode(backbone.image_size)
    tried = (_prompts, _lora, _linear_probe)
    return Family(name, backbone.image_size, _shape(backbone), tuple(_said(how, backbone, episode) for how in tried))


def _awake(backbone: Backbone) -> Backbone:
    """Returns the backbone with all branches switched on. Some families start training with branches (next to) switched
    off, by layer scales of 1e-5 or norms of 0: no attention would be seen to matter. A trained model's are not, so
    these become 1.
    """
    off = [
        weight
        for name, weight in backbone.model.named_parameters()
        if weight.ndim == 1 and not name.endswith("bias") and float(weight.abs().max()) < SWITCHED_OFF
    ]
    for weight in off:
        weight.fill_(1)
    return Backbone(backbone.model) if off else backbone


def _episode(side: int) -> Episode:
    random = torch.Generator().manual_seed(0)
    support, query = (
        torch.randint(0, 256, (WAY, side, side, 3), generator=random, dtype=torch.uint8) for _ in range(2)
    )
    return Episode(support, torch.arange(WAY), query, torch.arange(WAY), index=0)


def _shape(backbone: Backbone) -> tuple[str, ...]:
    if not backbone.pyramid:
        return "columnar", str(backbone.depth), str(backbone.prefix), "{} × {}".format(*backbone.grid)
    of_stages = ", ".join(f"{shape[0]} × {shape[1]}" for shape in backbone.target_shapes)
    return "pyramid", str(backbone.depth), ", ".join(map(str, backbone.stage_prefixes)), of_stages


def _said(how: Callable[[Backbone, Episode, float], None], backbone: Backbone, episode: Episode) -> str:
    """Returns "yes"; where the gradient cannot be had, "lambda 0"; else the sentence in which it was refused."""
    try:
        how(backbone, episode, 1.0)
    except ValueError as error:
        if not str(error).startswith(NO_GRADIENT_TERM):
            return f"no: {error}"
        how(backbone, episode, 0.0)
        return "lambda 0"
    return "yes"


def _prompts(backbone: Backbone, episode: Episode, lam: float) -> None:
    random = torch.Generator().manual_seed(1)
    head = torch.randn(WAY, backbone.dim, generator=random), torch.zeros(WAY)
    found = position_prompts(
        backbone,
        episode.support_images,
        episode.support_labels,
        *head,
        lam=lam,
        patches=_patches(backbone),
        variant=VARIANT,
    )
    stages = (
        zip(found.importance, found.mask, strict=True)
        if isinstance(found, PyramidPrompts)
        else [(found.importance, found.mask)]
    )
    for importance, mask in stages:
        _finite(importance)
        if not bool((mask.sum(-1) == _patches(backbone)).all()):
            raise ValueError(f"prompts must hold {_patches(backbone)} patches each")


def _lora(backbone: Backbone, episode: Episode, lam: float) -> None:
    with_prompts, without = (
        _logits(backbone, episode, solver="lora", alpha=alpha, lam=lam, patches=_patches(backbone))
        for alpha in (1.0, 0.0)
    )
    if torch.equal(with_prompts, without):
        raise ValueError("prompts must change the logits but did not")


def _linear_probe(backbone: Backbone, episode: Episode, lam: float) -> None:
    _logits(backbone, episode, solver="linear_probe")


def _patches(backbone: Backbone) -> int:
    return min(PATCHES, backbone.most_patches)


def _logits(backbone: Backbone, episode: Episode, **how: Any) -> Tensor:
    (record,) = solve(backbone, [episode], seed=0, epochs=1, lr=1e-3, blocks=backbone.depth, variant=VARIANT, **how)
    return _finite(record.logits)


def _finite(values: Tensor) -> Tensor:
    if not bool(values.isfinite().all()):
        raise ValueError("results must be finite but are not")
    return values


def as_markdown(families: Sequence[Family]) -> str:
    """Returns what works and what is refused, a table each."""
    working = [family for family in families if family.shape is not None]
    refused = [family for family in families if family.shape is None]
    lines = [
        "# Families of backbones",
        "",
        "Written by `python -m fpt.families --out docs/families.md`. The smallest member of each of timm's families,",
        f"with random weights, was run: prompts were found, and a {WAY}-way 1-shot episode of random pixels was solved",
        "by LoRA on all layers, with and without prompts (results finite, and not the same), and by a linear probe.",
        "Prefix tokens and patches (windows × patches of each) are those of each stage of a pyramid; `lambda 0`: only",
        "without the gradient.",
        "",
        *_table(WORKING, ((f"`{one.name}`", str(one.pixels), *(one.shape or ()), *one.tried) for one in working)),
    ]
    if refused:
        lines += ["", "Refused, in these words:", ""]
        lines += _table(REFUSED, ((f"`{one.name}`", one.tried[0]) for one in refused))
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="timm names; those of FAMILIES by default")
    parser.add_argument("--image-size", type=int, help="pixels, for the models named; their own by default")
    parser.add_argument("--out", type=Path, help="a file for the table; standard output by default")
    arguments = parser.parse_args()
    chosen = dict.fromkeys(arguments.models, arguments.image_size) or FAMILIES
    families = []
    for name, size in chosen.items():
        print(name, file=sys.stderr, flush=True)
        families.append(examine(name, size))
    table = as_markdown(families)
    if arguments.out is None:
        print(table)
    else:
        arguments.out.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
