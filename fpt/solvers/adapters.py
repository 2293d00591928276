"""Adapters, one set for each problem of a stack, over shared frozen weights: low-rank updates, scales, tokens."""

# S problems, R rank, I inputs, O outputs, P added tokens, D dimensions

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import sqrt
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fpt.backbones.backbone import Backbone

NO_GRADIENT = "appears to not have been used in the graph"  # torch.autograd.grad's words
# A: stack x rank x inputs, B: stack x outputs x rank; inputs and outputs differ from layer to layer
LowRank = tuple[Float[Tensor, "_ _ _"], Float[Tensor, "_ _ _"]]


def attention_projections(backbone: Backbone, start: int) -> list[nn.Linear]:
    """Returns the linear layers by which attention in blocks `start` and up takes and gives tokens (qkv and proj,
    whatever they are called): those that act on each image and are as wide as the widest of their attention.

    Raises ValueError for a backbone that has none.
    """
    linear = backbone.modules_of_blocks(start, ("linear",))
    chosen: list[nn.Linear] = []
    for layer in backbone.layers[start:]:
        inside = set(layer.attention.modules())
        own = [module for module in linear if module in inside and isinstance(module, nn.Linear)]
        widest = max((module.in_features for module in own), default=0)
        chosen += [module for module in own if module.in_features == widest]
    if not chosen:
        raise ValueError("solver lora must have a backbone whose attention has linear projections; this one has none")
    return list(dict.fromkeys(chosen))


def lora_start(
    projections: Sequence[nn.Linear], rank: int, generators: Sequence[np.random.Generator], like: Tensor
) -> list[LowRank]:
    """Draws A Kaiming-uniformly, by a generator for each problem; B is zero: LoRA, Hu et al., ICLR 2022
    (arXiv:2106.09685), section 4.1.

    Both have the type and the device of `like`.
    """
    started = []
    for linear in projections:
        bound = 1 / sqrt(linear.in_features)
        down = np.stack([random.uniform(-bound, bound, (rank, linear.in_features)) for random in generators])
        up = torch.zeros(len(generators), linear.out_features, rank).to(like)
        started.append((torch.from_numpy(down).to(like), up))
    return started


