"""`fpt run` evaluates a configuration: its accuracy over many episodes, with an interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.checks import check_run
from pipeline.config import Run, plain_run
from pipeline.limits import check_weights
from pipeline.opening import open_session
from pipeline.storage.folder import Home
from sweeps.report.text import left_out
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Sweep
from sweeps.statistics.estimates import Estimate
from sweeps.statistics.rows import LOCALISATION, summary
from sweeps.terminal.progress import Progress, shown
from sweeps.terminal.story import story_written


@dataclass(frozen=True)
class Evaluation:
    """An evaluation tells how a configuration did on its episodes: the accuracy with its interval, the means of
    LOCALISATION (None where nothing tells them), and the names of episodes that were `lost`.
    """

    run: Run
    config_hash: str
    accuracy: Estimate
    localisation: Mapping[str, float | None]
    lost: Sequence[str]


def evaluate(sweep: Sweep, address: str | None) -> Evaluation:
    """Evaluates a configuration. Raises ValueError for bad input, before anything is written, and RuntimeError where
    an episode failed or none is left.
    """
    run = plain_run(sweep)
    check_run(run)
    check_weights(run)
    home, progress = Home(sweep.home), Progress(run.episodes.count)
    with open_session(run, home, address) as session:
        (config_hash,) = session.hashes([run])
        place = f"evaluations/{config_hash}"
        with story_written(session, home, place, run.name, progress.planned) as session, shown(progress, session):
            (rows,) = session.solve([run], range(run.episodes.count))
        lost = session.status().lost
    if not rows:
        raise RuntimeError(f"no episode is left: {left_out(lost)}")
    metrics = summary(rows)
    if metrics["failed"]:
        raise RuntimeError(f"{metrics['failed']} of {len(rows)} episodes failed: their scores are not finite")
    return Evaluation(
        run,
        config_hash,
        Estimate(metrics["accuracy"], metrics["ci95"], metrics["episodes"]),
        {name: metrics[name] for name in LOCALISATION},
        lost,
    )


def as_text(found: Evaluation) -> str:
    """Returns the line that `fpt run` prints."""
    run, accuracy = found.run, found.accuracy
    said = f"{setting_name(run)}: {accuracy} % on {accuracy.episodes} episodes of {run.episodes.split}"
    return f"{said}; {left_out(found.lost)}" if found.lost else said


def as_json(found: Evaluation) -> dict[str, Any]:
    """Returns the object that `fpt run --json` prints; the accuracy is a share of 1."""
    return {
        "config_hash": found.config_hash,
        "episodes_lost": found.lost,
        "episodes": found.accuracy.episodes,
        "accuracy": found.accuracy.mean,
        "ci95": found.accuracy.ci95,
        **found.localisation,
    }
