"""What an episode knows of a patch, by a slow road in float64, and what that makes of prompts."""

import math

import numpy as np
import pytest
import torch

from fpt.backbones.backbone import Backbone
from fpt.prompts import contrast
from fpt.prompts.columnar import Evidence, gather_evidence, prompts_from
from fpt.prompts.contrast import confidence, contrasted, expected_precision, gap, log_ratios, trusted
from tests.conftest import SMALL


def log_ratios_one_by_one(tokens, labels, matched=10**9):
    """Token by token, image by image, in float64."""
    tokens = tokens.double().numpy()
    images, count, dim = tokens.shape
    mean = tokens.reshape(-1, dim).mean(0)
    unit = [[(token - mean) / np.linalg.norm(token - mean) for token in image] for image in tokens]
    step = math.ceil(count / matched)
    bank = [image[::step] for image in unit]
    cosines = [float(a @ b) for i in range(images) for j in range(images) if i != j for a in bank[i] for b in bank[j]]
    temperature = np.std(cosines) / 4
    ratios = np.zeros((images, count))
    for i in range(images):
        for n in range(count):
            likeness = {True: [], False: []}
            for j in range(images):
                if j != i:
                    kernel = np.mean([math.exp(float(unit[i][n] @ other) / temperature) for other in bank[j]])
                    likeness[bool(labels[i] == labels[j])].append(kernel)
            own, others = (math.log(np.mean(likeness[one])) if likeness[one] else 0.0 for one in (True, False))
            ratios[i, n] = own - others
    return ratios


def random_tokens(images, count=6, dim=5, seed=0):
    return torch.randn(images, count, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "labels",
    [[0, 1], [0, 1, 2, 3, 4], [0, 0, 1, 1], [0, 0, 0, 1, 2, 2], [0, 0, 0]],
    ids=["2-way 1-shot", "5-way 1-shot", "2-way 2-shot", "unequal shots", "one class"],
)
def test_log_ratios_are_those_of_the_slow_road(labels):
    tokens, labels = random_tokens(len(labels)), torch.tensor(labels)
    found = log_ratios(tokens, labels, torch.zeros_like(labels))
    np.testing.assert_allclose(found, log_ratios_one_by_one(tokens, labels), rtol=1e-4, atol=1e-4)


def test_many_tokens_are_matched_with_some_of_each_image(monkeypatch):
    monkeypatch.setattr(contrast, "MOST_MATCHED", 3)
    tokens, labels = random_tokens(4, count=8), torch.tensor([0, 0, 1, 1])
    found = log_ratios(tokens, labels, torch.zeros_like(labels))
    np.testing.assert_allclose(found, log_ratios_one_by_one(tokens, labels, matched=3), rtol=1e-4, atol=1e-4)


def test_few_cosines_at_once_give_the_same(monkeypatch):
    tokens, labels = random_tokens(6), torch.tensor([0, 0, 1, 1, 2, 2])
    whole = log_ratios(tokens, labels, torch.zeros_like(labels))
    monkeypatch.setattr(contrast, "MOST_COSINES", 80)
    torch.testing.assert_close(log_ratios(tokens, labels, torch.zeros_like(labels)), whole)


def test_episodes_of_a_batch_do_not_know_of_each_other():
    tokens = torch.cat([random_tokens(4, seed=1), 3 + random_tokens(4, seed=2)])
    labels, problem_of = torch.tensor([0, 0, 1, 1] * 2), torch.tensor([0] * 4 + [1] * 4)
    together = log_ratios(tokens, labels, problem_of)
    for problem in (0, 1):
        own = problem_of == problem
        torch.testing.assert_close(together[own], log_ratios(tokens[own], labels[own], problem_of[own]))


def test_size_and_place_of_the_tokens_do_not_matter():
    tokens, labels = random_tokens(6), torch.tensor([0, 0, 1, 1, 2, 2])
    moved = 7 * tokens + torch.randn(5, generator=torch.Generator().manual_seed(3))
    first, second = (log_ratios(one, labels, torch.zeros_like(labels)) for one in (tokens, moved))
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def planted(way, shot, seed=0):
    """Scenes of 16 places: a thing of the class, one of three things that all classes share, and the ground."""
    random = np.random.default_rng(seed)
    things, shared = random.normal(size=(way, 32)), random.normal(size=(3, 32))
    tokens = 0.1 * random.normal(size=(way * shot, 16, 32)) + random.normal(size=32)
    labels, key = torch.arange(way).repeat_interleave(shot), torch.zeros(way * shot, 16, dtype=torch.bool)
    for image, label in enumerate(labels.tolist()):
        places = random.permutation(16)
        tokens[image, places[:3]] = things[label] + 0.3 * random.normal(size=(3, 32))
        tokens[image, places[3:6]] = shared[random.integers(3)] + 0.3 * random.normal(size=(3, 32))
        key[image, places[:3]] = True
    attended = torch.full((way * shot, 16), 0.02)
    return torch.from_numpy(tokens).float(), labels, key, attended


@pytest.mark.parametrize(("way", "shot"), [(2, 3), (5, 5), (20, 2), (64, 1)])
def test_what_sets_a_class_apart_is_found(way, shot):
    tokens, labels, key, attended = planted(way, shot)
    ratios = log_ratios(tokens, labels, torch.zeros_like(labels))
    best = contrasted(attended, ratios, 1.0).topk(3).indices
    assert key.gather(1, best).float().mean() > 0.95


