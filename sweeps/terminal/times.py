"""Where the time of a sweep went: starting up, part by part, and then how much of it the workers were at work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.dispatch.status import Status

PARTS = ("imports", "checks", "images", "Ray", "workers", "MLflow")  # of starting up, as phases; then the first order


@dataclass(frozen=True)
class Times:
    """Times are seconds: `start_up` those of its parts; `after` from the first order to the end; `busy`, of `after`,
    the mean of workers.

    `busy` is what computing episodes took, ledger included; the rest is orchestration: Ray, Tune, MLflow, waiting for
    the last of those that look or race together, the report. It is None where every episode was in the ledger, or the
    dispatcher was started again and has forgotten.
    """

    start_up: Mapping[str, float]
    after: float
    busy: float | None

    @property
    def orchestration(self) -> float | None:
        """Returns the share of `after` in which a worker had nothing to compute."""
        return None if self.busy is None else 1 - self.busy / self.after

    def __str__(self) -> str:
        parts = " · ".join(f"{name} {seconds:.1f}" for name, seconds in self.start_up.items())
        said = f"Start-up {sum(self.start_up.values()):.1f} s ({parts})"
        if self.orchestration is None:
            return f"{said}; then {self.after:.0f} s, of which it is not known how long workers were at work."
        return f"{said}; then {self.after:.0f} s, {100 * self.orchestration:.1f} % of it without work for a worker."

    def as_json(self) -> dict[str, Any]:
        return {
            "start_up_seconds": dict(self.start_up),
            "seconds": self.after,
            "busy_seconds": self.busy,
            "orchestration_share": self.orchestration,
        }


def times_of(phases: Mapping[str, float], status: Status, began: float, ended: float) -> Times:
    """Returns times from the phases measured since `began`, the dispatcher's last status, and when the sweep ended
    (both by clock).

    What `phases` leave of the time before the first order is `first order`: Tune, and the first proposals.
    """
    start_up = {name: phases[name] for name in PARTS}
    first = status.first_order
    if first is None or status.restarted:
        return Times(start_up, ended - began - sum(start_up.values()), None)
    start_up["first order"] = max(0.0, first - began - sum(start_up.values()))
    return Times(start_up, ended - first, (ended - first) * status.busy_seconds / status.staffed_seconds)
