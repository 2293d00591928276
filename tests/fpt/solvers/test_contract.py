from dataclasses import replace

import pytest
import torch

from fpt.randomness import generator
from fpt.solvers import Training
from fpt.solvers.contract import head_scores, initial_head, mini_batches, take

SETTINGS = Training(way=3, epochs=3, batch=4)


@pytest.fixture
def stack(stack_for):
    """Eight problems of six support images."""
    return stack_for("linear_probe", SETTINGS)


def test_every_epoch_takes_every_support_image_once_and_keeps_a_short_mini_batch(stack):
    batches = list(mini_batches(stack, SETTINGS))
    assert [batch.shape for batch in batches] == [(8, 4), (8, 2)] * 3
    for epoch in range(3):
        order = torch.cat(batches[2 * epoch : 2 * epoch + 2], 1)
        assert torch.equal(order.sort(1).values, torch.arange(6).expand(8, 6))


def test_the_order_is_each_problems_own(stack, stack_for):
    orders = torch.cat(list(mini_batches(stack, SETTINGS)), 1)
    for problem, (seed, episode) in enumerate(stack.seeds):
        random = generator(seed, episode, "batches")
        expected = [int(i) for _ in range(3) for i in random.permutation(6)]
        assert orders[problem].tolist() == expected
    of_seed_and_episode = {seeds: orders[problem].tolist() for problem, seeds in enumerate(stack.seeds)}
    assert len({tuple(order) for order in of_seed_and_episode.values()}) == len(of_seed_and_episode)


@pytest.mark.parametrize("batch", [0, 6, 7])
def test_a_mini_batch_may_be_the_whole_support_set(stack, batch):
    assert list(mini_batches(stack, replace(SETTINGS, batch=batch))) == [slice(None)] * 3


def test_take_by_loops():
    tensor = torch.arange(24).view(2, 4, 3)
    chosen = torch.tensor([[3, 0], [1, 2]])
    expected = [[tensor[problem, int(i)].tolist() for i in chosen[problem]] for problem in range(2)]
    assert take(tensor, chosen).tolist() == expected
    assert torch.equal(take(tensor, slice(None)), tensor)


def test_a_multiplied_head_scores_as_itself(stack):
    weight, bias = initial_head(stack, SETTINGS)
    found = head_scores(stack.query_features, (20 * weight, 20 * bias), 20.0)
    expected = stack.query_features @ weight.transpose(1, 2) + bias[:, None]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