def test_contrasted_by_hand():
    """Half and half, three times as likely: 3 to 1; at weight 2, 9 to 1; at weight 0 as before."""
    prior, ratios = torch.tensor([[0.5, 0.5]]), torch.tensor([[math.log(3), 0.0]])
    for weight, expected in ((1.0, [0.75, 0.25]), (2.0, [0.9, 0.1]), (0.0, [0.5, 0.5])):
        torch.testing.assert_close(contrasted(prior, ratios, weight), torch.tensor([expected]))


def test_gap_by_hand():
    """Of 16 patches the one that is likeliest has ratio 3; the two that are attended to most have 3 and -1: 3 - 1."""
    importance, ratios = torch.ones(1, 16), torch.zeros(1, 16)
    importance[0, :2], ratios[0, :2] = torch.tensor([3.0, 2.0]), torch.tensor([3.0, -1.0])
    joined = contrasted(importance, ratios, 1.0)
    torch.testing.assert_close(gap(importance, joined, ratios), torch.tensor([2.0]))
    windows = [part.view(1, 2, 8) for part in (importance, joined, ratios)]  # of one patch each: (3 - 3 + 0 - 0) / 2
    torch.testing.assert_close(gap(*windows), torch.tensor([0.0]))


def test_confidence_is_nothing_where_the_episode_tells_nothing_and_grows_with_the_gap():
    assert confidence(torch.zeros(1, 4)).tolist() == [[0.0] * 4]
    gaps = torch.tensor([[0.5, 1.0, 2.0, 3.0]])
    found = confidence(gaps)
    assert (found.diff() > 0).all()
    torch.testing.assert_close(found, 2 * expected_precision(gaps) - 1)
    assert (confidence(gaps + 1) > found).all()  # an episode that tells more


def test_one_episode_is_trusted_for_itself():
    tokens, labels, _, attended = planted(5, 2)
    ratios = log_ratios(tokens, labels, torch.zeros_like(labels))
    _, alone = trusted(attended, ratios, 1.0)
    _, beside = trusted(attended.repeat(2, 1), torch.cat([ratios, 0 * ratios]), 1.0, support=10)
    torch.testing.assert_close(beside[:10], alone)
    assert beside[10:].eq(0).all()
    assert alone.min() > 0


def evidence(ratios):
    maps = 0.9 * torch.randn(10, 3, 16, 16, generator=torch.Generator().manual_seed(0)).softmax(-1)
    return Evidence(maps, torch.randn(10, 16, generator=torch.Generator().manual_seed(1)), ratios)


def test_weight_0_is_scaled_to_the_bit_and_another_takes_the_same_evidence():
    tokens, labels, key, _ = planted(5, 2)
    known = evidence(log_ratios(tokens, labels, torch.zeros_like(labels)))
    scaled = prompts_from(known, "scaled", 0.5, 3)
    none = prompts_from(known, "contrast", 0.5, 3, contrast=0.0)
    for name in ("importance", "mask", "target", "gradient_term", "confidence"):
        torch.testing.assert_close(getattr(none, name), getattr(scaled, name), rtol=0, atol=0)
    found = prompts_from(known, "contrast", 0.5, 3)
    assert (found.mask & key).sum() > (scaled.mask & key).sum()
    torch.testing.assert_close(found.target.sum(1), found.confidence)
    assert scaled.confidence.eq(1).all()


@pytest.mark.parametrize("kind", SMALL)
def test_every_kind_of_column_has_ratios_of_its_patches(kind, small_model):
    """A model that has one block alone to be compared in, or puts its class token in late, too."""
    own = Backbone(small_model(kind))
    side = own.image_size
    images = torch.randint(0, 256, (4, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels, problems = torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.long)
    head = torch.randn(1, 2, own.dim), torch.zeros(1, 2)
    known = gather_evidence(own, images, labels, head, problems, "contrast")
    tokens = own.patch_tokens(own.lower(images, max(own.depth - 2, 0))).detach()
    np.testing.assert_allclose(known.ratios, log_ratios_one_by_one(tokens, labels), rtol=1e-2, atol=1e-2)
    assert known.tokens is None


def test_a_columns_evidence_is_of_what_enters_its_second_last_block(backbone):
    images = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels, problems = torch.tensor([0, 0, 1, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    head = torch.randn(2, 2, backbone.dim), torch.zeros(2, 2)
    known = gather_evidence(backbone, images, labels, head, problems, "contrast")
    tokens = backbone.patch_tokens(backbone.lower(images, backbone.depth - 2)).detach()
    for problem in (0, 1):
        own = problems == problem
        slow = log_ratios_one_by_one(tokens[own], labels[own])
        np.testing.assert_allclose(known.ratios[own], slow, rtol=1e-3, atol=1e-3)
    plain = gather_evidence(backbone, images, labels, head, problems, "scaled")
    torch.testing.assert_close(known.maps, plain.maps, rtol=0, atol=0)
    torch.testing.assert_close(known.gradient, plain.gradient, rtol=0, atol=0)
    assert plain.ratios is None
