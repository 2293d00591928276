"""One problem on timm's whole model, from its images up: unfused attention, torch's own optimisers, plain loops."""

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F

from fpt.heads.closed_form import named_head
from fpt.randomness import generator


class WholeModel:
    """`adapt` takes the copied model and the random generator of adapters; it gives leaves, and features of pixels."""

    def __init__(self, backbone, stack, training, problem, adapt, prefix=1, optimiser=torch.optim.AdamW):
        self.model, self.training, self.prefix, self.maps = copy.deepcopy(backbone.model), training, prefix, []
        for block in self.model.blocks:
            block.attn.fused_attn = False
            block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: self.maps.append(inputs[0]))
        self.leaves, self.features = adapt(self.model, generator(*stack.seeds[problem], "adapter"))
        own = slice(problem, problem + 1)
        head = named_head(
            training.head, stack.support_features[own], stack.labels[own], training.way, training.temperature, []
        )
        self.head = [(training.head_multiplier * part[0]).requires_grad_() for part in head]
        self.optimiser = optimiser([*self.head, *self.leaves], lr=float(stack.lr[problem]))

    def __call__(self, pixels):
        """Scores, and the attention of every layer with all its heads."""
        self.maps.clear()
        return F.linear(self.features(pixels), *self.head) / self.training.head_multiplier, self.maps

    def concentration(self, maps, target, tau):
        """Mean log-attention to the targets. Softmaxed attention is its logits up to a constant a row."""
        rows = {"patches": slice(self.prefix, None), "all": slice(None), "class": slice(1)}[self.training.rows]
        found = []
        for map_ in maps[len(maps) - self.training.layers :]:
            logits = map_[:, :, rows, self.prefix :].log()
            if self.training.heads == "mean":
                logits = logits.mean(1, keepdim=True)
            log_attention = F.log_softmax(logits / tau, -1)
            found.append(torch.stack([(log_attention[i] * own).sum(-1).mean() for i, own in enumerate(target)]))
        return torch.stack(found).mean(0)

    def train(self, pixels, labels, target, alpha, tau, seeds):
        random = generator(*seeds, "batches")
        for _ in range(self.training.epochs):
            order = torch.from_numpy(random.permutation(len(labels)))
            for chosen in order.split(self.training.batch or len(labels)):
                self.optimiser.zero_grad()
                scores, maps = self(pixels[chosen])
                loss = F.cross_entropy(scores, labels[chosen])
                if alpha > 0:
                    loss = loss - alpha * self.concentration(maps, target[chosen], tau).mean()
                loss.backward()
                self.optimiser.step()


def assert_each_problem_is_a_whole_model(solve, name, training, backbone, episodes, stack_for, adapt, **options):
    """Asked about its own support images, for the whole model starts from images. It moves far more than it differs."""
    members = [(0, 0), (2, 2), (5, 1), (7, 3)]  # no prompts, estimated ones, masks, the released code's
    stack = stack_for(name, training, members)
    stack = replace(
        stack,
        query_tokens=stack.support_tokens,
        query_features=stack.support_features,
        query_attention=episodes.support.attention[[episode for _, episode in members]],
    )
    solution = solve(backbone, stack, training)
    for problem, (_, episode) in enumerate(members):
        pixels = backbone.normalise(episodes.support_images[episode])
        alone = WholeModel(backbone, stack, training, problem, adapt, **options)
        with torch.no_grad():
            before = alone(pixels)[0]
        alpha, tau = float(stack.alpha[problem]), float(stack.tau[problem])
        alone.train(pixels, stack.labels[problem], stack.targets[0][problem], alpha, tau, stack.seeds[problem])
        with torch.no_grad():
            scores, maps = alone(pixels)
        patches = maps[-1].mean(1)[:, 0, alone.prefix :]
        precision = 1e-5 * float(scores.abs().max())
        assert (scores - before).abs().max() > 20 * precision
        torch.testing.assert_close(solution.scores[problem], scores, rtol=0, atol=precision)
        expected = patches / patches.sum(1, keepdim=True)
        torch.testing.assert_close(solution.query_attention[problem], expected, rtol=1e-4, atol=0)


def with_blocks(blocks, backbone, episodes, stack_for):
    """`stack_for`, of tokens that enter another block than the last but one."""

    def stack(solver, training, members):
        made = stack_for(solver, replace(training, blocks=2), members)
        images = episodes.support_images[[episode for _, episode in members]]
        tokens = backbone.lower(images.flatten(0, 1), backbone.depth - blocks)
        return replace(made, support_tokens=tokens.unflatten(0, images.shape[:2]))

    return stack
