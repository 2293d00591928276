from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from fpt.backbones.backbone import Backbone
from fpt.heads.closed_form import named_head
from fpt.problems import solving
from fpt.problems.evidence import prompts_of_all
from fpt.problems.frozen import Frozen, freeze
from fpt.problems.problem import EpisodeBatch, Outcome, Setting
from fpt.problems.solving import fitting_stack, solve
from fpt.prompts.columnar import gather_evidence, importance, top_patches
from fpt.prompts.variants import scaled
from fpt.registry import HEADS, SOLVERS
from fpt.solvers import Training, solver_named

LORA = Training(way=3, blocks=2, epochs=3, layers=2)
RUN_OUT = torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")
SETTINGS = [
    Setting("lora", LORA, alpha=1.0, variant="scaled", patches=6, lr=2e-2),
    Setting("protonet", LORA),
    Setting("lora", replace(LORA, batch=4), alpha=0.5, variant="paper", patches=4, lr=1e-2),
    Setting("lora", LORA, alpha=0.0, lr=1e-2),
    Setting("linear_probe", LORA, lr=0.5),
    Setting("lora", LORA, alpha=2.0, variant="masks", tau=0.5, lr=2e-2, seed=3),
]


def only(episodes: EpisodeBatch, chosen: list[int]) -> EpisodeBatch:
    """Some of the episodes."""

    def frozen(part: Frozen) -> Frozen:
        return part.change(lambda each: each[chosen])

    return EpisodeBatch(
        indices=[episodes.indices[i] for i in chosen],
        support_images=episodes.support_images[chosen],
        support=frozen(episodes.support),
        labels=episodes.labels[chosen],
        query=frozen(episodes.query),
        query_labels=episodes.query_labels[chosen],
        support_key=episodes.support_key[chosen],
        query_key=episodes.query_key[chosen],
    )


def figures(outcome: Outcome) -> list[float]:
    """Localisation figures, NaN where there is none."""
    names = ("prompt_precision", "prompt_chance", "attention_on_key_before", "attention_on_key_after")
    return [float("nan") if getattr(outcome, name) is None else getattr(outcome, name) for name in names]


def assert_same(found: list[list[Outcome]], expected: list[list[Outcome]]) -> None:
    for ours, theirs in zip(chain(*found), chain(*expected), strict=True):
        assert (ours.episode, ours.hits, ours.queries) == (theirs.episode, theirs.hits, theirs.queries)
        np.testing.assert_allclose(figures(ours), figures(theirs), rtol=1e-5)


@pytest.fixture(scope="module")
def outcomes(backbone, episodes):
    return solve(backbone, episodes, SETTINGS, stack=8)


