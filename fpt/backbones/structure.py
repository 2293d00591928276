"""Finds the attention layers of any model by running it, not by what its parts are called."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil, isqrt, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fpt.backbones.attention import AttentionCall, Listener


@dataclass(frozen=True)
class Layer:
    """One attention layer: `block`, the largest module around it that holds no other; `attention`, the smallest one.

    An image's tokens are split into `windows` of `tokens` each; a columnar transformer has one window.
    """

    name: str
    block: nn.Module
    attention: nn.Module
    windows: int
    tokens: int

    @property
    def size(self) -> tuple[int, int]:
        return self.windows, self.tokens


class _Recorder(Listener):
    """Listens, and notes in which modules each call was made."""

    def __init__(self, path: list[str]) -> None:
        super().__init__([])
        self.path = path
        self.found: list[tuple[tuple[str, ...], AttentionCall]] = []
        self.pooled = 0

    def missed(self, rows: int) -> None:
        self.pooled += rows > 1

    def heard(self, call: AttentionCall) -> None:
        self.found.append((tuple(self.path), call))


@contextmanager
def kept_input(blocks: Sequence[nn.Module], block: int, kept: dict[int, Tensor]) -> Iterator[None]:
    """Keeps what enters a block while a backbone runs inside, with its gradient's graph."""

    def keep(_: object, inputs: tuple[Tensor, ...]) -> None:
        kept[block] = inputs[0]

    handle = blocks[block].register_forward_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _path_of(model: nn.Module) -> Iterator[tuple[list[str], dict[str, int]]]:
    """Yields the names of the modules that run, outermost first, and how many tokens last entered each, in all."""
    path: list[str] = []
    entered: dict[str, int] = {}

    def enter(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        path.append(name)
        if inputs and isinstance(inputs[0], Tensor):
            entered[name] = tokens_first(inputs[0])[..., 0].numel() if inputs[0].ndim in (3, 4) else 0

    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(partial(enter, name)))
        handles.append(module.register_forward_hook(lambda *_: path.pop() and None))
    try:
        yield path, entered
    finally:
        for handle in handles:
            handle.remove()


def dim_first(shape: torch.Size) -> bool:
    """Tells whether a block takes images x dim x height x width, and not images x tokens x dim or ... x tokens x
    dim.
    """
    return len(shape) == 4 and shape[2] == shape[3] != shape[1]


def tokens_first(tokens: Float[Tensor, "images ..."]) -> Float[Tensor, "images tokens dim"]:
    """Returns what enters a block, whatever order its dimensions have."""
    if tokens.ndim == 3:
        return tokens
    return tokens.flatten(2).transpose(1, 2) if dim_first(tokens.shape) else tokens.flatten(1, 2)


@torch.no_grad()
def attention_layers(model: Any, inputs: Tensor) -> list[Layer]:
    """Returns the layers that `inputs` (batch x 3 x height x width) pass through, lowest first.

    Raises ValueError for a model that makes no softmax attention of all its tokens among themselves.
    """
    kind, batch = type(model).__name__, len(inputs)
    with _path_of(model) as (path, entered), _Recorder(path) as recorder:
        model.forward_features(inputs)
    if recorder.pooled:
        raise ValueError(f"backbone must let every token look at all of its window but {kind} pools queries or keys")
    held = Counter(name for names, _ in recorder.found for name in names)
    modules = dict(model.named_modules())
    layers = []
    for names, call in recorder.found:
        block = next((name for name in names if held[name] == 1), None)
        if block is None:
            raise ValueError(f"backbone must hold each attention layer in a block of its own but {kind} does not")
        windows, tokens = call.size
        if windows % batch:
            raise ValueError(f"backbone must split each image into whole windows but {kind} does not")
        if not _all_tokens(windows // batch, tokens, entered.get(block, 0) // batch):
            raise ValueError(f"backbone must let tokens look at each other but {kind} has attention of another kind")
        attention = next(name for name in reversed(names) if next(modules[name].parameters(), None) is not None)
        layers.append(Layer(block, modules[block], modules[attention], windows // batch, tokens))
    if not layers:
        raise ValueError(f"backbone must have layers of softmax attention but {kind} has none that can be watched")
    return layers


def _all_tokens(windows: int, tokens: int, entered: int) -> bool:
    """Tells whether an image's windows hold each token that entered once, and at most padding beside it."""
    if windows * tokens == entered or not entered:
        return True
    side, window = ceil(sqrt(entered)), isqrt(tokens)
    return windows > 1 and windows * tokens == (ceil(side / window) * window) ** 2


def per_image_modules(model: Any, inputs: Tensor) -> set[nn.Module]:
    """Returns the modules whose output has a row (or several) for each of `inputs`: an adapter for each problem can act
    on them.
    """
    heights: list[dict[nn.Module, int]] = []
    for part in (inputs[:1], torch.cat([inputs[:1]] * 3)):
        seen: dict[nn.Module, int] = {}

        def note(module: nn.Module, _: Any, output: Any, seen: dict[nn.Module, int] = seen) -> None:
            if isinstance(output, Tensor):
                seen[module] = len(output)

        handles = [module.register_forward_hook(note) for module in model.modules()]
        try:
            with torch.no_grad():
                model.forward_features(part)
        finally:
            for handle in handles:
                handle.remove()
        heights.append(seen)
    once, thrice = heights
    return {module for module, height in once.items() if thrice.get(module) == 3 * height}
