import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from fpt.adapters import attention_projections, lora_start
from fpt.backbones import Backbone
from fpt.heads import protonet
from fpt.problems import freeze
from fpt.randomness import generator
from fpt.solvers import Settings, Stack
from fpt.solvers.lora import lora

PREFIX = 1


class WholeModel:
    """One problem on the whole model from its images up: merged weights, unfused attention, torch's AdamW."""

    def __init__(self, backbone, stack, training, problem):
        self.model, self.training, self.maps = copy.deepcopy(backbone.model), training, []
        for block in self.model.blocks:
            block.attn.fused_attn = False
            block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: self.maps.append(inputs[0]))
        start = backbone.depth - training.blocks
        projections = attention_projections(backbone, start)
        random = generator(*stack.seeds[problem], "adapter")
        names = {id(module): name for name, module in backbone.model.named_modules()}
        self.names = [f"{names[id(linear)]}.weight" for linear in projections]
        self.frozen = [linear.weight for linear in projections]
        started = lora_start(projections, training.rank, [random], torch.device("cpu"))
        self.factors = [(down[0].requires_grad_(), up[0].requires_grad_()) for down, up in started]
        head = protonet(stack.support_features[[problem]], stack.labels[[problem]], training.way, training.temperature)
        self.head = [(training.head_multiplier * part[0]).requires_grad_() for part in head]

    def __call__(self, pixels):
        """Scores, and the attention of every layer with all its heads."""
        self.maps.clear()
        merged = {
            name: weight + up @ down / self.training.rank
            for name, weight, (down, up) in zip(self.names, self.frozen, self.factors, strict=True)
        }
        features = functional_call(self.model, merged, pixels)
        return F.linear(features, *self.head) / self.training.head_multiplier, self.maps

    def concentration(self, maps, prompts, tau):
        """Mean log-attention to the prompted patches. Softmaxed attention is its logits up to a constant a row."""
        rows = {"patches": slice(PREFIX, None), "all": slice(None), "class": slice(1)}[self.training.rows]
        found = []
        for map_ in maps[len(maps) - self.training.layers :]:
            logits = map_[:, :, rows, PREFIX:].log()
            if self.training.heads == "mean":
                logits = logits.mean(1, keepdim=True)
            log_attention = F.log_softmax(logits / tau, -1)
            found.append(torch.stack([log_attention[i][..., own].mean() for i, own in enumerate(prompts)]))
        return torch.stack(found).mean(0)

    def train(self, pixels, labels, prompts, alpha, tau, rate, seeds):
        leaves = [*self.head, *(part for factors in self.factors for part in factors)]
        optimiser = torch.optim.AdamW(leaves, lr=rate)
        random = generator(*seeds, "batches")
        for _ in range(self.training.epochs):
            order = torch.from_numpy(random.permutation(len(labels)))
            for chosen in order.split(self.training.batch or len(labels)):
                optimiser.zero_grad()
                scores, maps = self(pixels[chosen])
                loss = F.cross_entropy(scores, labels[chosen])
                if alpha > 0:
                    loss = loss - alpha * self.concentration(maps, prompts[chosen], tau).mean()
                loss.backward()
                optimiser.step()


@pytest.mark.parametrize(
    "training",
    [
        Settings(way=3, blocks=2, epochs=3, layers=1),
        Settings(way=3, blocks=2, epochs=2, batch=4, layers=2, rows="class", heads="each", rank=2, temperature=3.0),
        Settings(way=3, blocks=2, epochs=2, batch=4, layers=2, rows="all", head_multiplier=5.0),
    ],
    ids=["as in the paper", "class rows", "all rows"],
)
def test_each_problem_is_the_whole_model_with_merged_weights(training, backbone, episodes, stack_for):
    """Asked about its own support images, for the whole model starts from images."""
    members = [(0, 0), (2, 2), (5, 1)]  # no prompts, estimated ones, masks
    stack = stack_for("lora", training, members)
    stack = replace(
        stack,
        query_tokens=stack.support_tokens,
        query_features=stack.support_features,
        query_attention=episodes.support.attention[[episode for _, episode in members]],
    )
    solution = lora(backbone, stack, training)
    for problem, (_, episode) in enumerate(members):
        pixels = backbone.normalise(episodes.support_images[episode])
        alone = WholeModel(backbone, stack, training, problem)
        with torch.no_grad():
            before = alone(pixels)[0]
        hyper_parameters = (float(values[problem]) for values in (stack.alpha, stack.tau, stack.rate))
        alone.train(pixels, stack.labels[problem], stack.prompts[problem], *hyper_parameters, stack.seeds[problem])
        with torch.no_grad():
            scores, maps = alone(pixels)
        patches = maps[-1].mean(1)[:, 0, PREFIX:]
        assert (scores - before).abs().max() > 0.1
        torch.testing.assert_close(solution.scores[problem], scores, rtol=0, atol=3e-4)
        expected = patches / patches.sum(1, keepdim=True)
        torch.testing.assert_close(solution.query_attention[problem], expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", ["distilled", "rotary, registers", "position bias", "bias beside its projection"])
def test_other_backbones_are_fine_tuned_stack_or_no_stack_or_refused_in_words(kind, small_model):
    backbone, training = Backbone(small_model(kind)), Settings(way=2, blocks=2, epochs=2, layers=2, rows="all")
    side = backbone.image_size
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, side, side, 3), dtype=torch.uint8, generator=random)
    frozen = freeze(backbone, images, blocks=2)
    tokens, features, attention = (
        part.unflatten(0, (2, 6)) for part in (frozen.tokens, frozen.features, frozen.attention)
    )

    def stack_of(own: slice) -> Stack:
        return Stack(
            support_tokens=tokens[own, :2],
            support_features=features[own, :2],
            labels=torch.tensor([[0, 1], [1, 0]])[own],
            query_tokens=tokens[own, 2:],
            query_features=features[own, 2:],
            query_attention=attention[own, 2:],
            prompts=torch.tensor([[[1, 0, 0, 0], [1, 1, 0, 0]], [[0, 0, 0, 1], [0, 0, 1, 0]]])[own].bool(),
            alpha=torch.tensor([1.0, 0.3])[own],
            tau=torch.tensor([1.0, 2.0])[own],
            rate=torch.tensor([1e-2, 2e-2])[own],
            seeds=[(0, 0), (0, 1)][own],
        )

    try:
        together = lora(backbone, stack_of(slice(0, 2)), training).scores
    except ValueError as error:
        assert "backbone" in str(error)  # noqa: PT017
    else:
        alone = torch.cat([lora(backbone, stack_of(slice(i, i + 1)), training).scores for i in range(2)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
