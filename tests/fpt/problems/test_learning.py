"""What is learnt and asked later has the scores of a problem that is solved at once."""

import pytest
import torch

from fpt.problems.learning import answer, learn
from fpt.problems.problem import Setting
from fpt.problems.solving import solve
from fpt.registry import SOLVERS
from fpt.solvers import Training, learner_named
from tests.fpt.problems.pixels import queries_of

TRAINING = Training(way=3, blocks=2, epochs=2, batch=4)


def setting(solver, **values):
    return Setting(solver, TRAINING, **{"alpha": 0.3, "lam": 0.5, "patches": 4, "lr": 1e-3, "seed": 4, **values})


@pytest.mark.parametrize("solver", SOLVERS)
def test_learning_and_answering_is_solving(solver, backbone, episodes):
    """Of the last episode, whose number is large, on its own images."""
    chosen = setting(solver)
    outcome = solve(backbone, episodes, [chosen], 2)[0][-1]
    learnt = learn(backbone, episodes.support_images[-1], episodes.labels[-1], chosen, episodes.indices[-1])
    found = answer(backbone, queries_of(3), chosen, learnt)
    expected = outcome.logits.double()
    torch.testing.assert_close(
        found.scores[0].double(), expected, rtol=0, atol=2e-5 * max(1.0, float(expected.abs().max()))
    )
    assert torch.equal(found.scores[0].argmax(-1), expected.argmax(-1))
    torch.testing.assert_close(found.query_attention.sum(-1), torch.ones(1, 12))


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_learnt_has_the_shapes_that_are_told(solver, backbone, episodes):
    learnt = learn(backbone, episodes.support_images[0][:5], episodes.labels[0][:5], setting(solver), 0)
    told = learner_named(solver).shapes(backbone, TRAINING, 5)
    assert {name: (1, *shape) for name, shape in told.items()} == {
        name: tuple(value.shape) for name, value in learnt.items()
    }
    assert not any(value.requires_grad for value in learnt.values())


def test_mistakes_are_sentences(backbone, episodes):
    images, labels = episodes.support_images[0], episodes.labels[0]
    for values, message in (
        ({"variant": "masks"}, "variant must be one of paper, scaled, "),
        ({"lr": float("inf")}, "lr must be small enough for training to converge"),
    ):
        with pytest.raises(ValueError, match=message):
            learn(backbone, images, labels, setting("lora", **values))
    with pytest.raises(ValueError, match="solver must be one of"):
        learn(backbone, images, labels, setting("magic"))
