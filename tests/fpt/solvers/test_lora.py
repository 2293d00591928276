import pytest
import torch
from torch.func import functional_call

from fpt.backbones.backbone import Backbone
from fpt.problems.frozen import freeze
from fpt.solvers import Stack, Training
from fpt.solvers.adapters import attention_projections, lora_start
from fpt.solvers.lora import lora
from tests.fpt.solvers.whole_model import assert_each_problem_is_a_whole_model


@pytest.mark.parametrize(
    "training",
    [
        Training(way=3, blocks=2, epochs=3, layers=1),
        Training(way=3, blocks=2, epochs=2, batch=4, layers=2, rows="class", heads="each", rank=2, temperature=3.0),
        Training(way=3, blocks=2, epochs=2, batch=4, layers=2, rows="all", head_multiplier=5.0),
    ],
    ids=["as in the paper", "class rows", "all rows"],
)
def test_each_problem_is_the_whole_model_with_merged_weights(training, backbone, episodes, stack_for):
    projections = attention_projections(backbone, backbone.depth - training.blocks)
    names = {id(module): name for name, module in backbone.model.named_modules()}

    def adapt(model, random):
        started = lora_start(projections, training.rank, [random], torch.zeros(0))
        factors = [(down[0].requires_grad_(), up[0].requires_grad_()) for down, up in started]

        def features(pixels):
            merged = {
                f"{names[id(linear)]}.weight": linear.weight + up @ down / training.rank
                for linear, (down, up) in zip(projections, factors, strict=True)
            }
            return functional_call(model, merged, pixels)

        return [part for own in factors for part in own], features

    assert_each_problem_is_a_whole_model(lora, "lora", training, backbone, episodes, stack_for, adapt)


@pytest.mark.parametrize("kind", ["distilled", "rotary, registers", "position bias", "bias beside its projection"])
def test_other_backbones_are_fine_tuned_stack_or_no_stack_or_refused_in_words(kind, small_model):
    backbone, training = Backbone(small_model(kind)), Training(way=2, blocks=2, epochs=2, layers=2, rows="all")
    side = backbone.image_size
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, side, side, 3), dtype=torch.uint8, generator=random)
    frozen = freeze(backbone, images, blocks=2)
    tokens, features, attention = (
        part.unflatten(0, (2, 6)) for part in (frozen.tokens, frozen.features, frozen.attention)
    )
    targets = torch.tensor([[[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]], [[0, 0, 0, 1], [0, 0, 1, 0]]])

    def stack_of(own: slice) -> Stack:
        return Stack(
            support_tokens=tokens[own, :2],
            support_features=features[own, :2],
            labels=torch.tensor([[0, 1], [1, 0]])[own],
            query_tokens=tokens[own, 2:],
            query_features=features[own, 2:],
            query_attention=attention[own, 2:],
            targets=[targets[own]],
            alpha=torch.tensor([1.0, 0.3])[own],
            tau=torch.tensor([1.0, 2.0])[own],
            lr=torch.tensor([1e-2, 2e-2])[own],
            seeds=[(0, 0), (0, 1)][own],
        )

    try:
        together = lora(backbone, stack_of(slice(0, 2)), training).scores
    except ValueError as error:
        assert "backbone" in str(error)  # noqa: PT017
    else:
        alone = torch.cat([lora(backbone, stack_of(slice(i, i + 1)), training).scores for i in range(2)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
