"""Episodes a second on this machine, beside what its matrix-product rate would allow: `python -m fpt.bench`.

The floor is the time that the matrix products of an episode take at the machine's own rate, measured beside it: prompts
(one forward pass, one backward to the input of the top layer), fine-tuning (forward and gradient to the inputs, none
for frozen weights), queries (one forward). They are counted while one problem is solved; what the frozen lower blocks
make of an image is counted too, as if no image had been seen before. Episodes are made of random pixels: speed does
not depend on what is seen.

Two more things may bind: memory, whose traffic is counted (what each operation reads and writes, as if there were no
cache), and launching operations, which are counted for a stack. It is told which of the three would take longest.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from fpt.backbones.backbone import Backbone
from fpt.backbones.loading import best_device, load_backbone
from fpt.backbones.memory import tune_allocator
from fpt.backbones.precision import best_precision, use_precision, use_repeatable_kernels
from fpt.backbones.product_rate import launch_seconds, matrix_product_rate, memory_rate
from fpt.phases import measured, phase
from fpt.problems.frozen import freeze_episodes, reads_frozen_queries
from fpt.problems.problem import EpisodeBatch, Setting
from fpt.problems.solving import solve
from fpt.registry import PRECISIONS, SOLVERS
from fpt.solvers import Training
from fpt.switches import COMPILED, OFF_AT_FIRST, SWITCHES, is_on, turned

# Returns what is new by its schema, and yet nothing is computed or moved.
FREE = {
    "_unsafe_view",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "lift_fresh",
    "resize_",
}


def is_launched(func: Any) -> bool:
    """Tells whether an operation of torch's dispatcher computes or moves anything: what it returns is no view."""
    returned = func._schema.returns
    view = bool(returned) and all(one.alias_info is not None and not one.alias_info.is_write for one in returned)
    return not view and str(func._schema.name).partition("::")[2] not in FREE


class Count(TorchDispatchMode):
    """Adds up the operations of matrix products and convolutions, by torch's own formulas; bytes that are read and
    written, those of what is expanded once; and launches, all that is no view.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations, self.bytes, self.launches = 0.0, 0.0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if is_launched(func):
            touched = tree_leaves((args, kwargs, result))
            self.launches += 1
            self.bytes += sum(_bytes_of(one) for one in touched if isinstance(one, Tensor))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.operations += formula(*args, **(kwargs or {}), out_val=result)
        return result


def _bytes_of(tensor: Tensor) -> int:
    own = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return prod(own) * tensor.element_size() if tensor.numel() else 0


@dataclass(frozen=True)
class Shape:
    """An episode's shape is its number of classes, and of support images and queries of each."""

    way: int
    shot: int
    query: int


def random_pixels(backbone: Backbone, shape: Shape, count: int) -> tuple[Tensor, Tensor]:
    """Returns support and query images of `count` episodes of noise, uint8."""
    generator = torch.Generator().manual_seed(0)
    side = backbone.image_size
    support, query = (
        torch.randint(0, 256, (count, shape.way * each, side, side, 3), generator=generator, dtype=torch.uint8)
        for each in (shape.shot, shape.query)
    )
    return support, query


def frozen_episodes(backbone: Backbone, shape: Shape, support: Tensor, query: Tensor, setting: Setting) -> EpisodeBatch:
    """Returns episodes of these images, after the frozen pass."""
    adapted, solver = setting.training.adapted, setting.solver
    labels = torch.arange(shape.way, device=backbone.device).repeat(len(support), 1)

    with phase("load"):
        return EpisodeBatch(
            indices=list(range(len(support))),
            support_images=support,
            support=freeze_episodes(backbone, support, adapted),
            labels=labels.repeat_interleave(shape.shot, 1),
            query=freeze_episodes(backbone, query, adapted, whole=reads_frozen_queries(solver, masks=False)),
            query_labels=labels.repeat_interleave(shape.query, 1),
        )


def operations(backbone: Backbone, shape: Shape, setting: Setting, seen: bool = False) -> float:
    """Counts the operations of the matrix products and convolutions of one episode, without the frozen pass where
    images were `seen`.
    """
    with sdpa_kernel(SDPBackend.MATH):  # which is made of products that can be counted
        return counted(backbone, shape, setting, seen).operations


def counted(backbone: Backbone, shape: Shape, setting: Setting, seen: bool = False) -> Count:
    """Counts what one episode takes, its steps as they are written."""
    support, query = random_pixels(backbone, shape, 1)
    # What a backbone finds out about itself when it is first used is not counted.
    first = replace(setting, training=replace(setting.training, epochs=0))
    known = frozen_episodes(backbone, shape, support, query, setting)
    solve(backbone, known, [first], 1)
    counter = Count()
    with turned([COMPILED] if is_on(COMPILED) else []), counter:
        episodes = known if seen else frozen_episodes(backbone, shape, support, query, setting)
        solve(backbone, episodes, [setting], 1)
    return counter


