import sys
from dataclasses import replace

import pytest
import torch

from fpt.solvers import Training
from fpt.solvers.full import full
from tests.fpt.solvers.whole_model import assert_each_problem_is_a_whole_model, with_blocks

TRAINING = Training(way=3, blocks=2, epochs=2, batch=4, layers=2, head="r2d2")


@pytest.mark.parametrize(
    "training",
    [
        Training(way=3, blocks=2, epochs=3, head="r2d2"),
        Training(way=3, blocks=2, epochs=2, batch=4, layers=2, rows="class", heads="each", head="r2d2"),
        Training(way=3, blocks=1, epochs=2, batch=4, rows="all", head="r2d2"),
    ],
    ids=["as in the paper", "class rows", "all rows, one block"],
)
def test_each_problem_is_a_copy_of_the_model_under_torchs_adamw(training, backbone, episodes, stack_for):
    def adapt(model, random):
        adapted = [*model.blocks[backbone.depth - training.blocks :], model.norm]
        weights = [weight.requires_grad_() for module in adapted for weight in module.parameters()]
        assert len(weights) == 12 * training.blocks + 2
        return weights, model

    stack = with_blocks(training.blocks, backbone, episodes, stack_for)
    assert_each_problem_is_a_whole_model(full, "full", training, backbone, episodes, stack, adapt)


def test_little_memory_makes_it_slower_and_no_different(backbone, stack_for, monkeypatch):
    sizes = []

    def learn(backbone, stack, training):
        sizes.append(stack.size)
        return full.learn(backbone, stack, training)

    counted, stack = replace(full, learn=learn), stack_for("full", TRAINING)
    plenty = counted(backbone, stack, TRAINING)
    assert sizes == [8]
    bytes_of_one = 4 * sum(weight.numel() for weight in backbone.parameters_of_blocks(2).values())
    for budget, expected in ((0, [1] * 8), (3 * 6 * bytes_of_one, [3, 3, 2])):
        sizes.clear()
        monkeypatch.setattr(sys.modules["fpt.solvers.full"], "CPU_BUDGET_BYTES", budget)
        scarce = counted(backbone, stack, TRAINING)
        assert sizes == expected
        precision = 4e-6 * float(plenty.scores.abs().max())
        torch.testing.assert_close(scarce.scores, plenty.scores, rtol=0, atol=precision)
        torch.testing.assert_close(scarce.query_attention, plenty.query_attention, rtol=1e-4, atol=0)
        assert torch.equal(scarce.scores.argmax(-1), plenty.scores.argmax(-1))


def test_as_many_weights_as_its_blocks_have_are_trained(backbone):
    names = backbone.parameters_of_blocks(2)
    own = [
        name for name, _ in backbone.model.named_parameters() if name.startswith(("blocks.4.", "blocks.5.", "norm."))
    ]
    assert list(names) == own
    assert len(backbone.parameters_of_blocks(6)) > 3 * len(own) - 6
