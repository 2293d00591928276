"""The loss and the prediction of all solvers that train the transformer, by the formula."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from fpt.backbones.attention import listen
from fpt.backbones.backbone import Backbone
from fpt.solvers import Training, fine_tuning
from fpt.solvers.contract import head_scores
from fpt.solvers.fine_tuning import losses, predict, starting_head

TRAINING = Training(way=3, blocks=2, epochs=0, layers=2, rows="patches", head="r2d2", head_multiplier=5.0)


def cross_entropies(backbone, stack, head):
    """Mean over the support set, problem by problem, of features by the whole upper part."""
    start = backbone.depth - TRAINING.blocks
    found = []
    for problem in range(stack.size):
        features = backbone.upper(stack.support_tokens[problem], start).features
        logits = (features @ head[0][problem].T + head[1][problem]) / TRAINING.head_multiplier
        found.append(F.cross_entropy(logits, stack.labels[problem]))
    return torch.stack(found)


def ratios(backbone, stack):
    """R of each problem: mean over images, layers and rows of sum over patches of target ln softmax."""
    start = backbone.depth - TRAINING.blocks
    found = []
    for problem in range(stack.size):
        tokens = stack.support_tokens[problem]
        with listen(2) as calls:
            for index in range(start, backbone.depth):
                tokens = backbone.blocks[index](tokens)
        target, tau = stack.targets[0][problem].double(), float(stack.tau[problem])
        pulls = []
        for call in calls:
            logits = (call.query_BHRC @ call.key_BHTC.mT * call.scale).mean(1)[:, 1:, 1:].double() / tau
            pulls.append((logits.log_softmax(-1) * target[:, None]).sum(-1).mean(1))
        found.append(torch.stack(pulls).mean())
    return torch.stack(found)


def test_the_loss_is_cross_entropy_less_alpha_times_the_pull(backbone, stack_for):
    stack = stack_for("lora", TRAINING)
    head = starting_head(stack, TRAINING)
    given = (backbone, TRAINING, head, stack.support_tokens, stack.labels)
    with torch.no_grad():
        plain = losses(*given, [], stack.alpha, stack.tau, backbone.prefix)
        steered = losses(*given, stack.targets, stack.alpha, stack.tau, backbone.prefix)
        expected = cross_entropies(backbone, stack, head)
        pull = ratios(backbone, stack)
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(steered.double(), expected.double() - stack.alpha.double() * pull, rtol=1e-4, atol=1e-4)
    assert (pull[stack.alpha > 0] < 0).all()


def test_the_head_starts_as_many_times_itself_as_its_scores_are_divided_by(backbone, stack_for):
    stack = stack_for("lora", TRAINING)
    once = starting_head(stack, replace(TRAINING, head_multiplier=1.0))
    five = starting_head(stack, TRAINING)
    torch.testing.assert_close(
        head_scores(stack.support_features, five, 5.0), head_scores(stack.support_features, once, 1.0)
    )


def test_queries_are_predicted_some_at_a_time(backbone, stack_for, monkeypatch):
    stack = stack_for("lora", TRAINING)
    head = starting_head(stack, TRAINING)
    whole = predict(backbone, stack.queries, head, TRAINING, backbone.prefix)
    monkeypatch.setattr(fine_tuning, "IMAGES_A_PASS", 1)
    one_by_one = predict(backbone, stack.queries, head, TRAINING, backbone.prefix)
    torch.testing.assert_close(one_by_one.scores, whole.scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one_by_one.query_attention, whole.query_attention, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.query_attention, stack.query_attention, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.query_attention.sum(-1), torch.ones(8, 12))


def test_the_class_row_is_not_steered_where_there_is_no_class_token(small_model):
    backbone = Backbone(small_model("class token late"))
    backbone.prefix = 0
    tokens, labels = torch.zeros(1, 3, 4, 48), torch.tensor([[0, 1, 2]])
    head = torch.zeros(1, 3, 48), torch.zeros(1, 3)
    with pytest.raises(ValueError, match=r"rows must be patches or all for a backbone without a \[CLS\] token"):
        losses(
            backbone,
            replace(TRAINING, rows="class"),
            head,
            tokens,
            labels,
            [torch.ones(1, 3, 4) / 4],
            torch.ones(1),
            torch.ones(1),
            0,
        )
