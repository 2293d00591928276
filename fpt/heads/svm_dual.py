"""MetaOptNet's support vector machine: the dual of a Crammer-Singer SVM, all problems of a stack at once."""

# S problems, B support images, W ways; BB is a square matrix

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

COST = 0.1  # as in the paper's released code
GAP = 1e-12  # between primal and dual objective, over the latter
RESIDUAL = 1e-13  # of stationarity, over its terms; of sums that are to be 0, over the largest variable
STEPS = 60  # 7 to 25 were enough for condition numbers up to ten million
TO_THE_EDGE = 0.995  # the share of the way to an infeasible point that a step may go

State = tuple[  # Z, its slack (each right to its own last digit), multipliers of the bounds, those of the sums
    Float[Tensor, "stack way support"],
    Float[Tensor, "stack way support"],
    Float[Tensor, "stack way support"],
    Float[Tensor, "stack 1 support"],
]


def dual_variables(
    gram: Float[Tensor, "stack support support"], labels: Int[Tensor, "stack support"], way: int, cost: float = COST
) -> Float[Tensor, "stack support way"]:
    """Returns the Z that minimises tr Z^T (gram + I) Z / 2 - tr Y^T Z; Z <= cost Y, rows of Z sum to 0, Y has one-hot
    labels.

    Lee et al., CVPR 2019 (arXiv:1904.03758), I as in their released code; solved in float64 by the predictor-corrector
    method (Nocedal and Wright, Numerical Optimization, 2006, Algorithm 16.4) to `GAP` of the objective, which
    puts class weights within sqrt(2 GAP |objective|) of the optimum, and to rounding in all else. A problem that
    `STEPS` steps do not bring there is NaN: it has failed, its neighbours have not.
    """
    targets_SWB = F.one_hot(labels, way).transpose(1, 2).double()
    hessian_SBB = gram.double() + torch.eye(gram.shape[1], dtype=torch.float64, device=gram.device)
    start_SWB = _start(hessian_SBB, targets_SWB, cost)
    ones_SWB = torch.ones_like(start_SWB)
    state: State = (start_SWB, cost * targets_SWB - start_SWB, ones_SWB, torch.zeros_like(ones_SWB[:, :1]))
    for steps in range(STEPS + 1):
        dual_SWB, slack_SWB, price_SWB, shift_S1B = state
        pull_SWB = dual_SWB @ hessian_SBB
        residual_SWB = pull_SWB - targets_SWB + shift_S1B + price_SWB
        sums_S1B = dual_SWB.sum(1, keepdim=True)
        gap_S11 = _total(slack_SWB * price_SWB)
        solved_S11 = (
            (gap_S11 <= GAP * _total((pull_SWB / 2 - targets_SWB) * dual_SWB).abs())
            & (_largest(residual_SWB) <= RESIDUAL * (1 + _largest(dual_SWB.abs() @ hessian_SBB.abs())))
            & (_largest(sums_S1B) <= RESIDUAL * _largest(dual_SWB))
        )
        if steps == STEPS or bool(solved_S11.all()):
            break
        curvature_SWBB = hessian_SBB[:, None] + torch.diag_embed(price_SWB / slack_SWB)
        inverse_SWBB = _inverse(torch.linalg.cholesky_ex(curvature_SWBB)[0], curvature_SWBB.device.type == "cuda")
        predicted = _step(inverse_SWBB, state, residual_SWB, sums_S1B, -slack_SWB * price_SWB)
        _, slack_ahead_SWB, price_ahead_SWB, _ = _moved(state, predicted, 1.0)
        left_S11 = _total(slack_ahead_SWB * price_ahead_SWB)
        aim_S11 = (left_S11 / gap_S11) ** 3 * gap_S11 / slack_SWB[0].numel()
        product_SWB = aim_S11 - slack_SWB * price_SWB - predicted[1] * predicted[2]
        moved = _moved(state, _step(inverse_SWBB, state, residual_SWB, sums_S1B, product_SWB), TO_THE_EDGE)
        dual, slack, price, shift = (torch.where(solved_S11, *pair) for pair in zip(state, moved, strict=True))
        state = (dual, slack, price, shift)
    return torch.where(solved_S11, dual_SWB, torch.nan).transpose(1, 2)


def _inverse(factor: Float[Tensor, "*stack rows rows"], by_triangles: bool) -> Float[Tensor, "*stack rows rows"]:
    """Returns the inverse of a matrix by its Cholesky factor. `by_triangles` does so for all of a stack in two
    operations; cholesky_inverse takes the matrices of a stack one by one on a GPU.
    """
    if not by_triangles:
        return torch.cholesky_inverse(factor)
    half = torch.linalg.solve_triangular(factor, torch.eye(factor.shape[-1]).to(factor).expand_as(factor), upper=False)
    inverse: Tensor = half.mT @ half
    return inverse


def _start(
    hessian: Float[Tensor, "stack support support"], targets: Float[Tensor, "stack way support"], cost: float
) -> Float[Tensor, "stack way support"]:
    """Returns the best Z of one free number, true classes against all others, at most half-way to its bound."""
    direction_SWB = targets - (1 - targets) / (targets.shape[1] - 1)
    curvature_S11 = _total(direction_SWB @ hessian * direction_SWB)
    return (targets[0].sum() / curvature_S11).clamp(max=cost / 2) * direction_SWB


def _step(
    inverse: Float[Tensor, "stack way support support"],
    state: State,
    residual: Float[Tensor, "stack way support"],
    sums: Float[Tensor, "stack 1 support"],
    product: Float[Tensor, "stack way support"],
) -> State:
    """Returns Newton's step that changes slack times price by `product`. A Schur complement alone couples the
    classes.
    """
    _, slack_SWB, price_SWB, _ = state
    pull_SWB = -residual - product / slack_SWB
    uncoupled_SWB = (inverse @ pull_SWB[..., None])[..., 0]
    factor_SBB = torch.linalg.cholesky_ex(inverse.sum(1))[0]
    excess_SB1 = (sums + uncoupled_SWB.sum(1, keepdim=True)).transpose(1, 2)
    shift_S1B = torch.cholesky_solve(excess_SB1, factor_SBB).transpose(1, 2)
    dual_SWB = (inverse @ (pull_SWB - shift_S1B)[..., None])[..., 0]
    return dual_SWB, -dual_SWB, (product + price_SWB * dual_SWB) / slack_SWB, shift_S1B


def _moved(state: State, step: State, share: float) -> State:
    """Adds a step to a state, the step no longer than `share` of the way to where a slack or a price is 0."""
    positive, change = (torch.cat(parts[1:3], 1) for parts in (state, step))
    edge_S11 = torch.where(change < 0, -positive / change, torch.inf).amin((1, 2), keepdim=True)
    length_S11 = (share * edge_S11).clamp(max=1)
    dual, slack, price, shift = (part + length_S11 * own for part, own in zip(state, step, strict=True))
    return dual, slack, price, shift


def _total(values: Float[Tensor, "stack rows columns"]) -> Float[Tensor, "stack 1 1"]:
    return values.sum((1, 2), keepdim=True)


def _largest(values: Float[Tensor, "stack rows columns"]) -> Float[Tensor, "stack 1 1"]:
    return values.abs().amax((1, 2), keepdim=True)
