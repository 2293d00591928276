"""What a configuration is evaluated to."""

from contextlib import nullcontext

import pytest
from scipy import stats

from pipeline.config import plain_run
from pipeline.dispatch.status import Status
from pipeline.storage.ledger import SCHEMA
from sweeps.report.text import left_out
from sweeps.run import Evaluation, as_json, as_text, evaluate
from sweeps.schema.loading import load
from sweeps.statistics.estimates import Estimate
from sweeps.statistics.rows import LOCALISATION
from tests.sweeps.tiny import CONFIG, TINY


def test_run_prints_a_line_or_an_object(fpt, monkeypatch):
    asked = []

    def evaluated(sweep, address):
        asked.append((sweep.solver.lr, address))
        localisation = {"prompt_precision": 0.5, "prompt_chance": None}
        return Evaluation(plain_run(sweep), "0123456789ab", Estimate(0.7, 0.01, 6), localisation, ())

    monkeypatch.setattr("sweeps.run.evaluate", evaluated)
    line = "lora · lambda 1 · alpha 1 · tau 1 · P 6 · lr 0.5: 70.0 ± 1.0 % on 6 episodes of novel\n"
    assert fpt("run", str(CONFIG), overrides=["solver.lr=0.5"]).stdout == line
    result = fpt("run", str(CONFIG), "--json", "--address", "auto")
    assert result.stdout == (
        '{"config_hash": "0123456789ab", "episodes_lost": [], "episodes": 6, "accuracy": 0.7, "ci95": 0.01, '
        '"prompt_precision": 0.5, "prompt_chance": null}\n'
    )
    assert asked == [(0.5, None), (0.01, "auto")]


class Answered:
    """Stands for a session whose workers have answered: rows, and which episodes were lost."""

    def __init__(self, rows, lost=()):
        self.rows, self.lost = rows, lost

    def solve(self, runs, episodes):
        return [self.rows]

    def hashes(self, runs):
        return ["0123456789ab"]

    def status(self):
        return Status(lost=self.lost)

    def with_story(self, uri, name):
        self.story = name
        return self

    def note(self, event, **facts):
        assert self.story == "evaluations/0123456789ab/events.jsonl"


@pytest.fixture
def evaluated(monkeypatch):
    """Evaluates a tiny configuration for which workers answer with these accuracies."""

    def evaluated(*accuracies, lost=(), overrides=()):
        rows = [
            dict.fromkeys(SCHEMA.names)
            | {"accuracy": accuracy, "failed": accuracy is None, "seconds": 1.0, "queries": 100}
            for accuracy in accuracies
        ]
        session = Answered(rows, lost)
        monkeypatch.setattr("sweeps.run.open_session", lambda run, home, address: nullcontext(session))
        monkeypatch.setattr("sweeps.run.story_written", lambda session, *what: nullcontext(session))
        monkeypatch.setattr("sweeps.run.shown", lambda progress, session: nullcontext())
        return evaluate(load(CONFIG, [*TINY, "episodes.count=3", *overrides]), None)

    return evaluated


def test_an_accuracy_has_its_interval(evaluated):
    found = evaluated(0.5, 0.6, 0.7)
    half = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert (found.accuracy.mean, found.accuracy.ci95) == (pytest.approx(0.6), pytest.approx(half))
    assert (found.config_hash, found.accuracy.episodes, found.lost) == ("0123456789ab", 3, ())
    setting = "lora · lambda 1 · alpha 1 · tau 1 · P 6 · lr 0.01"
    assert as_text(found) == f"{setting}: 60.0 ± {100 * half:.1f} % on 3 episodes of novel"
    assert tuple(as_json(found)) == ("config_hash", "episodes_lost", "episodes", "accuracy", "ci95", *LOCALISATION)


def test_lost_episodes_are_told(evaluated):
    said = as_text(evaluated(0.5, 0.6, lost=("novel 2",)))
    assert said.endswith(" on 2 episodes of novel; " + left_out(("novel 2",)))
    with pytest.raises(RuntimeError, match=r"^no episode is left: "):
        evaluated(lost=("novel 0", "novel 1", "novel 2"))


def test_a_failed_episode_leaves_no_accuracy(evaluated):
    with pytest.raises(RuntimeError, match=r"^1 of 3 episodes failed: their scores are not finite$"):
        evaluated(0.5, None, 0.7)
