"""Element-wise optimisers whose learning rate differs from problem to problem of a stack.

Parameters carry a leading S, so S stacked problems are S separate optimisations.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fpt.switches import COMPILED, is_on


class AdamW:
    """Steps with decoupled weight decay, Loshchilov and Hutter, ICLR 2019 (arXiv:1711.05101); torch's defaults."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: Float[Tensor, " stack"],
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        at_once: bool | None = None,
    ) -> None:
        self.parameters, self.betas, self.epsilon, self.weight_decay = parameters, betas, epsilon, weight_decay
        self.at_once = _all_at_once(parameters) if at_once is None else at_once
        self.lrs = [_per_problem(lr, parameter, self.at_once) for parameter in parameters]
        self.first = [torch.zeros_like(parameter) for parameter in parameters]
        self.second = [torch.zeros_like(parameter) for parameter in parameters]
        # As a tensor it is not a constant of a compiled step.
        self.steps: int | Tensor = torch.zeros((), dtype=torch.float64).to(lr.device) if is_on(COMPILED) else 0
        self.decays: list[Tensor] | None = None

    @property
    def state(self) -> list[Tensor]:
        """Returns all that a step reads or changes, beside parameters and gradients."""
        steps = [self.steps] if isinstance(self.steps, Tensor) else []
        return [*self.lrs, *self.first, *self.second, *(self.decays or []), *steps]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        self.steps += 1
        fast, slow = self.betas
        first_correction, second_correction = 1 - fast**self.steps, 1 - slow**self.steps
        if self.at_once:
            self._step_at_once([gradient.contiguous() for gradient in gradients], first_correction, second_correction)
            return
        for parameter, lr, first, second, gradient in zip(
            self.parameters, self.lrs, self.first, self.second, gradients, strict=True
        ):
            parameter.mul_(1 - lr * self.weight_decay)
            first.lerp_(gradient, 1 - fast)
            second.mul_(slow).addcmul_(gradient, gradient, value=1 - slow)
            denominator = (second / second_correction).sqrt_().add_(self.epsilon)
            parameter.sub_(lr / first_correction * first / denominator)

    def _step_at_once(
        self, gradients: list[Tensor], first_correction: float | Tensor, second_correction: float | Tensor
    ) -> None:
        """Does the same to all tensors in eleven operations, whatever their number."""
        fast, slow = self.betas
        parameters = list(self.parameters)
        if self.decays is None:  # made once, of the shape of the parameters: others would be taken one by one
            self.decays = [1 - lr * self.weight_decay for lr in self.lrs]
        torch._foreach_mul_(parameters, self.decays)
        torch._foreach_lerp_(self.first, gradients, 1 - fast)
        torch._foreach_mul_(self.second, slow)
        torch._foreach_addcmul_(self.second, gradients, gradients, value=1 - slow)
        denominators = torch._foreach_div(self.second, second_correction)
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, self.epsilon)
        steps = torch._foreach_div(self.lrs, first_correction)
        torch._foreach_mul_(steps, self.first)
        torch._foreach_div_(steps, denominators)
        torch._foreach_sub_(parameters, steps)


class Sgd:
    """Steps with momentum, dampening and weight decay in the gradient, as torch.optim.SGD does."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: Float[Tensor, " stack"],
        momentum: float = 0.9,
        dampening: float = 0.9,
        weight_decay: float = 1e-3,
        at_once: bool | None = None,
    ) -> None:
        self.parameters, self.momentum, self.weight_decay = parameters, momentum, weight_decay
        self.dampening = dampening
        self.at_once = _all_at_once(parameters) if at_once is None else at_once
        self.lrs = [_per_problem(lr, parameter, self.at_once) for parameter in parameters]
        self.velocity: list[Tensor] = []

    @property
    def state(self) -> list[Tensor]:
        """Returns all that a step reads or changes, beside parameters and gradients; from the second step on it is
        the same tensors.
        """
        return [*self.lrs, *self.velocity]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        if self.at_once:
            self._step_at_once([gradient.contiguous() for gradient in gradients])
            return
        decayed = [
            gradient + self.weight_decay * parameter
            for gradient, parameter in zip(gradients, self.parameters, strict=True)
        ]
        if self.velocity:
            for velocity, gradient in zip(self.velocity, decayed, strict=True):
                velocity.mul_(self.momentum).add_(gradient, alpha=1 - self.dampening)
        else:
            self.velocity = decayed
        for parameter, lr, velocity in zip(self.parameters, self.lrs, self.velocity, strict=True):
            parameter.sub_(lr * velocity)

    def _step_at_once(self, gradients: list[Tensor]) -> None:
        """Does the same to all tensors in six operations, whatever their number."""
        parameters = list(self.parameters)
        decayed = torch._foreach_mul(parameters, self.weight_decay)
        torch._foreach_add_(decayed, gradients)
        if self.velocity:
            torch._foreach_mul_(self.velocity, self.momentum)
            torch._foreach_add_(self.velocity, decayed, alpha=1 - self.dampening)
        else:
            self.velocity = list(decayed)
        torch._foreach_sub_(parameters, torch._foreach_mul(self.lrs, self.velocity))


def _all_at_once(parameters: Sequence[Tensor]) -> bool:
    """Tells whether launching operations is what a step waits for: on a GPU it is."""
    return is_on("foreach") and parameters[0].device.type == "cuda"


def _per_problem(lr: Tensor, parameter: Tensor, whole: bool) -> Tensor:
    """Returns the learning rate of each of a parameter's problems, as it multiplies the parameter; of its whole shape,
    where that is asked for.
    """
    rates = lr.to(parameter).view(-1, *[1] * (parameter.ndim - 1))
    return rates.expand_as(parameter).contiguous() if whole else rates