def test_frozen_images_are_those_of_the_whole_model(backbone: Backbone, episodes):
    images = episodes.support_images[0]
    frozen = freeze(backbone, images, blocks=2)
    model = backbone.model
    tokens = model.norm_pre(model._pos_embed(model.patch_embed(backbone.normalise(images))))
    for block in model.blocks[:4]:
        tokens = block(tokens)
    torch.testing.assert_close(frozen.tokens, tokens, rtol=1e-4, atol=1e-5)
    tokens = model.blocks[4](tokens)
    q, k, _ = model.blocks[5].attn.qkv(model.blocks[5].norm1(tokens)).unflatten(2, (3, 4, 32)).unbind(2)
    attention = torch.einsum("bhc,bthc->bht", q[:, 0], k).div(32**0.5).softmax(-1).mean(1)[:, 1:]
    torch.testing.assert_close(frozen.attention, attention / attention.sum(1, keepdim=True), rtol=1e-4, atol=0)
    features = model.norm(model.blocks[5](tokens))[:, 0]
    torch.testing.assert_close(frozen.features, features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stack", [1, 3])
def test_the_size_of_stacks_does_not_matter(backbone, episodes, outcomes, stack):
    assert_same(solve(backbone, episodes, SETTINGS, stack), outcomes)


def test_the_order_and_company_of_settings_do_not_matter(backbone, episodes, outcomes):
    assert_same(solve(backbone, episodes, SETTINGS[::-1], stack=8), outcomes[::-1])
    assert_same(solve(backbone, episodes, SETTINGS[2:3], stack=8), outcomes[2:3])


def test_the_order_and_company_of_episodes_do_not_matter(backbone, episodes, outcomes):
    chosen = [3, 1]
    found = solve(backbone, only(episodes, chosen), SETTINGS, stack=8)
    assert_same(found, [[of_setting[i] for i in chosen] for of_setting in outcomes])


def test_the_same_bits_twice(backbone, episodes, outcomes):
    found = solve(backbone, episodes, SETTINGS, stack=8)
    for ours, theirs in zip(chain(*found), chain(*outcomes), strict=True):
        assert torch.equal(ours.logits, theirs.logits)
        assert vars(ours) | {"logits": None} == vars(theirs) | {"logits": None}


def test_hits_are_right_queries_of_each_class(episodes, outcomes):
    for episode, outcome in enumerate(outcomes[1]):
        support, query = (part.features[episode].double() for part in (episodes.support, episodes.query))
        means = torch.stack([support[episodes.labels[episode] == way].mean(0) for way in range(3)])
        right = torch.cdist(query, means).argmin(-1) == episodes.query_labels[episode]
        hits = tuple(int(right[episodes.query_labels[episode] == way].sum()) for way in range(3))
        assert (outcome.episode, outcome.hits) == (episodes.indices[episode], hits)
        assert (outcome.queries, outcome.failed) == (12, False)
        assert outcome.accuracy == sum(hits) / 12


def test_localisation_by_hand(backbone, episodes, outcomes):
    prompts = prompts_of_all(backbone, episodes, SETTINGS)
    for i, of_setting in enumerate(outcomes):
        for episode, outcome in enumerate(of_setting):
            prompted, key = (mask[episode].numpy() for mask in (prompts[i].mask, episodes.support_key))
            if not prompted.any():
                assert outcome.prompt_precision is None
                assert outcome.prompt_chance is None
                continue
            shares = [(own & shown).sum() / own.sum() for own, shown in zip(prompted, key, strict=True)]
            assert outcome.prompt_precision == pytest.approx(np.mean(shares))
            assert outcome.prompt_chance == pytest.approx(key.mean())
    before = (episodes.query.seen.attention * episodes.query_key).sum(-1).mean(-1)
    for of_setting in outcomes:
        assert [outcome.attention_on_key_before for outcome in of_setting] == pytest.approx(before.tolist())
    for unchanged in (outcomes[1], outcomes[4]):
        assert all(outcome.attention_on_key_after == outcome.attention_on_key_before for outcome in unchanged)
    assert all(outcome.attention_on_key_after != outcome.attention_on_key_before for outcome in outcomes[0])
    assert all(outcome.prompt_precision == pytest.approx(1) for outcome in outcomes[5])


def test_true_masks_as_prompts_draw_attention_to_the_key(backbone, episodes):
    training = replace(LORA, rows="class", epochs=10)
    with_masks, without = solve(
        backbone,
        episodes,
        [Setting("lora", training, variant="masks", alpha=alpha, lr=2e-2) for alpha in (10.0, 0.0)],
        stack=8,
    )
    gained = [a.attention_on_key_after - b.attention_on_key_after for a, b in zip(with_masks, without, strict=True)]
    assert np.mean(gained) > 0


def test_data_without_masks_has_no_localisation(backbone, episodes, outcomes):
    unmasked = replace(episodes, support_key=None, query_key=None)
    (found,) = solve(backbone, unmasked, SETTINGS[:1], stack=8)
    for outcome, with_masks in zip(found, outcomes[0], strict=True):
        assert outcome.hits == with_masks.hits
        assert outcome.prompt_precision is None
        assert outcome.prompt_chance is None
        assert outcome.attention_on_key_before is None
        assert outcome.attention_on_key_after is None


@pytest.mark.parametrize("head", ["protonet", "r2d2", "metaoptnet", "random"])
def test_prompts_are_those_of_each_image_alone(backbone, episodes, head):
    """Image by image, under the head of its own episode."""
    training = replace(LORA, head=head, temperature=2.0)
    fields = {"order": "rollout", "lam": 3.0, "alpha": 1.0, "patches": 5, "seed": 4}
    setting = Setting("lora", training, variant="scaled", **fields)
    (found,) = prompts_of_all(backbone, episodes, [setting])
    for episode in range(4):
        features, labels = episodes.support.features[[episode]], episodes.labels[[episode]]
        own_head = named_head(head, features, labels, 3, 2.0, [(4, episodes.indices[episode])])
        for image in range(6):
            evidence = gather_evidence(
                backbone,
                episodes.support_images[episode, image][None],
                episodes.labels[episode, image][None],
                own_head,
                torch.tensor([0]),
                "scaled",
            )
            expected = top_patches(importance(evidence.maps, scaled(evidence.gradient), 3.0, "rollout"), 5)
            assert torch.equal(found.mask[episode, image], expected[0])
            torch.testing.assert_close(found.targets[0][episode, image], expected[0] / 5)


def test_only_steered_solvers_with_a_positive_alpha_are_prompted(backbone, episodes):
    prompts = prompts_of_all(backbone, episodes, SETTINGS)
    counts = [set(of_setting.mask.sum(-1).flatten().tolist()) for of_setting in prompts]
    assert counts[:5] == [{6}, {0}, {4}, {0}, {0}]
    assert torch.equal(prompts[5].mask, episodes.support_key)


def test_scores_that_are_not_finite_are_no_accuracy(backbone, episodes):
    diverging = replace(SETTINGS[4], lr=float("inf"))
    failed, sound = solve(backbone, episodes, [diverging, SETTINGS[4]], stack=8)
    assert all(outcome.failed and outcome.accuracy is None for outcome in failed)
    assert not any(outcome.failed or outcome.accuracy is None for outcome in sound)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"solver": "magic"}, f"solver must be one of {', '.join(SOLVERS)} but got 'magic'"),
        ({"variant": "own"}, "variant must be one of paper, scaled, contrast, official, masks but got 'own'"),
        ({"order": "reverse"}, "order must be one of paper, rollout but got 'reverse'"),
        ({"patches": 65}, "patches must be from 1 to 64 but got 65"),
        ({"training": replace(LORA, head="tail")}, f"head must be one of {', '.join(HEADS)} but got 'tail'"),
        ({"training": replace(LORA, rows="none")}, "rows must be one of patches, all, class but got 'none'"),
        ({"training": replace(LORA, heads="few")}, "heads must be one of mean, each but got 'few'"),
    ],
)
def test_a_wrong_setting_is_named(backbone, episodes, changed, message):
    with pytest.raises(ValueError, match=message):
        solve(backbone, episodes, [replace(SETTINGS[0], **changed)], stack=8)


