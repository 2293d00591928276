"""One configuration over many episodes: what `fpt run` does."""

from pathlib import Path
from typing import Any

import ray

from pipeline.checks import check_run
from pipeline.config import plain_run
from pipeline.session import open_session
from sweeps.config import Sweep
from sweeps.progress import Progress, shown
from sweeps.search import setting_name
from sweeps.statistics import Estimate
from sweeps.trial import summary


def evaluate(sweep: Sweep, address: str | None) -> dict[str, Any]:
    """Accuracy and localisation of a configuration. Raises ValueError for bad input, before anything is written."""
    run = plain_run(sweep)
    check_run(run)
    with open_session(run, Path(sweep.home).resolve(), address) as session:
        with shown(Progress(run.episodes.count), session.dispatcher):
            (rows,) = ray.get(session.dispatcher.solve.remote([run], list(range(run.episodes.count))))
        (config_hash,) = ray.get(session.dispatcher.hashes_of.remote([run]))
    metrics = summary(rows)
    if metrics["failed"]:
        raise RuntimeError(f"{metrics['failed']} of {len(rows)} episodes failed: their scores are not finite")
    shown_as = Estimate(metrics["accuracy"], metrics["ci95"], metrics["episodes"])
    return {
        "text": f"{setting_name(run)}: {shown_as} % on {shown_as.episodes} episodes of {run.episodes.split}",
        "config_hash": config_hash,
        **{key: value for key, value in metrics.items() if key not in ("failed", "seconds_per_episode")},
    }
