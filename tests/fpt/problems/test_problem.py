import pytest
import torch

from fpt.problems.problem import Outcome, Setting, check_adapted
from fpt.registry import SOLVERS
from fpt.solvers import Training


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_problem_is_steered_by_a_solver_that_takes_prompts_at_an_alpha(solver):
    steered = [Setting(solver, Training(way=2), alpha=alpha).steered for alpha in (0.0, 0.1)]
    assert steered == [False, solver in ("full", "vpt", "lora", "ssf")]


@pytest.mark.parametrize(
    ("solver", "training", "message"),
    [
        ("lora", {"blocks": 7}, "blocks must be from 1 to 6, the blocks of the backbone, but got 7"),
        ("ssf", {"blocks": 0}, "blocks must be from 1 to 6, the blocks of the backbone, but got 0"),
        ("lora", {"blocks": 6}, "embeddings must be false for solver lora, which does not adapt them, but is true"),
        ("knn", {"blocks": 6}, "embeddings must be false for solver knn, which does not adapt them, but is true"),
        ("ssf", {"blocks": 5}, "blocks must be 6, all of the backbone's, where embeddings are adapted, but got 5"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_cannot_be_adapted_is_refused(solver, training, message, backbone):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_adapted(Setting(solver, Training(way=2, embeddings=True, **training)), backbone)


def test_all_blocks_and_embeddings_can_be_adapted(backbone):
    check_adapted(Setting("full", Training(way=2, embeddings=True, blocks=6)), backbone)


@pytest.mark.parametrize(("failed", "accuracy"), [(False, 0.625), (True, None)])
def test_accuracy_is_the_share_of_right_queries_where_there_are_scores(failed, accuracy):
    outcome = Outcome(3, (3, 0, 2), 8, failed, None, None, None, None, torch.zeros(8, 3))
    assert outcome.accuracy == accuracy
