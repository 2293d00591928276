import numpy as np
import pytest
import torch
from scipy.special import softmax

from fpt.problems.ensemble import mean_softmax
from fpt.problems.problem import Outcome


def outcome(logits, episode=3, failed=False, after=0.4):
    return Outcome(episode, (0, 0), 4, failed, 0.5, 0.1, 0.3, after, torch.tensor(logits))


SURE = [[5.0, 0.0], [0.0, 5.0], [5.0, 0.0], [1.0, 0.0]]
UNSURE = [[0.0, 0.5], [0.5, 0.0], [0.0, 0.5], [0.0, 2.0]]
LABELS = torch.tensor([0, 1, 1, 1])


def test_the_mean_of_probabilities_decides():
    together = mean_softmax([outcome(SURE), outcome(UNSURE, after=0.6)], LABELS)
    expected = (softmax(np.array(SURE), axis=1) + softmax(np.array(UNSURE), axis=1)) / 2
    np.testing.assert_allclose(together.logits.exp(), expected, atol=1e-12)
    right = expected.argmax(1) == LABELS.numpy()
    assert right.tolist() == [True, True, False, True]  # the last of one member's mind, the others of the other's
    assert together.hits == (1, 2)
    assert (together.episode, together.queries, together.accuracy) == (3, 4, 0.75)
    assert together.attention_on_key_after == pytest.approx(0.5)
    assert (together.prompt_precision, together.prompt_chance) == (None, None)


def test_one_member_is_itself():
    assert mean_softmax([outcome(SURE)], LABELS).hits == (1, 1)  # the third and the last are taken for the first class


def test_an_ensemble_fails_with_a_member():
    assert mean_softmax([outcome(SURE), outcome([[np.nan, 0.0]] * 4, failed=True)], LABELS).accuracy is None
    assert mean_softmax([outcome(SURE), outcome(SURE, after=None)], LABELS).attention_on_key_after is None


def test_members_are_of_one_episode():
    with pytest.raises(ValueError, match=r"^members must be of one episode but are of \[3, 4\]$"):
        mean_softmax([outcome(SURE), outcome(SURE, episode=4)], LABELS)
