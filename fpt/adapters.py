"""Low-rank adapters, one set for each problem of a stack, over shared frozen weights."""

# S problems, R rank, I inputs, O outputs

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fpt.backbones import Backbone

# A: stack x rank x inputs, B: stack x outputs x rank; inputs and outputs differ from layer to layer
PROJECTIONS = frozenset({"qkv", "q_proj", "k_proj", "v_proj", "proj"})
LowRank = tuple[Float[Tensor, "_ _ _"], Float[Tensor, "_ _ _"]]


def attention_projections(backbone: Backbone, start: int) -> list[nn.Linear]:
    """The linear layers inside the attention of blocks `start` and up, in the order in which the model lists them."""
    return [
        module
        for block in backbone.blocks[start:]
        for child_name, child in block.named_children()
        if "attn" in child_name
        for name, module in child.named_children()
        if name in PROJECTIONS and isinstance(module, nn.Linear)
    ]


def lora_start(
    projections: Sequence[nn.Linear], rank: int, generators: Sequence[np.random.Generator], device: torch.device
) -> list[LowRank]:
    """A Kaiming-uniform, B zero: LoRA, Hu et al., ICLR 2022 (arXiv:2106.09685), section 4.1. A generator each."""
    started = []
    for linear in projections:
        bound = 1 / sqrt(linear.in_features)
        down = np.stack([random.uniform(-bound, bound, (rank, linear.in_features)) for random in generators])
        up = torch.zeros(len(generators), linear.out_features, rank, device=device)
        started.append((torch.from_numpy(down).to(device, torch.float32), up))
    return started


@contextmanager
def lora_applied(projections: Sequence[nn.Linear], adapters: Sequence[LowRank]) -> Iterator[None]:
    """Inside, each projection W x becomes W x + B A x / rank, with the A and B of the problem that x belongs to.

    Batches must be stacked, problem by problem: their first dimension is S times the images of a problem.
    Raises ValueError for a model that uses a projection's weights without calling it.
    """
    called: set[nn.Module] = set()
    handles = [linear.register_forward_hook(lambda module, *_: called.add(module)) for linear in projections]
    handles += [
        linear.register_forward_hook(_low_rank_update(*adapter))
        for linear, adapter in zip(projections, adapters, strict=True)
    ]
    try:
        yield
    except RuntimeError as error:  # an adapter without effect has no gradient
        _refuse_uncalled(projections, called, error)
        raise
    else:
        _refuse_uncalled(projections, called)
    finally:
        for handle in handles:
            handle.remove()


def _refuse_uncalled(
    projections: Sequence[nn.Linear], called: set[nn.Module], cause: RuntimeError | None = None
) -> None:
    if len(called) < len(projections):
        raise ValueError(
            f"solver lora adapted {len(called)} of {len(projections)} projections: this backbone does not call the "
            "others as layers"
        ) from cause


def _low_rank_update(down_SRI: Tensor, up_SOR: Tensor) -> Callable[[nn.Module, tuple[Tensor], Tensor], Tensor]:
    stack, rank, _ = down_SRI.shape

    def hook(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        rows = inputs[0].reshape(stack, -1, inputs[0].shape[-1])
        low = rows @ down_SRI.transpose(1, 2)
        flat = output.reshape(stack, -1, output.shape[-1])
        return torch.baddbmm(flat, low, up_SOR.transpose(1, 2), alpha=1 / rank).view_as(output)

    return hook
