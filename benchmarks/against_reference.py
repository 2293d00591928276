"""This project beside the released code's own algorithm, in turn, in one run: `python -m benchmarks.against_reference`.

One line a case: the median of the ratios of time, the share of the floor, and how many predictions are the same.
"""

import argparse
import statistics
import time
from dataclasses import dataclass

import torch

from benchmarks import reference
from fpt.backbones import Backbone
from fpt.bench import Shape, frozen_episodes, matrix_product_rate, operations, random_pixels
from fpt.loading import load_backbone
from fpt.problems import Outcome, Setting, solve
from fpt.solvers import Settings


@dataclass(frozen=True)
class Case:
    backbone: str
    shape: Shape
    blocks: int
    epochs: int
    patches: int
    stack: int


CASES = {
    "ViT-S/16": Case("vit_small_patch16_224", Shape(5, 1, 15), 12, 10, 14, 1),
    "ViT-S/16, last 4 blocks": Case("vit_small_patch16_224", Shape(5, 1, 15), 4, 10, 14, 1),
    "embedded": Case("vit_micro_glyphs", Shape(5, 1, 15), 6, 10, 4, 8),
    "embedded, last 2 blocks": Case("vit_micro_glyphs", Shape(5, 1, 15), 2, 10, 4, 8),
}
EMBEDDED = ("vit_micro_glyphs",)  # with its own weights; the others have random ones
LR, ALPHA, TAU = 5e-3, 0.5, 1.0


def ours(backbone: Backbone, case: Case, support: torch.Tensor, query: torch.Tensor) -> list[Outcome]:
    training = Settings(
        way=case.shape.way,
        blocks=case.blocks,
        epochs=case.epochs,
        batch=case.shape.way,
        head="metaoptnet",
        rows="all",
    )
    setting = Setting("lora", training, prompts="official", alpha=ALPHA, tau=TAU, patches=case.patches, rate=LR)
    episodes = frozen_episodes(backbone, case.shape, support, query, setting)
    return solve(backbone, episodes, [setting], case.stack)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.cases:
        case = CASES[name]
        backbone = load_backbone(case.backbone, weights=case.backbone in EMBEDDED or None)
        ratios, shares, same, total = [], [], 0, 0
        for _ in range(arguments.repeats):
            support, query = random_pixels(backbone, case.shape, case.stack)
            labels = torch.arange(case.shape.way).repeat_interleave(case.shape.shot)
            started = time.perf_counter()
            theirs = [
                reference.solve_episode(
                    backbone,
                    support[i],
                    labels,
                    query[i],
                    seeds=(0, i),
                    way=case.shape.way,
                    epochs=case.epochs,
                    rate=LR,
                    alpha=ALPHA,
                    tau=TAU,
                    patches=case.patches,
                )
                for i in range(case.stack)
            ]
            between = time.perf_counter()
            mine = ours(backbone, case, support, query)
            ended = time.perf_counter()
            rate = matrix_product_rate(backbone.device, backbone.dtype)
            ratios.append((between - started) / (ended - between))
            setting = Setting(
                "lora",
                Settings(way=case.shape.way, blocks=case.blocks, epochs=case.epochs, batch=case.shape.way, rows="all"),
                prompts="official",
                alpha=ALPHA,
                patches=case.patches,
            )
            floor = operations(backbone, case.shape, setting) * case.stack / rate
            shares.append(floor / (ended - between))
            for one, other in zip(mine, theirs, strict=True):
                same += int((one.logits.argmax(-1) == other.argmax(-1)).sum())
                total += len(other)
        print(
            f"{name}: {statistics.median(ratios):.1f} times the reference (median of {arguments.repeats}, "
            f"{min(ratios):.1f} to {max(ratios):.1f}), {100 * statistics.median(shares):.0f} % of the float32 floor, "
            f"{same} of {total} predictions the same",
            flush=True,
        )


if __name__ == "__main__":
    main()
