"""What Tune runs asks the dispatcher for one rung after another and reports. It computes nothing itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from ray import tune

from pipeline.config import Run
from pipeline.dispatch.generations import GenerationSpec
from pipeline.session import DispatcherGoneError, Session
from sweeps.statistics.rows import summary


def run_trial(config: dict[str, Any], session: Session, searched: Run, rule: str) -> None:
    """Is Ray Tune's trainable: tells Tune each of the reports."""
    for report in reports_of(config, session, searched, rule):
        tune.report(report)


def reports_of(config: Mapping[str, Any], session: Session, searched: Run, rule: str) -> Iterator[dict[str, Any]]:
    """Yields after each rung the `reports` of all that were still going: who was `asked`, METRICS, and what stopped it
    if something did (in a list, as Tune takes dictionaries of dictionaries apart). `config` holds which are `asked` for
    (all looks of a generation, or one of the race), their generation, the settings of all that are in it, and the
    episodes that each of its rungs adds; `rule` is what stops trials.

    What is wrong with a setting is reported, not raised: Tune would try again what fails again.
    """
    spec = GenerationSpec.of(config["generation"], config["settings"], searched, config["rungs"])
    going, last = list(config["asked"]), dict[str, dict[str, Any]]()
    for rung in range(len(spec.episodes)):
        try:
            rows = session.next_rung(spec, going, rung)
        except DispatcherGoneError:
            raise
        except Exception as error:
            said = getattr(error, "strerror", None) or str(error)  # of the system's errors without their number
            yield {"accuracy": None, "error": " ".join(said.split())}
            return
        reports = [
            {**last.get(name, {}), "asked": name, "stopped_by": rule}
            if own is None
            else {"asked": name, "rung": rung + 1, **summary(own)}
            for name, own in zip(going, rows, strict=True)
        ]
        known = [one["accuracy"] for one in reports if one.get("accuracy") is not None]
        yield {"accuracy": max(known, default=None), "reports": reports}  # Tune's metric, which it must have
        last = {one["asked"]: one for one in reports}
        going = [name for name in going if "stopped_by" not in last[name]]
        if not going:
            return