def test_masks_need_data_that_has_them(backbone, episodes):
    with pytest.raises(ValueError, match="variant must not be masks for data without masks"):
        solve(backbone, replace(episodes, support_key=None), [SETTINGS[5]], stack=8)


def test_a_stack_that_memory_does_not_hold_is_halved_until_it_does(backbone, episodes, monkeypatch):
    settings = SETTINGS[0], replace(SETTINGS[0], alpha=2.0)
    expected = solve(backbone, episodes, settings, 8)
    lora, sizes = solver_named("lora"), []

    def tight(backbone, stack, training):
        sizes.append(stack.size)
        if stack.size > 2:
            raise RUN_OUT[len(sizes) % 2]
        return lora(backbone, stack, training)

    monkeypatch.setattr(solving, "solver_named", lambda name: tight)
    assert_same(solve(backbone, episodes, settings, 8), expected)
    assert sizes == [8, 4, 2, 2, 2, 2]


def test_a_problem_that_no_memory_holds_and_other_errors_are_not_hidden(backbone, episodes, monkeypatch):
    for error in (*RUN_OUT, RuntimeError("shapes do not match")):

        def failing(backbone, stack, training, error=error):
            raise error

        monkeypatch.setattr(solving, "solver_named", lambda name, failing=failing: failing)
        with pytest.raises(RuntimeError, match=str(error)):
            solve(backbone, episodes, [SETTINGS[0]], 8)


def test_a_stack_is_as_large_as_memory_allows(episodes, monkeypatch):
    """By hand: 6 support images of 65 x 128 float32 tokens, 2 blocks, 24 times, within a quarter."""
    each = 6 * 65 * 128 * 4 * 2 * 24
    for memory, size in ((4 * each * 3 + 1, 3), (1, 1), (2**50, 8)):
        monkeypatch.setattr("fpt.problems.solving.held_by", lambda device, memory=memory: memory)
        assert fitting_stack(episodes, SETTINGS[0].training) == size
    monkeypatch.setattr("fpt.problems.solving.held_by", lambda device: 4 * each)
    assert fitting_stack(episodes, replace(SETTINGS[0].training, batch=3)) == 2
