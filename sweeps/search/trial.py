"""A trial asks the dispatcher for one rung after another and reports. It computes nothing itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from ray import tune

from pipeline.config import Run
from pipeline.dispatch.generations import GenerationSpec
from pipeline.session import DispatcherGoneError, Session
from sweeps.statistics.rows import summary


def run_trial(config: dict[str, Any], session: Session, searched: Run, rule: str) -> None:
    """Runs a trial as Ray Tune's trainable: tells Tune each of its reports."""
    for report in reports_of(config, session, searched, rule):
        tune.report(report)


def reports_of(config: Mapping[str, Any], session: Session, searched: Run, rule: str) -> Iterator[dict[str, Any]]:
    """Yields METRICS after each rung, then what stopped the trial if something did. `config` holds the name of this
    `look` or part in the race, its generation, the settings of all that are in that generation, and the episodes that
    each of its rungs adds; `rule` is what stops trials.

    What is wrong with a setting is reported, not raised: Tune would try again what fails again.
    """
    spec = GenerationSpec.of(config["generation"], config["settings"], searched, config["rungs"])
    report: dict[str, Any] = {}
    for rung in range(len(spec.episodes)):
        try:
            rows = session.next_rung(spec, config["look"], rung)
        except DispatcherGoneError:
            raise
        except Exception as error:
            yield {"accuracy": None, **report, "error": " ".join(str(error).split())}
            return
        if rows is None:
            yield {**report, "stopped_by": rule}
            return
        report = {"rung": rung + 1, **summary(rows)}
        yield report
