import pytest
import torch

from fpt.problems.problem import Outcome, Setting
from fpt.registry import SOLVERS
from fpt.solvers import Training


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_problem_is_steered_by_a_solver_that_takes_prompts_at_an_alpha(solver):
    steered = [Setting(solver, Training(way=2), alpha=alpha).steered for alpha in (0.0, 0.1)]
    assert steered == [False, solver in ("full", "vpt", "lora", "ssf")]


@pytest.mark.parametrize(("failed", "accuracy"), [(False, 0.625), (True, None)])
def test_accuracy_is_the_share_of_right_queries_where_there_are_scores(failed, accuracy):
    outcome = Outcome(3, (3, 0, 2), 8, failed, None, None, None, None, torch.zeros(8, 3))
    assert outcome.accuracy == accuracy
