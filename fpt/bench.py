"""Episodes a second on this machine, beside what its matrix-product rate would allow: `python -m fpt.bench`.

Episodes are made of random pixels: speed does not depend on what is seen. The floor counts multiply-adds of the frozen
pass, the prompts, fine-tuning (forward and gradient to the inputs; none for frozen weights) and queries.
"""

import argparse
import json
import statistics
import time

import torch

from fpt.backbones import Backbone, load_backbone
from fpt.problems import Episodes, Setting, freeze, solve
from fpt.solvers import Settings


def matrix_product_rate(size: int = 1024, seconds: float = 1.0) -> float:
    """Operations a second of a float32 product of square matrices: the best of many, for the machine is shared."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    best, ended = 0.0, time.monotonic() + seconds
    while time.monotonic() < ended:
        started = time.perf_counter()
        left @ right
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def block_operations(backbone: Backbone, rows: int | None = None) -> float:
    """Of one block's forward pass on one image, where only `rows` outputs are needed (all by default).

    Queries, keys and values 3 D^2, projection D^2, MLP 8 D^2 multiply-adds a token; logits and their use 2 T D a row.
    """
    tokens, dim = backbone.patches + backbone.prefix, backbone.dim
    rows = tokens if rows is None else rows
    return 2.0 * (3 * tokens * dim**2 + 9 * rows * dim**2 + 2 * rows * tokens * dim)


def problem_operations(backbone: Backbone, training: Settings, support: int, query: int) -> float:
    """Of one problem beyond the frozen pass, which is shared: adapted blocks forward and back, queries forward."""
    upper = (training.blocks - 1) * block_operations(backbone) + block_operations(backbone, rows=1)
    return training.epochs * support * 2 * upper + query * upper


def random_episodes(backbone: Backbone, count: int, way: int, shot: int, query: int, blocks: int) -> Episodes:
    """Episodes of noise."""
    generator = torch.Generator().manual_seed(0)
    side = backbone.image_size

    def images(each: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, way * each, side, side, 3), generator=generator, dtype=torch.uint8)

    def frozen(pixels: torch.Tensor) -> object:
        flat = freeze(backbone, pixels.flatten(0, 1), blocks)
        parts = (flat.tokens, flat.features, flat.attention)
        return type(flat)(*(part.unflatten(0, pixels.shape[:2]) for part in parts))

    support, queries = images(shot), images(query)
    labels = torch.arange(way).repeat(count, 1)
    return Episodes(
        indices=list(range(count)),
        support_images=support,
        support=frozen(support),  # type: ignore[arg-type]
        labels=labels.repeat_interleave(shot, 1),
        query=frozen(queries),  # type: ignore[arg-type]
        query_labels=labels.repeat_interleave(query, 1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_micro_glyphs")
    parser.add_argument("--way", type=int, default=5)
    parser.add_argument("--shot", type=int, default=1)
    parser.add_argument("--query", type=int, default=10)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--stacks", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    backbone = load_backbone(arguments.backbone)
    training = Settings(
        way=arguments.way, blocks=arguments.blocks, epochs=arguments.epochs, layers=arguments.blocks, rows="class"
    )
    setting = Setting("lora", training, prompts="scaled", alpha=1.0, patches=max(1, backbone.patches // 14))
    sizes = (arguments.way, arguments.shot, arguments.query)
    episodes = random_episodes(backbone, arguments.episodes, *sizes, arguments.blocks)
    operations = problem_operations(
        backbone, training, arguments.way * arguments.shot, arguments.way * arguments.query
    ) + arguments.way * arguments.shot * backbone.depth * block_operations(backbone)
    results = []
    for stack in arguments.stacks:
        shares, speeds = [], []
        for _ in range(arguments.repeats):
            rate = matrix_product_rate(seconds=0.3)
            started = time.perf_counter()
            solve(backbone, episodes, [setting], stack)
            speeds.append(arguments.episodes / (time.perf_counter() - started))
            shares.append(speeds[-1] * operations / rate)
        speed, share = statistics.median(speeds), statistics.median(shares)
        results.append({"stack": stack, "episodes_per_second": speed, "share_of_floor": share})
        print(f"stack {stack:3d}  {speed:7.2f} episodes/s  {100 * share:5.1f} % of the floor")
    best = max(results, key=lambda result: result["episodes_per_second"])
    floor = best["episodes_per_second"] / best["share_of_floor"]
    print(f"{operations / 1e9:.2f} GFLOP an episode; the floor is {floor:.1f} episodes/s (float32)")
    if arguments.json:
        print(json.dumps({**best, "floor_episodes_per_second": floor, "precision": "float32", "device": "cpu"}))


if __name__ == "__main__":
    main()
