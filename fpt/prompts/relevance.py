"""Gradient times input of each token, told where rounding would decide it.

In most transformers the patches that enter the top block act through its first norm alone, and a norm forgets their
scale: in exact arithmetic gradient times input is then its epsilon over the variance of what the gradient does beyond
the norm, about a millionth, and computed as it is written it is rounding, in float32 for a tenth of all images, in half
precision for every second. So the two ways out of the block's input are kept apart.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fpt.backbones.attention import wide


@dataclass
class Apart:
    """A norm reads `probe`, equal to what enters its block, and gives `output`; both None where no norm reads that."""

    norm: nn.Module | None = None
    probe: Tensor | None = None
    output: Tensor | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """Returns what a gradient is taken of, beside what enters the block."""
        return [] if self.probe is None or self.output is None else [self.probe, self.output]


@contextmanager
def norm_apart(block: nn.Module, entered: Tensor) -> Iterator[Apart]:
    """Has the norm of a block that reads what entered it, if there is one, read a copy, whose gradient is its own."""
    apart = Apart()

    def before(norm: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        same = inputs and inputs[0].shape == entered.shape and inputs[0].data_ptr() == entered.data_ptr()
        if apart.norm is not None or not same:
            return None
        apart.norm, apart.probe = norm, entered.detach().requires_grad_()
        return (apart.probe, *inputs[1:])

    def after(norm: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if norm is apart.norm and apart.output is None:
            apart.output = output

    norms = [module for module in block.modules() if _forgets_scale(module)]
    handles = [norm.register_forward_pre_hook(before) for norm in norms]
    handles += [norm.register_forward_hook(after) for norm in norms]
    try:
        yield apart
    finally:
        for handle in handles:
            handle.remove()


def gradient_and_relevance(
    score: Tensor, entered: Tensor, apart: Apart
) -> tuple[Float[Tensor, "images ..."], Float[Tensor, "images ..."]]:
    """Returns the gradient of a score at what entered a block, and that gradient times the input, number by number;
    only its sum over a token's numbers means something. Both are in float32 at least.
    """
    direct, *beyond = torch.autograd.grad(score, [entered, *apart.tensors], allow_unused=True)
    tokens = wide(entered.detach())
    gradient = torch.zeros_like(tokens) if direct is None else wide(direct)
    relevance = gradient * tokens
    if beyond and beyond[0] is not None and beyond[1] is not None:
        assert apart.norm is not None
        assert apart.output is not None
        gradient = gradient + wide(beyond[0])
        relevance = relevance + _through_norm(apart.norm, tokens, wide(apart.output.detach()), wide(beyond[1]))
    return gradient, relevance


def _forgets_scale(module: nn.Module) -> bool:
    """Tells whether a module is a norm over the last dimension alone."""
    if isinstance(module, nn.LayerNorm):
        return len(module.normalized_shape) == 1
    return isinstance(module, nn.RMSNorm) or type(module).__name__ == "RmsNorm"


def _through_norm(norm: Any, tokens: Tensor, output: Tensor, gradient: Tensor) -> Tensor:
    """Returns gradient times input of what goes through a norm, from the gradient at its output: with y the normed
    token, it is the sum of y times its gradient, times epsilon / (variance + epsilon).
    """
    layer_norm = isinstance(norm, nn.LayerNorm)
    spread = tokens.var(-1, correction=0, keepdim=True) if layer_norm else tokens.square().mean(-1, keepdim=True)
    epsilon = torch.finfo(tokens.dtype).eps if norm.eps is None else norm.eps
    bias = getattr(norm, "bias", None)
    normed = output if bias is None else output - wide(bias.detach())  # times the weight, as the gradient is there
    return gradient * normed * (epsilon / (spread + epsilon))
