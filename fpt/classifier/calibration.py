"""How far a classifier's probabilities may be relied on: what was fitted on other episodes, and what that promises."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor, log10
from typing import Any

CALIBRATED = "a sweep leaves it as calibration.json beside its best.yaml, where fpt fit finds it"
MOST_PROMISES = 1000
MOST_COUNT = 1e9
# Parameters that say where and by which chance a classifier was made, not how: a calibration holds for all of them.
OF_PLACE = frozenset({"calibration", "device", "precision", "resize", "depth", "seed", "index"})


@dataclass(frozen=True)
class Promise:
    """Who answers where the highest probability is `least` at least is wrong in a share `risk` of the answers at most
    (one-sided, 95 %), and answers a share `answered` of all queries.
    """

    least: float
    risk: float
    answered: float


@dataclass(frozen=True)
class Calibration:
    """A calibration was fitted on `episodes` episodes of `way` classes with `shot` pictures each, and holds for
    classifiers of as many, of pictures and classes of the kind that those were drawn from.

    Scores are divided by `temperature`. The classes that have a probability of `in_set` or more are a set that holds
    the true one in a share `coverage` of all cases. `promises` go from the most cautious on, each at a higher risk than
    the one before. A picture whose highest probability is below `known` is held to be of none of the classes, as a
    share 1 - `recognised` of the pictures of these classes is too; None where that was not measured.
    """

    temperature: float
    way: int
    shot: int
    episodes: int
    coverage: float
    in_set: float
    promises: tuple[Promise, ...] = ()
    known: float | None = None
    recognised: float | None = None

    def least_for(self, risk: float) -> float:
        """Returns the highest probability from which on answers are wrong in a share `risk` at most. Raises ValueError
        for a risk that is not between 0 and 1 or lower than any that is promised.
        """
        if not 0 < risk < 1:
            raise ValueError(f"--risk must be between 0 and 1 but got {risk:g}")
        kept = [promise.least for promise in self.promises if promise.risk <= risk]
        if not kept:
            lowest = min((promise.risk for promise in self.promises), default=1.0)
            known = lowest < 1
            allowed = f"at least {_rounded_up(lowest):g}, the lowest that" if known else "left out, as none"
            raise ValueError(
                f"--risk must be {allowed} was shown to be kept in {self.told}, but got {risk:g}; more pictures of "
                "each class, and a search with as many, make it lower"
            )
        return kept[-1]

    @property
    def told(self) -> str:
        """Returns which episodes it was fitted on, in words."""
        return f"{self.episodes} {self.way}-way {self.shot}-shot episodes"

    def holds_for(self, images: Sequence[int]) -> bool:
        """Tells whether a classifier of so many pictures of each class is like those of the episodes."""
        return len(images) == self.way and all(count == self.shot for count in images)


def _rounded_up(risk: float) -> float:
    """Returns the next number of two digits, so that what is named is taken."""
    unit = 10.0 ** (floor(log10(risk)) - 1)
    return float(f"{ceil(risk / unit - 1e-9) * unit:.2g}")


def as_described(calibration: Calibration, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a calibration as JSON has it, with the parameters of the classifier that it is `of`."""
    of = {name: value for name, value in parameters.items() if name not in OF_PLACE}
    return {"of": of, **asdict(calibration)}


def calibration_of(described: Any) -> Calibration:
    """Returns the calibration that JSON describes, each entry checked. Raises ValueError, in a sentence."""
    if not isinstance(described, Mapping):
        raise ValueError("calibration must be an object")
    told = {name: value for name, value in described.items() if name != "of"}
    known = set(Calibration.__dataclass_fields__)
    if odd := sorted(told.keys() ^ known, key=str):
        raise ValueError(
            f"calibration must hold {', '.join(sorted(known))}, and nothing else, but differs in {odd[:3]}"
        )
    _check(told, "temperature", 1e-6, 1e6)
    for name in ("way", "shot", "episodes"):
        if not isinstance(told[name], int):
            raise ValueError(f"calibration must tell a whole number as {name}")
        _check(told, name, 1.0, MOST_COUNT)
    for name in ("coverage", "in_set"):
        _check(told, name, 0.0, 1.0)
    for name in ("known", "recognised"):
        if told[name] is not None:
            _check(told, name, 0.0, 1.0)
    promises = _promises(told["promises"])
    return Calibration(**{**told, "promises": promises})


def _text(value: Any) -> str:
    """Returns a value as JSON has it, in which a tuple is a list."""
    return json.dumps(
        value, sort_keys=True, default=lambda other: other.item() if hasattr(other, "item") else str(other)
    )


def _promises(told: Any) -> tuple[Promise, ...]:
    if not isinstance(told, (list, tuple)) or len(told) > MOST_PROMISES:
        raise ValueError(f"calibration must tell at most {MOST_PROMISES} promises in a list")
    promises: list[Promise] = []
    for one in told:
        if not isinstance(one, Mapping) or one.keys() != set(Promise.__dataclass_fields__):
            raise ValueError("calibration must tell least, risk and answered of each promise, and nothing else")
        for name in one:
            _check(one, name, 0.0, 1.0)
        if promises and not (one["least"] <= promises[-1].least and one["risk"] >= promises[-1].risk):
            raise ValueError("calibration must tell promises in their order, from the most cautious on")
        promises.append(Promise(**{name: float(value) for name, value in one.items()}))
    return tuple(promises)


def _check(told: Mapping[str, Any], name: str, low: float, high: float) -> None:
    value = told[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"calibration must tell {name} as a number from {low:g} to {high:g}")


def check_is_of(described: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Raises ValueError where a calibration is of a classifier with other parameters."""
    of = described.get("of")
    if not isinstance(of, Mapping):
        raise ValueError("calibration must say, in `of`, which parameters it is of")
    own = {name: value for name, value in parameters.items() if name not in OF_PLACE}
    if odd := sorted(name for name in own.keys() | of.keys() if _text(own.get(name)) != _text(of.get(name))):
        name = odd[0]
        raise ValueError(
            f"calibration must be of these parameters but is of {name} {of.get(name)!r}, not {own.get(name)!r}; "
            "calibration=None fits without it"
        )