@contextmanager
def lora_applied(projections: Sequence[nn.Linear], adapters: Sequence[LowRank]) -> Iterator[None]:
    """Inside, each projection W x becomes W x + B A x / rank, with the A and B of the problem that x belongs to.

    Batches must be stacked, problem by problem: their first dimension is S times the images of a problem.
    Raises ValueError for a model that uses a projection's weights without calling it.
    """
    updates = [_LowRankUpdate(*adapter) for adapter in adapters]
    handles = [linear.register_forward_hook(update) for linear, update in zip(projections, updates, strict=True)]
    try:
        yield
    except RuntimeError as error:
        if NO_GRADIENT in str(error):  # an adapter without effect has none
            _refuse_unused(updates, error)
        raise
    else:
        _refuse_unused(updates)
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def computed_once(modules: Sequence[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Inside, each module computes once and gives the same again, before its hooks, whatever it is called with. Yields
    what they gave.

    Nobody may change what it gives.
    """
    kept: dict[nn.Module, Tensor] = {}

    def once(module: nn.Module) -> Callable[[Tensor], Tensor]:
        own: Callable[[Tensor], Tensor] = module.forward

        def forward(inputs: Tensor) -> Tensor:
            if module not in kept:
                kept[module] = own(inputs)
            return kept[module]

        return forward

    for module in modules:
        module.forward = once(module)
    try:
        yield kept
    finally:
        for module in modules:
            del module.forward


class _LowRankUpdate:
    """A hook, and what it amounts to as weights (class_row.StackedWeights)."""

    def __init__(self, down_SRI: Tensor, up_SOR: Tensor) -> None:
        self.down_SRI, self.up_SOR = down_SRI, up_SOR
        self.used = False

    def __call__(self, _: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        self.used = True
        stack, rank, _inputs = self.down_SRI.shape
        rows = inputs[0].reshape(stack, -1, inputs[0].shape[-1])
        low = rows @ self.down_SRI.to(rows.dtype).transpose(1, 2)
        flat, up_SRO = output.view(stack, -1, output.shape[-1]), self.up_SOR.to(rows.dtype).transpose(1, 2)
        if torch.is_grad_enabled():  # in place, gradients would be copied, and what is computed once changed
            return torch.baddbmm(flat, low, up_SRO, alpha=1 / rank).view_as(output)
        flat.baddbmm_(low, up_SRO, alpha=1 / rank)
        return output

    def merged(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        self.used = True
        stack, rank, _inputs = self.down_SRI.shape
        return torch.baddbmm(weight.expand(stack, -1, -1), self.up_SOR, self.down_SRI, alpha=1 / rank), bias


def _refuse_unused(updates: Sequence[_LowRankUpdate], cause: RuntimeError | None = None) -> None:
    used = sum(update.used for update in updates)
    if used < len(updates):
        raise ValueError(
            f"solver lora adapted {used} of {len(updates)} projections: this backbone does not call the "
            "others as layers"
        ) from cause


def scale_and_shift_start(modules: Sequence[nn.Module], stack: int, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Returns scales of 1 and shifts of 0, each stack x width, for the output of each linear layer, convolution or
    norm.
    """
    widths = [len(cast(Tensor, module.weight)) for module in modules]  # outputs come first; norm: width
    return [(torch.ones(stack, width).to(like), torch.zeros(stack, width).to(like)) for width in widths]


@contextmanager
def scaled_and_shifted(modules: Sequence[nn.Module], pairs: Sequence[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Inside, the output y of each module becomes scale y + shift, with those of the problem that y belongs to.

    Batches must be stacked, problem by problem.
    """
    handles = [module.register_forward_hook(_ScaleAndShift(*pair)) for module, pair in zip(modules, pairs, strict=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _ScaleAndShift:
    """A hook, and what it amounts to as weights (class_row.StackedWeights)."""

    def __init__(self, scale_SD: Tensor, shift_SD: Tensor) -> None:
        self.scale_SD, self.shift_SD = scale_SD, shift_SD

    def __call__(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if isinstance(module, nn.Conv2d):  # images x dim x height x width
            return self._changed(output.movedim(1, -1)).movedim(-1, 1)
        return self._changed(output)

    def _changed(self, output: Tensor) -> Tensor:
        rows = output.reshape(len(self.scale_SD), -1, output.shape[-1])
        scale, shift = self.scale_SD.to(rows.dtype), self.shift_SD.to(rows.dtype)
        return torch.addcmul(shift[:, None], rows, scale[:, None]).view(output.shape)

    def merged(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        return weight * self.scale_SD[..., None], torch.addcmul(self.shift_SD, bias, self.scale_SD)


@contextmanager
def tokens_inserted(
    blocks: Sequence[nn.Module], tokens: Float[Tensor, "stack groups added dim"], prefix: int, deep: bool
) -> Iterator[None]:
    """Inside, `tokens` stand behind the first `prefix` tokens: `deep`, each block's own, dropped behind it; else those
    of the first block, which are dropped behind the last.
    """
    stack, _, added, _ = tokens.shape

    def insert(group: int, entering: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        images = entering[0]
        own = tokens[:, group].to(images.dtype).repeat_interleave(images.shape[0] // stack, dim=0)
        return torch.cat([images[:, :prefix], own, images[:, prefix:]], 1), *entering[1:]

    def drop(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return torch.cat([output[:, :prefix], output[:, prefix + added :]], 1)

    ends = range(len(blocks))
    handles = [
        blocks[i].register_forward_pre_hook(lambda _, entering, i=i: insert(i, entering))
        for i in (ends if deep else (0,))
    ]
    handles += [blocks[i].register_forward_hook(drop) for i in (ends if deep else (ends[-1],))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