def measure(
    backbone: Backbone, shape: Shape, setting: Setting, episodes: int, stacks: Sequence[int], repeats: int
) -> dict[str, Any]:
    """Returns the best of `stacks` (each the median of `repeats`), the floor and the time of each phase."""
    tune_allocator()
    support, query = random_pixels(backbone, shape, episodes)
    needed, traffic = operations(backbone, shape, setting), counted(backbone, shape, setting)
    bandwidth, launching = memory_rate(backbone.device), launch_seconds(backbone.device)
    results = []
    for stack in stacks:
        rounds = [_round(backbone, shape, setting, support, query, stack, needed) for _ in range(repeats)]
        rounds.sort(key=lambda one: one["share_of_floor"])
        results.append({"stack": stack, **rounds[len(rounds) // 2]})
    best = max(results, key=lambda result: result["share_of_floor"])
    return {
        **best,
        "operations_per_episode": needed,
        "bytes_per_episode": traffic.bytes,
        "launches_per_stack": traffic.launches,
        "bytes_per_second": bandwidth,
        "seconds_per_launch": launching,
        "least_seconds": {
            "arithmetic": 1 / best["floor_episodes_per_second"],
            "bandwidth": traffic.bytes / bandwidth,
            "launches": traffic.launches * launching / best["stack"],
        },
        "peak_memory_bytes": _peak_memory(backbone.device),
        "precision": _precision(backbone.dtype),
        "device": _device_name(backbone.device),
        "stacks": results,
    }


def _round(
    backbone: Backbone, shape: Shape, setting: Setting, support: Tensor, query: Tensor, stack: int, needed: float
) -> dict[str, Any]:
    """Returns one timing; the machine's rate is measured before and after it."""
    rates = [matrix_product_rate(backbone.device, backbone.dtype)]
    started = time.perf_counter()
    with measured() as seconds:
        solve(backbone, frozen_episodes(backbone, shape, support, query, setting), [setting], stack)
    taken = time.perf_counter() - started
    rates.append(matrix_product_rate(backbone.device, backbone.dtype))
    count = len(support)
    floor = statistics.mean(rates) / needed
    phases = {name: spent / count for name, spent in seconds.items()}
    phases["overhead"] = taken / count - sum(phases.values())
    return {
        "episodes_per_second": count / taken,
        "floor_episodes_per_second": floor,
        "share_of_floor": count / taken / floor,
        "phases": phases,
    }


def _precision(dtype: torch.dtype) -> str:
    tf32 = dtype == torch.float32 and torch.get_float32_matmul_precision() == "high"
    return "tf32" if tf32 else str(dtype).removeprefix("torch.")


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"


def as_text(result: dict[str, Any]) -> str:
    """Returns the result of `measure` for a terminal."""
    lines = [
        f"stack {one['stack']:3d}  {one['episodes_per_second']:8.2f} episodes/s  {100 * one['share_of_floor']:5.1f} % "
        f"of the floor's {one['floor_episodes_per_second']:.1f}"
        for one in result["stacks"]
    ]
    lines.append(
        "of an episode, at the best stack: "
        + " · ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in result["phases"].items())
    )
    lines.append(
        "at least, of an episode: "
        + " · ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in result["least_seconds"].items())
        + f" · {max(result['least_seconds'], key=result['least_seconds'].__getitem__)} binds"
    )
    lines.append(
        f"{result['operations_per_episode'] / 1e9:.2f} GFLOP an episode · {result['precision']}, {result['device']} · "
        f"peak memory {result['peak_memory_bytes'] / 2**20:.0f} MiB"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_micro_glyphs")
    parser.add_argument("--solver", default="lora", choices=SOLVERS)
    parser.add_argument("--way", type=int, default=20)
    parser.add_argument("--shot", type=int, default=1)
    parser.add_argument("--query", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--episodes", type=int, help="as many as the largest stack holds, unless told otherwise")
    parser.add_argument("--stacks", type=int, nargs="+", help="1 to 8 on a processor, 1 to 64 on a GPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default=best_device())
    parser.add_argument("--precision", default="auto", choices=["auto", *PRECISIONS])
    parser.add_argument("--switches", action="store_true", help="what each switch of fpt/switches.py is worth")
    parser.add_argument("--no-repeatable", action="store_true", help="kernels that may not give the same bits again")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    use_repeatable_kernels(not arguments.no_repeatable, arguments.device)
    precision = best_precision(arguments.device) if arguments.precision == "auto" else arguments.precision
    backbone = load_backbone(
        arguments.backbone, device=arguments.device, dtype=use_precision(precision, arguments.device)
    )
    on_gpu = backbone.device.type == "cuda"
    stacks = arguments.stacks or ([1, 4, 8, 16, 32, 64] if on_gpu else [1, 2, 4, 8])
    episodes = arguments.episodes or max(stacks)
    training = Training(way=arguments.way, blocks=arguments.blocks, epochs=arguments.epochs)
    setting = Setting(arguments.solver, training, patches=max(1, backbone.most_patches // 14))
    shape = Shape(arguments.way, arguments.shot, arguments.query)
    result = measure(backbone, shape, setting, episodes, stacks, arguments.repeats)
    print(as_text(result))
    for name in SWITCHES if arguments.switches else ():
        which = "with" if name in OFF_AT_FIRST else "without"
        with turned([name]):
            other = measure(backbone, shape, setting, episodes, [result["stack"]], arguments.repeats)
        result.setdefault(which, {})[name] = other["episodes_per_second"]
        print(f"{which} {name}: {other['episodes_per_second']:.2f} episodes/s, not {result['episodes_per_second']:.2f}")
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
