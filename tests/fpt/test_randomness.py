import numpy as np
import pytest

from fpt.randomness import generator

PURPOSES = ("episode", "adapter", "batches", "head", "base pictures", "validation pictures", "novel pictures")


def test_a_stream_is_a_pure_function_of_its_arguments():
    first = generator(3, 7, "adapter").random(100)
    generator(3, 8, "adapter").random(5)
    np.testing.assert_array_equal(generator(3, 7, "adapter").random(100), first)


@pytest.mark.parametrize(("purpose", "place"), [("episode", 0), ("adapter", 1), ("batches", 2)])
def test_streams_are_those_that_results_in_ledgers_were_drawn_from(purpose, place):
    expected = np.random.Generator(np.random.Philox(key=[3, 3 * 7 + place])).random(10)
    np.testing.assert_array_equal(generator(3, 7, purpose).random(10), expected)


def test_every_seed_episode_and_purpose_has_its_own_stream():
    first_draws = {
        int(generator(seed, episode, purpose).integers(2**63))
        for seed in range(4)
        for episode in range(50)
        for purpose in PURPOSES
    }
    assert len(first_draws) == 4 * 50 * len(PURPOSES)


def test_streams_of_neighbouring_episodes_are_not_correlated():
    streams = np.stack([generator(0, episode, "episode").standard_normal(4000) for episode in range(20)])
    correlations = np.corrcoef(streams) - np.eye(20)
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()
    generator(0, 0, "batches").permutation(10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_large_seeds_and_episodes_do_not_wrap_around(purpose):
    assert generator(2**40, 0, purpose).random() != generator(0, 0, purpose).random()
    assert generator(0, 2**32, purpose).random() != generator(0, 0, purpose).random()
