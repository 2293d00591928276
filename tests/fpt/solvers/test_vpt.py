from math import sqrt

import pytest
import torch

from fpt.backbones.backbone import Backbone
from fpt.randomness import generator
from fpt.solvers import Training
from fpt.solvers.vpt import vpt
from tests.fpt.solvers.whole_model import assert_each_problem_is_a_whole_model, with_blocks

BOUND = sqrt(6 / (3 * 8**2 + 128))  # patches of 8 x 8 pixels, 128 dimensions


def released_sgd(leaves, lr):
    return torch.optim.SGD(leaves, lr=lr, momentum=0.9, dampening=0.9, weight_decay=1e-3)


@pytest.mark.parametrize(
    "training",
    [
        Training(way=3, blocks=2, epochs=3, tokens=5, head="r2d2"),
        Training(way=3, blocks=3, epochs=2, tokens=3, batch=4, layers=2, rows="all", deep=True),
        Training(way=3, blocks=3, epochs=2, tokens=3, batch=4, layers=2, rows="class", heads="each", deep=False),
    ],
    ids=["deep", "deep, all rows", "shallow"],
)
def test_each_problem_is_the_whole_model_with_tokens_put_in_by_hand(training, backbone, episodes, stack_for):
    """Prefix token, then ours, then patches; the blocks below are the frozen ones."""

    def adapt(model, random):
        start = backbone.depth - training.blocks
        groups = training.blocks if training.deep else 1
        own = torch.from_numpy(random.uniform(-BOUND, BOUND, (groups, training.tokens, 128))).float().requires_grad_()

        def features(pixels):
            tokens = model.norm_pre(model._pos_embed(model.patch_embed(pixels)))
            for index, block in enumerate(model.blocks):
                if index < start:
                    tokens = block(tokens)
                    continue
                group = index - start
                if training.deep or group == 0:
                    added = own[group].expand(len(tokens), -1, -1)
                    patches = tokens[:, 1:] if group == 0 else tokens[:, 1 + training.tokens :]
                    tokens = torch.cat([tokens[:, :1], added, patches], 1)
                tokens = block(tokens)
            return model.norm(tokens)[:, 0]

        return [own], features

    assert_each_problem_is_a_whole_model(
        vpt,
        "vpt",
        training,
        backbone,
        episodes,
        with_blocks(training.blocks, backbone, episodes, stack_for),
        adapt,
        prefix=1 + training.tokens,
        optimiser=released_sgd,
    )


@pytest.mark.parametrize("deep", [True, False], ids=["deep", "shallow"])
def test_nothing_but_tokens_and_head_is_added(deep, backbone, stack_for):
    """Without a step: the frozen blocks with random tokens, whose attention is shared out over patches alone."""
    training = Training(way=3, blocks=2, epochs=0, tokens=4, deep=deep)
    stack = stack_for("vpt", training, [(0, 0)])
    solution = vpt(backbone, stack, training)
    own = generator(*stack.seeds[0], "adapter").uniform(-BOUND, BOUND, (2 if deep else 1, 4, 128))
    assert abs(own).max() <= BOUND
    tokens = stack.query_tokens[0]
    for index, block in enumerate(backbone.blocks[-2:]):
        if index == 0:
            tokens = torch.cat([tokens[:, :1], torch.zeros(len(tokens), 4, 128), tokens[:, 1:]], 1)
        if deep or index == 0:
            tokens[:, 1:5] = torch.from_numpy(own[index]).float()
        if index == 1:
            q, k, _ = block.attn.qkv(block.norm1(tokens)).unflatten(2, (3, 4, 32)).unbind(2)
            seen = torch.einsum("bhc,bthc->bht", q[:, 0], k).div(sqrt(32)).softmax(-1).mean(1)[:, 5:]
        tokens = block(tokens)
    torch.testing.assert_close(solution.query_attention[0], seen / seen.sum(1, keepdim=True), rtol=1e-5, atol=0)
    assert (solution.query_attention[0] - stack.query_attention[0]).abs().max() > 4e-6


def test_a_backbone_without_a_class_token_is_refused(small_model, backbone, stack_for):
    training = Training(way=3, blocks=1)
    with pytest.raises(ValueError, match=r"solver vpt must have a columnar backbone with a \[CLS\] token"):
        vpt(Backbone(small_model("class token late")), stack_for("vpt", training), training)
