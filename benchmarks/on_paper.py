"""What an episode takes, counted, and what would bind it on cards that were not to be had.

`python -m benchmarks.on_paper [BACKBONE ...]` runs one problem in bfloat16 on the processor, with random weights, and
counts operations, bytes and launches, with one and with two queries of a class, by which those of more follow; it
divides them by what data sheets promise. Bytes are those of each operation by itself, as PyTorch runs them: what a
card's cache keeps between two is not taken off.
"""

import argparse

import torch

from fpt.backbones.backbone import Backbone
from fpt.backbones.loading import load_backbone
from fpt.bench import Shape, counted, operations
from fpt.problems.problem import Setting
from fpt.solvers import Training

# Dense bfloat16 operations a second, bytes a second: NVIDIA's data sheets of H100 SXM and H200 SXM.
CARDS = {"H100": (989e12, 3.35e12), "H200": (989e12, 4.8e12)}
SECONDS_PER_LAUNCH = 5e-6  # of PyTorch without graphs, on a host that keeps up; `python -m fpt.bench` measures it
BACKBONES = ("vit_micro_glyphs", "vit_small_patch16_224", "vit_base_patch16_224")
STACKS = (1, 8, 64)
WAY = 20


def at_queries(backbone: Backbone, setting: Setting, query: int) -> tuple[float, float, float]:
    """Returns operations, bytes and launches of a 20-way 1-shot episode with so many queries of a class."""
    counts = []
    for shape in (Shape(WAY, 1, 1), Shape(WAY, 1, 2)):
        counts.append((operations(backbone, shape, setting), counted(backbone, shape, setting)))
    (least, one), (more, two) = counts
    # Launches are those of passes that hold all images, as a card's do.
    return least + (query - 1) * (more - least), one.bytes + (query - 1) * (two.bytes - one.bytes), two.launches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("backbones", nargs="*", default=BACKBONES)
    parser.add_argument("--blocks", type=int, nargs="+", default=[2, 12])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--query", type=int, default=15)
    arguments = parser.parse_args()
    print("backbone | blocks | TFLOP | GB | launches | card | arithmetic, ms | bytes, ms | launches, ms", end=" | ")
    print(*(f"share at {stack}" for stack in STACKS), sep=" | ")
    for name in arguments.backbones:
        backbone = load_backbone(name, dtype=torch.bfloat16)
        for blocks in arguments.blocks:
            if blocks > len(backbone.blocks):
                continue
            training = Training(way=WAY, blocks=blocks, epochs=arguments.epochs)
            setting = Setting("lora", training, patches=max(1, backbone.most_patches // 14))
            needed, moved, launches = at_queries(backbone, setting, arguments.query)
            for card, (rate, bandwidth) in CARDS.items():
                least = needed / rate, moved / bandwidth, launches * SECONDS_PER_LAUNCH
                shares = [least[0] / max(least[0], least[1], least[2] / stack) for stack in STACKS]
                figures = f"{needed / 1e12:.3g}", f"{moved / 1e9:.3g}", f"{launches:.0f}"
                times = (f"{1000 * one:.3g}" for one in least)
                print(
                    name, blocks, *figures, card, *times, *(f"{share:.0%}" for share in shares), sep=" | ", flush=True
                )


if __name__ == "__main__":
    main()
