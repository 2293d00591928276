"""SSF and full fine-tuning of a whole model, embeddings too, beside timm's unfrozen model under torch's own AdamW."""

import copy
from types import SimpleNamespace

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

import fpt
from fpt.backbones.backbone import Backbone
from fpt.heads.closed_form import named_head
from fpt.solvers import Training
from tests.fpt.solvers.whole_model import WholeModel

SIDES = {"test_vit": 32, "vit_micro_glyphs": 64}
RATES = {"ssf": 2e-3, "full": 1e-5}  # Adam's steps are as large as the rate, rounding or not


class Changed(nn.Module):
    """A layer, then scale and shift: of channels, behind a convolution, and so before positions are added."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.scale = torch.ones_like(layer.weight.flatten(1)[:, 0] if layer.weight.ndim > 1 else layer.weight)
        self.shift = torch.zeros_like(self.scale)
        self.scale.requires_grad_()
        self.shift.requires_grad_()

    def forward(self, inputs):
        after = [1] * (2 if isinstance(self.layer, nn.Conv2d) else 0)
        return self.layer(inputs) * self.scale.view(-1, *after) + self.shift.view(-1, *after)


def scales_and_shifts(model, random):
    """By hand: behind the projection of patches, six places of every block, and the last norm; in Swin behind the norms
    of patches, before and as they are merged, too.
    """
    stem, stages = model.patch_embed, list(getattr(model, "layers", ()))
    name = "proj" if hasattr(stem, "proj") else "project"
    setattr(stem, name, Changed(getattr(stem, name)))
    if stages:
        stem.norm = Changed(stem.norm)
    for merging in (stage.downsample for stage in stages[1:]):
        merging.norm = Changed(merging.norm)
    blocks = [block for stage in stages for block in stage.blocks] or model.blocks
    for block in blocks:
        block.norm1, block.norm2 = Changed(block.norm1), Changed(block.norm2)
        block.attn.qkv, block.attn.proj = Changed(block.attn.qkv), Changed(block.attn.proj)
        block.mlp.fc1, block.mlp.fc2 = Changed(block.mlp.fc1), Changed(block.mlp.fc2)
    model.norm = Changed(model.norm)
    changed = [module for module in model.modules() if isinstance(module, Changed)]
    assert len(changed) == 1 + len(stages) + 6 * len(blocks) + 1
    return [leaf for module in changed for leaf in (module.scale, module.shift)], model


def every_weight(model, random):
    names = {name for name, _ in model.named_parameters()}
    assert {"cls_token", "pos_embed"} < names or not hasattr(model, "pos_embed")
    assert any(name.startswith("patch_embed.") for name in names)
    return [weight.requires_grad_() for weight in model.parameters()], model


ADAPT = {"ssf": scales_and_shifts, "full": every_weight}


def episode(index, side, way=3, shot=2, query=3):
    random = torch.Generator().manual_seed(index)
    support, asked = (torch.arange(way).repeat_interleave(each) for each in (shot, query))
    images = torch.randint(0, 256, (way * (shot + query), side, side, 3), dtype=torch.uint8, generator=random)
    return fpt.Episode(images[: way * shot], support, images[way * shot :], asked, index)


def slowly(backbone, one, solver, training, seed, variant, options):
    """Scores of the queries before and after: one episode, its own copy of the model, from pixels in every step."""
    support, query = backbone.normalise(one.support_images), backbone.normalise(one.query_images)
    with torch.no_grad():
        features = backbone.features(support)
    stack = SimpleNamespace(
        support_features=features[None],
        labels=one.support_labels[None],
        lr=torch.tensor([RATES[solver]], dtype=torch.float64),
        seeds=[(seed, one.index)],
    )
    alone = WholeModel(backbone, stack, training, 0, ADAPT[solver])
    weight, bias = named_head(training.head, features[None], one.support_labels[None], training.way, 1.0, stack.seeds)
    scale = training.head_multiplier if variant == "official" else 1.0
    prompted = {name: options[name] for name in ("lam", "patches")}
    prompts = fpt.position_prompts(
        backbone,
        one.support_images,
        one.support_labels,
        scale * weight[0],
        scale * bias[0],
        variant=variant,
        **prompted,
    )
    with torch.no_grad():
        before = alone(query)[0]
    alone.train(support, one.support_labels, prompts.target, options["alpha"], options["tau"], (seed, one.index))
    with torch.no_grad():
        return before, alone(query)[0]


@pytest.mark.parametrize(("variant", "rows"), [("scaled", "patches"), ("official", "all")])
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("solver", ADAPT)
@pytest.mark.parametrize("name", SIDES)
def test_each_episode_is_an_unfrozen_model_of_its_own(name, solver, dtype, variant, rows):
    """In one stack. The rows are named to the slow way alone: a variant brings its own."""
    backbone = fpt.load_backbone(name, image_size=SIDES[name], dtype=dtype)
    episodes = [episode(index, SIDES[name]) for index in (4, 7, 5)]
    options = {"alpha": 0.1, "tau": 1.0, "lam": 0.3, "patches": 3}
    shared = {"blocks": backbone.depth, "embeddings": True, "epochs": 3, "batch": 4, "head": "r2d2"}
    records = fpt.solve(
        backbone, episodes, solver=solver, seed=1, lr=RATES[solver], variant=variant, **shared, **options
    )
    training = Training(way=3, rows=rows, **shared)
    for one, record in zip(episodes, records, strict=True):
        before, after = slowly(backbone, one, solver, training, 1, variant, options)
        precision = {torch.float32: 1e-5, torch.float64: 1e-13}[dtype] * float(after.abs().max())
        assert (after - before).abs().max() > 20 * precision
        torch.testing.assert_close(record.logits, after, rtol=0, atol=precision)
        assert torch.equal(record.predictions, after.argmax(-1))


@pytest.fixture(scope="module")
def swin():
    """Two stages of two blocks."""
    options = {"img_size": 56, "depths": (2, 2), "embed_dim": 24, "num_heads": (2, 4), "num_classes": 0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Backbone(timm.create_model("swin_tiny_patch4_window7_224", **options).double())


@pytest.mark.parametrize("solver", ADAPT)
def test_a_pyramid_merges_its_patches_by_what_was_adapted(solver, swin):
    """Without prompts, which other tests see to."""
    shared = {"blocks": swin.depth, "embeddings": True, "epochs": 3, "head": "r2d2"}
    episodes, rate = [episode(index, 56) for index in (4, 7)], RATES[solver]
    records = fpt.solve(swin, episodes, solver=solver, seed=1, lr=rate, alpha=0.0, **shared)
    for one, record in zip(episodes, records, strict=True):
        support, labels = swin.normalise(one.support_images), one.support_labels
        with torch.no_grad():
            weight, bias = named_head("r2d2", swin.features(support)[None], labels[None], 3, 1.0, [])
        leaves, model = ADAPT[solver](copy.deepcopy(swin.model), None)
        head = [(20 * part[0]).requires_grad_() for part in (weight, bias)]
        optimiser = torch.optim.AdamW([*head, *leaves], lr=rate)
        for _ in range(3):
            optimiser.zero_grad()
            F.cross_entropy(F.linear(model(support), *head) / 20, labels).backward()
            optimiser.step()
        with torch.no_grad():
            expected = F.linear(model(swin.normalise(one.query_images)), *head) / 20
        torch.testing.assert_close(record.logits, expected, rtol=0, atol=1e-13 * float(expected.abs().max()))


@pytest.mark.parametrize("solver", ADAPT)
def test_prompts_reach_the_embeddings_of_a_pyramid(solver, swin):
    shared = {"blocks": swin.depth, "embeddings": True, "epochs": 2, "head": "r2d2", "patches": 3, "seed": 1}
    episodes = [episode(index, 56) for index in (4, 7)]
    options = {**shared, "solver": solver, "lr": RATES[solver], "variant": "official"}
    plain, together = (fpt.solve(swin, episodes, alpha=alpha, **options) for alpha in (0.0, 1.0))
    for one, without, record in zip(episodes, plain, together, strict=True):
        (alone,) = fpt.solve(swin, [one], alpha=1.0, **options)
        precision = 1e-13 * float(alone.logits.abs().max())
        torch.testing.assert_close(record.logits, alone.logits, rtol=0, atol=precision)
        assert (record.logits - without.logits).abs().max() > 1000 * precision
