"""Element-wise optimisers whose learning rate differs from problem to problem of a stack.

Parameters carry a leading S, so S stacked problems are S separate optimisations.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


class AdamW:
    """Steps with decoupled weight decay, Loshchilov and Hutter, ICLR 2019 (arXiv:1711.05101); torch's defaults."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: Float[Tensor, " stack"],
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        self.parameters, self.betas, self.epsilon, self.weight_decay = parameters, betas, epsilon, weight_decay
        self.lrs = [_per_problem(lr, parameter) for parameter in parameters]
        self.first = [torch.zeros_like(parameter) for parameter in parameters]
        self.second = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        self.steps += 1
        fast, slow = self.betas
        first_correction, second_correction = 1 - fast**self.steps, 1 - slow**self.steps
        for parameter, lr, first, second, gradient in zip(
            self.parameters, self.lrs, self.first, self.second, gradients, strict=True
        ):
            parameter.mul_(1 - lr * self.weight_decay)
            first.lerp_(gradient, 1 - fast)
            second.mul_(slow).addcmul_(gradient, gradient, value=1 - slow)
            denominator = (second / second_correction).sqrt_().add_(self.epsilon)
            parameter.sub_(lr / first_correction * first / denominator)


class Sgd:
    """Steps with momentum, dampening and weight decay in the gradient, as torch.optim.SGD does."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: Float[Tensor, " stack"],
        momentum: float = 0.9,
        dampening: float = 0.9,
        weight_decay: float = 1e-3,
    ) -> None:
        self.parameters, self.momentum, self.weight_decay = parameters, momentum, weight_decay
        self.dampening = dampening
        self.lrs = [_per_problem(lr, parameter) for parameter in parameters]
        self.velocity: list[Tensor] = []

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
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


def _per_problem(lr: Tensor, parameter: Tensor) -> Tensor:
    return lr.to(parameter).view(-1, *[1] * (parameter.ndim - 1))
