import pytest
import torch

from fpt.solvers.optimisers import AdamW, Sgd

RATES = torch.tensor([1e-3, 2e-2, 0.3])
SHAPES = ((3, 4), (3, 2, 5), (3, 2, 3, 2))


def theirs_adamw(parameter, rate):
    return torch.optim.AdamW([parameter], lr=rate)


def theirs_sgd(parameter, rate):
    return torch.optim.SGD([parameter], lr=rate, momentum=0.9, dampening=0.9, weight_decay=1e-3)


@pytest.mark.parametrize(("ours", "theirs"), [(AdamW, theirs_adamw), (Sgd, theirs_sgd)], ids=["AdamW", "Sgd"])
def test_a_stack_is_as_many_optimisers_of_torch(ours, theirs):
    random = torch.Generator().manual_seed(0)
    parameters = [torch.randn(shape, generator=random) for shape in SHAPES]
    alone = [[parameter[s].clone().requires_grad_() for s in range(3)] for parameter in parameters]
    optimisers = [[theirs(part, float(RATES[s])) for s, part in enumerate(parts)] for parts in alone]
    stacked = ours(parameters, RATES)
    for step in range(12):
        gradients = [torch.randn(shape, generator=random) * 10.0 ** (step % 3 - 2) for shape in SHAPES]
        stacked.step([gradient.clone() for gradient in gradients])
        for parts, of_parts, gradient in zip(alone, optimisers, gradients, strict=True):
            for s, (part, optimiser) in enumerate(zip(parts, of_parts, strict=True)):
                part.grad = gradient[s].clone()
                optimiser.step()
    for parameter, parts in zip(parameters, alone, strict=True):
        torch.testing.assert_close(parameter, torch.stack(parts).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ours", [AdamW, Sgd])
def test_all_tensors_at_once_get_the_same_bits(ours):
    random = torch.Generator().manual_seed(0)
    first, second = ([torch.randn(shape, generator=random) for shape in SHAPES] for _ in range(2))
    for one, two in zip(first, second, strict=True):
        two.copy_(one)
    one_by_one, at_once = ours(first, RATES, at_once=False), ours(second, RATES, at_once=True)
    for _ in range(5):
        gradients = [torch.randn(shape, generator=random).mT.contiguous().mT for shape in SHAPES]
        one_by_one.step(gradients)
        at_once.step(gradients)
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


@pytest.mark.parametrize("ours", [AdamW, Sgd])
def test_a_gradient_moves_its_own_problem_only(ours):
    parameter = torch.ones(3, 4)
    gradient = torch.zeros(3, 4)
    gradient[1] = 1.0
    ours([parameter], torch.tensor([0.0, 0.1, 0.0])).step([gradient])
    assert (parameter[1] < 1).all()
    torch.testing.assert_close(parameter[[0, 2]], torch.ones(2, 4), rtol=0, atol=0)


@pytest.mark.parametrize("ours", [AdamW, Sgd])
def test_gradients_are_not_written_to(ours):
    gradient = torch.full((2, 3), 0.5)
    optimiser = ours([torch.ones(2, 3)], torch.tensor([0.1, 0.1]))
    for _ in range(2):
        optimiser.step([gradient])
    torch.testing.assert_close(gradient, torch.full((2, 3), 0.5), rtol=0, atol=0)
