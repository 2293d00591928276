import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from fpt.heads.closed_form import (
    RIDGE,
    class_means,
    metaoptnet,
    named_head,
    protonet,
    r2d2,
    random,
    scores,
    zero,
)
from tests.fpt.heads.test_svm_dual import by_sequential_programming

STACK, WAY, SHOT, DIM, TEMPERATURE = 3, 4, 5, 24, 2.5
OF_FEATURES = {"protonet": protonet, "r2d2": r2d2, "metaoptnet": metaoptnet, "zero": zero}  # all but the random one


@pytest.fixture(scope="module")
def support():
    """Features with an offset, as real ones have, and labels in another order for every problem."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(STACK, WAY * SHOT, DIM, generator=random) + 1
    labels = torch.stack([torch.randperm(WAY * SHOT, generator=random) % WAY for _ in range(STACK)])
    return features, labels


@pytest.fixture(scope="module")
def queries():
    return torch.randn(STACK, 7, DIM, generator=torch.Generator().manual_seed(1)) + 1


def test_class_means(support):
    features, labels = support
    means = class_means(features, labels, WAY)
    for s in range(STACK):
        for way in range(WAY):
            members = [features[s, i].double() for i in range(WAY * SHOT) if labels[s, i] == way]
            torch.testing.assert_close(means[s, way].double(), sum(members) / SHOT, rtol=1e-5, atol=1e-6)


def test_protonet_is_the_nearest_mean_by_squared_distance(support, queries):
    features, labels = support
    logits = scores(queries, protonet(features, labels, WAY, TEMPERATURE)).double().numpy()
    f, z = queries.double().numpy(), class_means(features, labels, WAY).double().numpy()
    expected = -np.square(f[:, :, None] - z[:, None]).sum(-1) / TEMPERATURE
    shared = logits - expected  # what all classes of an image share: |f|^2
    np.testing.assert_allclose(shared, np.broadcast_to(shared[..., :1], shared.shape), rtol=1e-5)
    np.testing.assert_array_equal(logits.argmax(-1), expected.argmax(-1))


def test_r2d2_is_ridge_regression_onto_one_hot_labels(support, queries):
    features, labels = support
    logits = scores(queries, r2d2(features, labels, WAY, TEMPERATURE)).numpy()
    for s in range(STACK):
        ridge = Ridge(alpha=RIDGE, fit_intercept=False)
        ridge.fit(features[s].double().numpy(), np.eye(WAY)[labels[s].numpy()])
        np.testing.assert_allclose(logits[s], ridge.predict(queries[s].double().numpy()) / TEMPERATURE, atol=1e-5)


def test_r2d2_solves_the_primal_normal_equations(support):
    features, labels = support
    weight = r2d2(features, labels, WAY, 1.0)[0]
    for s in range(STACK):
        x, y = features[s].double().numpy(), np.eye(WAY)[labels[s].numpy()]
        primal = np.linalg.solve(x.T @ x + RIDGE * np.eye(DIM), x.T @ y).T
        np.testing.assert_allclose(weight[s].numpy(), primal, atol=1e-6)


def test_metaoptnet_is_the_support_vector_machine_of_a_general_solver(support):
    features, labels = support
    weight, bias = metaoptnet(features[:, :8], labels[:, :8], WAY, TEMPERATURE)
    assert torch.equal(bias, torch.zeros(STACK, WAY))
    for s in range(STACK):
        x = features[s, :8].double().numpy()
        dual = by_sequential_programming(x @ x.T, labels[s, :8].numpy(), WAY)
        np.testing.assert_allclose(weight[s].numpy(), dual.T @ x / TEMPERATURE, atol=1e-5)


def test_random_is_drawn_as_torchs_linear_layer_for_each_seed_and_episode():
    seeds = [(0, 5), (0, 6), (1, 5), (0, 5)]
    weight, bias = random(seeds, 50, 400, 1.0, torch.zeros(0))
    assert torch.equal(weight[0], weight[3])
    assert torch.equal(bias[0], bias[3])
    correlations = np.corrcoef(weight[:3].flatten(1).numpy()) - np.eye(3)
    assert np.abs(correlations).max() < 5 / np.sqrt(50 * 400)
    drawn = torch.cat([weight[0].flatten(), bias[0]]) * 400**0.5
    assert 0.99 < drawn.abs().max() <= 1
    assert abs(drawn.mean()) < 0.02
    assert drawn.var() == pytest.approx(1 / 3, rel=0.02)


def test_heads_by_their_names(support):
    for name, head in OF_FEATURES.items():
        expected = head(*support, WAY, TEMPERATURE)
        assert all(map(torch.equal, named_head(name, *support, WAY, TEMPERATURE, [(0, 0)] * STACK), expected))
    seeds = [(0, 1), (0, 2), (3, 1)]
    weight, bias = named_head("random", *support, WAY, TEMPERATURE, seeds)
    expected_weight, expected_bias = random(seeds, WAY, DIM, 1.0, torch.zeros(0))
    torch.testing.assert_close((weight, bias), (expected_weight / TEMPERATURE, expected_bias / TEMPERATURE))
    with pytest.raises(ValueError, match="head must be one of protonet, r2d2, metaoptnet, zero, random but got 'tail'"):
        named_head("tail", *support, WAY, TEMPERATURE, seeds)


def test_zero_has_no_opinion(support, queries):
    assert torch.equal(scores(queries, zero(*support, WAY, TEMPERATURE)), torch.zeros(STACK, 7, WAY))


@pytest.mark.parametrize("name", OF_FEATURES)
def test_temperature_divides_the_scores(name, support, queries):
    warm, cold = (scores(queries, OF_FEATURES[name](*support, WAY, temperature)) for temperature in (TEMPERATURE, 1.0))
    torch.testing.assert_close(warm, cold / TEMPERATURE)


@pytest.mark.parametrize("name", OF_FEATURES)
def test_a_problem_of_a_stack_has_the_head_it_has_alone(name, support):
    features, labels = support
    stacked = OF_FEATURES[name](features, labels, WAY, TEMPERATURE)
    for s in range(STACK):
        alone = OF_FEATURES[name](features[s : s + 1], labels[s : s + 1], WAY, TEMPERATURE)
        for part, own in zip(stacked, alone, strict=True):
            torch.testing.assert_close(part[s], own[0], rtol=1e-5, atol=1e-6)


def test_scores_are_weight_times_feature_plus_bias():
    features = torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]])
    weight = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[2.0, 1.0], [0.0, 4.0]]])
    bias = torch.tensor([[10.0, 0.0], [0.0, -1.0]])
    assert scores(features, (weight, bias)).tolist() == [[[11.0, 1.5]], [[5.0, -5.0]]]
