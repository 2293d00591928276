"""A scheduler that is away for a while is asked again."""

import pytest

from sweeps.jobs import patience
from sweeps.jobs.patience import patiently


def test_an_answer_after_a_while_is_an_answer():
    answers, said = [ValueError("away"), ValueError("away"), "RUNNING"], []

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    assert patiently(ask, "Slurm", said.append, 0.0) == "RUNNING"
    assert said == ["fpt: Slurm does not answer; trying again (Ctrl-C leaves the job running)"]


def test_one_that_stays_away_is_given_up(monkeypatch):
    monkeypatch.setattr(patience, "TRIES", 3)
    asked = []

    def ask():
        asked.append(1)
        raise ValueError("no route")

    with pytest.raises(RuntimeError, match=r"^Slurm does not answer any more, and the job may go on there: no route$"):
        patiently(ask, "Slurm", lambda line: None, 0.0)
    assert len(asked) == 3
