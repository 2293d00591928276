import pytest
import torch
from torch import nn

from fpt.solvers import Training
from fpt.solvers.ssf import ssf
from tests.fpt.solvers.whole_model import assert_each_problem_is_a_whole_model


class Changed(nn.Module):
    """A layer, then scale and shift."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        width = len(layer.weight)
        self.scale, self.shift = torch.ones(width).requires_grad_(), torch.zeros(width).requires_grad_()

    def forward(self, inputs):
        return self.layer(inputs) * self.scale + self.shift


@pytest.mark.parametrize(
    "training",
    [
        Training(way=3, blocks=2, epochs=3, head="r2d2"),
        Training(way=3, blocks=2, epochs=2, batch=4, layers=2, rows="class", heads="each"),
        Training(way=3, blocks=2, epochs=2, batch=4, layers=2, rows="all", head_multiplier=5.0),
    ],
    ids=["as in the paper", "class rows", "all rows"],
)
def test_each_problem_is_a_copy_of_the_model_with_other_layers(training, backbone, episodes, stack_for):
    """By hand: norm1, qkv, proj, norm2, fc1, fc2 of each of the last blocks, and the last norm."""

    def adapt(model, random):
        for block in model.blocks[backbone.depth - training.blocks :]:
            block.norm1, block.norm2 = Changed(block.norm1), Changed(block.norm2)
            block.attn.qkv, block.attn.proj = Changed(block.attn.qkv), Changed(block.attn.proj)
            block.mlp.fc1, block.mlp.fc2 = Changed(block.mlp.fc1), Changed(block.mlp.fc2)
        model.norm = Changed(model.norm)
        changed = [module for module in model.modules() if isinstance(module, Changed)]
        assert len(changed) == 6 * training.blocks + 1
        return [leaf for module in changed for leaf in (module.scale, module.shift)], model

    assert_each_problem_is_a_whole_model(ssf, "ssf", training, backbone, episodes, stack_for, adapt)
