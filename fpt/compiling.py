"""Steps of training as one compiled program each: their shapes are constant, so they are traced once and then fused."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from fpt.failures import failure_of
from fpt.switches import COMPILED, is_on

Step = Callable[[Sequence[Tensor]], None]  # takes what is a mini-batch's own
READ = 2  # of these every step reads: images and labels; a pyramid has targets of stages that are not adapted, too
_programs: WeakKeyDictionary[Any, dict[Hashable, Callable[..., Any]]] = WeakKeyDictionary()


def as_one_program(step: Step, owner: Any, settings: Hashable, held: Callable[[], Sequence[Tensor]]) -> Step:
    """Returns a step that does what `step` does, as one compiled program, where the switch COMPILED is on.

    `held` are all tensors that it reads or changes in place, beside a mini-batch's and those of `owner`, a
    backbone, which never change; `settings` and their shapes are all that its operations depend on. The owner's
    programs are kept for the next stacks.
    The first step of a fit is taken as it is written: from the second on, as much is held as will be. So which steps
    are compiled does not depend on what was solved before.
    Raises ValueError where torch cannot compile it.
    """
    if not is_on(COMPILED):
        return step
    programs = _programs.setdefault(owner, {})
    taken = 0

    def stepped(batch: Sequence[Tensor]) -> None:
        nonlocal taken
        taken += 1
        if taken == 1:
            step(batch)
            return
        tensors = [*batch, *held()]
        key = (settings, tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors))
        if key not in programs:
            programs[key] = _traced(step, len(batch), tensors)
        _run(programs[key], tensors)

    return stepped


def _traced(step: Step, own: int, tensors: list[Tensor]) -> Callable[..., Any]:
    """Returns a program of the operations of a step on `tensors`, which are known by identity whoever else refers to
    them; others, which are the owner's, are constants. The step is taken for that, and taken back.
    """
    before = [tensor.detach().clone() for tensor in tensors]
    traced = make_fx(lambda all_of_them: step(all_of_them[:own]))(tensors)
    for tensor, was in zip(tensors, before, strict=True):
        tensor.detach().copy_(was)
    asked = [node for node in traced.graph.nodes if node.op == "placeholder"]
    assert all(node.users for node in asked[:READ]), "a program must depend on its mini-batch"
    options: dict[str, Any] = {"deterministic": torch.are_deterministic_algorithms_enabled()}
    return torch.compile(traced, fullgraph=True, dynamic=False, options=options)


@torch.no_grad()
def _run(program: Callable[..., Any], tensors: list[Tensor]) -> None:
    try:
        program([tensor.detach() for tensor in tensors])
    except Exception as error:
        if failure_of(error) or "torch._inductor" not in (error.__class__.__module__ + str(error)):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip() and "raised:" not in line]
        why = lines[0] if lines else repr(error)
        raise ValueError(f"compute.compile must be false here, where torch cannot compile: {why}") from error
