"""`fpt run` evaluates a configuration: its accuracy over many episodes, with an interval."""

from typing import Any

from pipeline.checks import check_run
from pipeline.config import plain_run
from pipeline.opening import open_session
from pipeline.storage.folder import Home
from sweeps.report.text import left_out
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Sweep
from sweeps.statistics.estimates import Estimate
from sweeps.statistics.rows import summary
from sweeps.terminal.progress import Progress, shown
from sweeps.terminal.story import story_written


def evaluate(sweep: Sweep, address: str | None) -> dict[str, Any]:
    """Returns accuracy and localisation of a configuration, and a line that says them. Raises ValueError for bad
    input, before anything is written.
    """
    run = plain_run(sweep)
    check_run(run)
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
    shown_as = Estimate(metrics["accuracy"], metrics["ci95"], metrics["episodes"])
    text = f"{setting_name(run)}: {shown_as} % on {shown_as.episodes} episodes of {run.episodes.split}"
    return {
        "text": f"{text}; {left_out(lost)}" if lost else text,
        "config_hash": config_hash,
        "episodes_lost": lost,
        **{key: value for key, value in metrics.items() if key not in ("failed", "seconds_per_episode")},
    }
