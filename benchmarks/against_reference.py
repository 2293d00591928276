"""This project beside the released code's own algorithm, in turn, in one run: `python -m benchmarks.against_reference`.

The reference has all cores for one episode at a time; this project has a worker for each core, as in a sweep, with some
episodes each. Medians of the ratios of time, for each case; how many predictions are the same; and the share of the
floor, the time that the episodes' matrix products take at the rate that the workers' cores reach together.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from benchmarks import reference
from fpt.backbones.backbone import Backbone
from fpt.backbones.loading import load_backbone
from fpt.backbones.memory import tune_allocator
from fpt.backbones.product_rate import matrix_product_rate
from fpt.bench import Shape, frozen_episodes, operations, random_pixels
from fpt.heads.closed_form import Head, metaoptnet
from fpt.problems.evidence import Gathered
from fpt.problems.frozen import freeze_episodes
from fpt.problems.problem import Setting
from fpt.problems.solving import solve
from fpt.prompts.columnar import gather_evidence, prompts_from
from fpt.solvers import Training

LR, ALPHA, TAU, SEED = 5e-3, 0.5, 1.0, 0
LAMBDAS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0)


@dataclass(frozen=True)
class Case:
    """`each` episodes for each worker, solved in one stack. `seen`: their images have been through the frozen blocks
    before, as in a sweep from the second setting on.
    """

    backbone: str
    shape: Shape
    blocks: int
    epochs: int
    patches: int
    each: int
    seen: bool = False


CASES = {
    "ViT-S/16": Case("vit_small_patch16_224", Shape(5, 1, 15), 12, 10, 14, 1),
    "embedded": Case("vit_micro_glyphs", Shape(5, 1, 15), 6, 10, 4, 8),
    "embedded, last 2 blocks": Case("vit_micro_glyphs", Shape(5, 1, 15), 2, 10, 4, 8),
    "embedded, last 2 blocks, images seen before": Case("vit_micro_glyphs", Shape(5, 1, 15), 2, 10, 4, 8, seen=True),
}
EMBEDDED = ("vit_micro_glyphs",)  # with its own weights; the others have random ones


@cache
def backbone_of(name: str) -> Backbone:
    return load_backbone(name, weights=name in EMBEDDED or None)


def setting_of(case: Case) -> Setting:
    """What the released scripts run: `official` prompts, a MetaOptNet head, attention of all rows."""
    way = case.shape.way
    training = Training(
        way=way, blocks=case.blocks, epochs=case.epochs, batch=way, head="metaoptnet", temperature=1.0, rows="all"
    )
    return Setting("lora", training, variant="official", alpha=ALPHA, tau=TAU, patches=case.patches, lr=LR, seed=SEED)


def pixels_of(case: Case, workers: int) -> tuple[Tensor, Tensor]:
    """Support and query images of all workers' episodes."""
    return random_pixels(backbone_of(case.backbone), case.shape, workers * case.each)


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def theirs(case: Case, workers: int) -> tuple[float, Tensor]:
    """Seconds and scores of the reference, on all cores."""
    backbone = backbone_of(case.backbone)
    support, query = pixels_of(case, workers)
    labels = torch.arange(case.shape.way).repeat_interleave(case.shape.shot)
    started = time.perf_counter()
    scores = [
        reference.solve_episode(
            backbone,
            support[i],
            labels,
            query[i],
            seeds=(SEED, i),
            way=case.shape.way,
            blocks=case.blocks,
            epochs=case.epochs,
            lr=LR,
            alpha=ALPHA,
            tau=TAU,
            patches=case.patches,
        )
        for i in range(len(support))
    ]
    return time.perf_counter() - started, torch.stack(scores)


def ours(case: Case, workers: int, worker: int) -> tuple[float, float, Tensor]:
    """One worker's seconds, share of the floor and scores; from pixels, unless the case says otherwise."""
    backbone, setting = backbone_of(case.backbone), setting_of(case)
    support, query = (part[worker * case.each : (worker + 1) * case.each] for part in pixels_of(case, workers))
    needed = operations_of(case) * case.each
    known = frozen_episodes(backbone, case.shape, support, query, setting) if case.seen else None
    rates = [matrix_product_rate(backbone.device, backbone.dtype)]
    started = time.perf_counter()
    episodes = known or frozen_episodes(backbone, case.shape, support, query, setting)
    mine = replace(episodes, indices=[worker * case.each + i for i in range(case.each)])
    outcomes = solve(backbone, mine, [setting], case.each)[0]
    taken = time.perf_counter() - started
    rates.append(matrix_product_rate(backbone.device, backbone.dtype))
    return taken, needed / statistics.mean(rates) / taken, torch.stack([outcome.logits for outcome in outcomes])


@cache
def operations_of(case: Case) -> float:
    return operations(backbone_of(case.backbone), case.shape, setting_of(case), case.seen)


def prepare(threads: int) -> None:
    tune_allocator()
    torch.set_num_threads(threads)


