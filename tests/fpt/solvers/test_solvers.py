"""What every solver promises, whatever it does."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from fpt.heads.closed_form import named_head, scores
from fpt.registry import HEADS, SOLVERS
from fpt.solvers import Training, solver_named
from tests.fpt.conftest import MEMBERS

WHOLE = Training(way=3, blocks=2, epochs=3, layers=2)
# The last mini-batch of an epoch has two images. R2D2 scores are small, so float32 hides little of a difference.
MINI = replace(WHOLE, batch=4, rows="class", heads="each", layers=1, head="r2d2")
EVERY_ROW = replace(WHOLE, batch=4, rows="all", layers=2)

every_solver = pytest.mark.parametrize("solver", SOLVERS)
trained_solvers = pytest.mark.parametrize("solver", [name for name in SOLVERS if SOLVERS[name].trained])
frozen_solvers = pytest.mark.parametrize("solver", [name for name in SOLVERS if not SOLVERS[name].trained])
all_settings = pytest.mark.parametrize("training", [WHOLE, MINI, EVERY_ROW], ids=["whole", "mini", "every row"])


def centred(scores):
    """Without what all classes share, which changes no prediction."""
    return scores - scores.mean(-1, keepdim=True)


def assert_agree(found, expected):
    """To what float32 can hold of scores that are large before they are centred (some 130 for ProtoNet)."""
    precision = 4e-6 * float(expected.scores.abs().max())
    torch.testing.assert_close(centred(found.scores), centred(expected.scores), rtol=0, atol=precision)
    torch.testing.assert_close(found.query_attention, expected.query_attention, rtol=1e-4, atol=0)
    assert torch.equal(found.scores.argmax(-1), expected.scores.argmax(-1))


def part(solution, problem):
    own = slice(problem, problem + 1)
    return replace(solution, scores=solution.scores[own], query_attention=solution.query_attention[own])


@pytest.fixture(scope="session")
def together(backbone, stack_for):
    """A function: what a solver makes of all eight problems in one stack."""
    return cache(lambda solver, training: solver_named(solver)(backbone, stack_for(solver, training), training))


@every_solver
@all_settings
def test_a_stacked_problem_gets_what_it_gets_alone(solver, training, backbone, stack_for, together):
    """Each of the eight, and every second of those in mini-batches."""
    for problem in range(0, len(MEMBERS), 1 if training is WHOLE else 2):
        member = MEMBERS[problem]
        alone = solver_named(solver)(backbone, stack_for(solver, training, [member]), training)
        assert_agree(part(together(solver, training), problem), alone)


@every_solver
@all_settings
def test_the_order_of_problems_does_not_matter(solver, training, backbone, stack_for, together):
    order = [5, 0, 7, 2, 4, 1, 3, 6]
    straight = together(solver, training)
    shuffled = solver_named(solver)(backbone, stack_for(solver, training, [MEMBERS[i] for i in order]), training)
    reordered = replace(straight, scores=straight.scores[order], query_attention=straight.query_attention[order])
    assert_agree(shuffled, reordered)


@every_solver
def test_solutions_are_finite_and_attention_a_distribution(solver, together):
    solution = together(solver, WHOLE)
    assert solution.scores.shape == (8, 12, 3)
    assert solution.scores.isfinite().all()
    assert solution.query_attention.shape == (8, 12, 64)
    assert (solution.query_attention >= 0).all()
    torch.testing.assert_close(solution.query_attention.sum(-1), torch.ones(8, 12))
    assert not solution.scores.requires_grad
    assert not solution.query_attention.requires_grad


@every_solver
def test_the_same_bits_twice_and_no_global_generator_is_drawn_from(solver, backbone, stack_for):
    def states():
        return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()

    stack = stack_for(solver, MINI)
    before = states()
    first, second = (solver_named(solver)(backbone, stack, MINI) for _ in range(2))
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(first.query_attention, second.query_attention)
    assert states() == before


@every_solver
def test_frozen_weights_stay_and_get_no_gradient(solver, backbone, stack_for):
    stack = stack_for(solver, WHOLE)
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    inputs = [stack.support_tokens.clone(), stack.support_features.clone(), stack.query_tokens.clone()]
    solver_named(solver)(backbone, stack, WHOLE)
    assert all(weight.grad is None and not weight.requires_grad for weight in backbone.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in backbone.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.model.modules())
    for tensor, copied in zip((stack.support_tokens, stack.support_features, stack.query_tokens), inputs, strict=True):
        assert torch.equal(tensor, copied)


@pytest.mark.parametrize("solver", [name for name in SOLVERS if SOLVERS[name].trained and name != "vpt"])
@pytest.mark.parametrize("head", HEADS)
def test_without_a_step_a_solver_is_its_initial_head_on_frozen_features(solver, head, backbone, stack_for):
    """But for VPT, whose tokens are there from the start."""
    training = replace(WHOLE, epochs=0, head=head)
    stack = stack_for(solver, replace(WHOLE, head="protonet"))
    solution = solver_named(solver)(backbone, stack, training)
    expected = scores(stack.query_features, named_head(head, stack.support_features, stack.labels, 3, 1.0, stack.seeds))
    precision = 4e-6 * float(expected.abs().max())
    torch.testing.assert_close(centred(solution.scores), centred(expected), rtol=0, atol=precision)
    torch.testing.assert_close(solution.query_attention, stack.query_attention, rtol=1e-4, atol=1e-6)


@trained_solvers
@pytest.mark.parametrize("head", HEADS)
def test_every_head_can_be_started_from(solver, head, backbone, stack_for):
    """And its first step goes somewhere."""
    stack = stack_for(solver, WHOLE)
    before, after = (
        solver_named(solver)(backbone, stack, replace(WHOLE, epochs=epochs, head=head)) for epochs in (0, 1)
    )
    assert after.scores.isfinite().all()
    assert ((after.scores - before.scores).abs().amax((1, 2)) > 0).all()


@every_solver
def test_prompts_move_steered_solvers_only(solver, backbone, stack_for):
    stack = stack_for(solver, WHOLE)
    plain = replace(stack, alpha=torch.zeros(8))
    steered, unsteered = (solver_named(solver)(backbone, one, WHOLE) for one in (stack, plain))
    moved = (steered.scores - unsteered.scores).abs().amax((1, 2))
    assert (moved[stack.alpha == 0] < 1e-6).all()
    assert ((moved[stack.alpha > 0] > 2e-5) == SOLVERS[solver].steered).all()


@every_solver
def test_alpha_of_zero_is_no_prompts_bit_for_bit(solver, backbone, stack_for):
    stack = replace(stack_for(solver, WHOLE), alpha=torch.zeros(8))
    nothing = replace(stack, targets=[torch.zeros_like(target) for target in stack.targets])
    with_targets, without = (solver_named(solver)(backbone, one, WHOLE) for one in (stack, nothing))
    assert torch.equal(with_targets.scores, without.scores)
    assert torch.equal(with_targets.query_attention, without.query_attention)


@every_solver
def test_a_problem_that_fails_does_not_touch_its_neighbours(solver, backbone, stack_for):
    stack = stack_for(solver, WHOLE)
    rate = stack.lr.clone()
    rate[3] = torch.nan
    sound, broken = (solver_named(solver)(backbone, one, WHOLE) for one in (stack, replace(stack, lr=rate)))
    for problem in (0, 1, 2, 4, 5, 6, 7):
        assert_agree(part(broken, problem), part(sound, problem))


@frozen_solvers
def test_a_frozen_solver_reads_nothing_but_features(solver, backbone, stack_for):
    stack = stack_for(solver, WHOLE)
    others = Training(way=3, epochs=1, batch=2, head="random", temperature=7.0, head_multiplier=2.0)
    nothing = torch.full_like(stack.support_tokens, torch.nan)
    elsewhere = replace(stack, support_tokens=nothing, lr=stack.lr * 2, seeds=[(9, 9)] * 8)
    first, second = solver_named(solver)(backbone, stack, WHOLE), solver_named(solver)(backbone, elsewhere, others)
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(first.query_attention, stack.query_attention)


@frozen_solvers
def test_a_frozen_solver_takes_two_classes(solver, backbone, stack_for):
    """scikit-learn has one column of scores there."""
    stack = stack_for(solver, WHOLE)
    parts = ("support_tokens", "support_features", "labels")
    targets = [target[:, :4] for target in stack.targets]
    two = replace(stack, targets=targets, **{part: getattr(stack, part)[:, :4] for part in parts})
    solution = solver_named(solver)(backbone, two, replace(WHOLE, way=2))
    assert solution.scores.shape == (8, 12, 2)
    assert solution.scores.isfinite().all()
    assert len(solution.scores.argmax(-1).unique()) == 2


@trained_solvers
def test_an_unknown_head_is_refused(solver, backbone, stack_for):
    stack = stack_for(solver, WHOLE)
    with pytest.raises(ValueError, match=r"head must be one of protonet, .* but got 'random forest'"):
        solver_named(solver)(backbone, stack, replace(WHOLE, head="random forest"))
