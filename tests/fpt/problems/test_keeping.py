import numpy as np
import pytest
from scipy.special import log_softmax

from fpt.problems.keeping import kept_scores, scores_of


def test_two_bytes_a_score_keep_the_softmax():
    scores = np.random.default_rng(0).normal(0, 5, (50, 7)) + 1000
    content = kept_scores(scores)
    assert len(content) == 50 * 7 * 2
    np.testing.assert_allclose(log_softmax(scores_of(content, 7), 1), log_softmax(scores, 1), atol=0.02)


def test_the_predicted_class_is_the_only_one_at_zero():
    near = np.array([[1.0, 1.0 - 1e-12, 0.0], [2.0, 2.0, 2.0], [0.0, 1e-9, 0.0], [-1e9, 0.0, -1e-30]])
    kept = scores_of(kept_scores(near), 3)
    assert kept.argmax(1).tolist() == near.argmax(1).tolist() == [0, 0, 1, 1]
    assert ((kept == 0).sum(1) == 1).all()
    assert kept.min() == -65504


def test_scores_of_a_problem_that_failed_are_not_kept():
    with pytest.raises(ValueError, match="scores must be finite"):
        kept_scores(np.array([[0.0, np.nan]]))
    with pytest.raises(ValueError, match="scores must be rows of 3 but have 8 bytes"):
        scores_of(bytes(8), 3)