def summary(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def compare(name: str, repeats: int, workers: int, pool: ProcessPoolExecutor) -> str:
    """A row of the table: times the reference, share of the floor, predictions that are the same."""
    case = CASES[name]
    list(pool.map(operations_of, [case] * workers))  # also what a backbone finds out about itself on its first use
    ratios, shares, same, total = [], [], 0, 0
    for _ in range(repeats):
        slow, expected = theirs(case, workers)
        results = list(pool.map(ours, [case] * workers, [workers] * workers, range(workers)))
        ratios.append(slow / max(taken for taken, _, _ in results))
        shares.append(statistics.mean(share for _, share, _ in results))
        found = torch.cat([scores for _, _, scores in results])
        same += int((found.argmax(-1) == expected.argmax(-1)).sum())
        total += expected[..., 0].numel()
    return (
        f"| {name}, {workers} x {case.each} episodes | {summary(ratios)} | {100 * statistics.median(shares):.0f} % | "
        f"{same} of {total} |"
    )


def second_setting(repeats: int) -> str:
    """ViT-S/16, another learning rate on episodes that were solved before: the last 4 blocks against all 12."""
    case = CASES["ViT-S/16"]
    backbone = backbone_of(case.backbone)
    support, query = random_pixels(backbone, case.shape, 1)
    known = {}
    for blocks in (12, 4):
        setting = setting_of(replace(case, blocks=blocks))
        gathered: Gathered = {}
        episodes = frozen_episodes(backbone, case.shape, support, query, setting)
        solve(backbone, episodes, [setting], 1, gathered)
        known[blocks] = episodes, replace(setting, lr=1e-3), gathered
    ratios = []
    for _ in range(repeats):
        times = {
            blocks: seconds_of(lambda its=its: solve(backbone, its[0], [its[1]], 1, its[2]))
            for blocks, its in known.items()
        }
        ratios.append(times[12] / times[4])
    return f"ViT-S/16, a second setting, last 4 blocks against all 12: {summary(ratios)} times faster"


def prompts_case() -> tuple[Case, Tensor, Tensor]:
    """ViT-S/16, 20 images of as many classes: the case, the images, their labels."""
    case = replace(CASES["ViT-S/16"], shape=Shape(20, 1, 1))
    return case, random_pixels(backbone_of(case.backbone), case.shape, 1)[0][0], torch.arange(20)


@cache
def head_of_prompts() -> Head:
    case, images, labels = prompts_case()
    features = freeze_episodes(backbone_of(case.backbone), images[None], case.blocks).features
    return metaoptnet(features, labels[None], 20, 1 / reference.MULTIPLIER)


def our_prompts(variant: str) -> tuple[float, float]:
    """Seconds of a worker: prompts of the images, and another lambda's."""
    case, images, labels = prompts_case()
    head = head_of_prompts()
    started = time.perf_counter()
    evidence = gather_evidence(backbone_of(case.backbone), images, labels, head, torch.zeros_like(labels), variant)
    prompts_from(evidence, variant, 1.0, case.patches)
    between = time.perf_counter()
    prompts_from(evidence, variant, 0.3, case.patches)
    return between - started, time.perf_counter() - between


def prompts_alone(repeats: int, workers: int, pool: ProcessPoolExecutor) -> str:
    """ViT-S/16, prompts of 20 images for each worker: the reference's, ours, and ours with another lambda."""
    case, images, labels = prompts_case()
    backbone = backbone_of(case.backbone)
    normalised = backbone.normalise(images)
    ratios: list[float] = []
    again: dict[str, list[float]] = {"official": [], "scaled": []}
    list(pool.map(our_prompts, [*again] * workers))
    for _ in range(repeats):
        slow = 0.0
        for _ in range(workers):
            net = reference.episode_net(backbone, normalised, labels, seeds=(SEED, 0), way=20, blocks=12)
            slow += seconds_of(
                lambda net=net: reference.prompts(net, normalised, labels, case.patches, backbone.prefix)
            )
        for variant, cheaper in again.items():
            results = list(pool.map(our_prompts, [variant] * workers))
            if variant == "official":
                ratios.append(slow / max(first for first, _ in results))
            cheaper.append(statistics.mean(first / another for first, another in results))
    others = ", ".join(f"{summary(times)} ({variant})" for variant, times in again.items())
    return (
        f"ViT-S/16, prompts of {workers} x 20 images: {summary(ratios)} times the reference; "
        f"times by which another lambda is cheaper than the first: {others}"
    )


def eight_trials(repeats: int) -> str:
    """ViT-S/16, eight trials that differ in lambda, alpha, tau and patches on one episode, against one."""
    case = CASES["ViT-S/16"]
    backbone, one = backbone_of(case.backbone), setting_of(case)
    support, query = random_pixels(backbone, case.shape, 1)
    eight = [
        replace(one, lam=lam, alpha=0.1 * (i + 1), tau=0.5 * (i + 1), patches=4 + i) for i, lam in enumerate(LAMBDAS)
    ]

    def run(settings: Sequence[Setting]) -> None:
        solve(backbone, frozen_episodes(backbone, case.shape, support, query, one), settings, 1)

    ratios = []
    for _ in range(repeats):
        alone = seconds_of(lambda: run([one]))
        ratios.append(seconds_of(lambda: run(eight)) / alone)
    return f"ViT-S/16, eight trials on one episode cost {summary(ratios)} times one"


OTHERS = {"second setting": second_setting, "eight trials": eight_trials}  # on all cores in one process


def main() -> None:
    names = [*CASES, "prompts", *OTHERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=names, choices=names)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    prepare(cores)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, spawn, initializer=prepare, initargs=(1,)) as pool:
        for name in arguments.cases:
            if name in OTHERS:
                text = OTHERS[name](arguments.repeats)
            elif name == "prompts":
                text = prompts_alone(arguments.repeats, cores, pool)
            else:
                text = compare(name, arguments.repeats, cores, pool)
            print(text, flush=True)


if __name__ == "__main__":
    main()
