"""Where the values of a hyper-parameter stand on an axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log

LOG_FROM = 20  # highest value over lowest, where nothing says how it was searched
STEPS = ((1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))  # marks of a decade
LEAST_MARKS = 3

Value = float | int | str | bool


@dataclass(frozen=True)
class Scale:
    """A scale has numbers from `low` to `high`, by logarithm where they span much; 0 apart from others at `zero`,
    beyond a `line`; choices side by side. `marks` are texts by their places.
    """

    low: float
    high: float
    marks: Mapping[float, str]
    logarithmic: bool = False
    zero: float | None = None
    line: float | None = None
    choices: Mapping[str, float] = field(default_factory=dict)

    def place(self, value: Value) -> float:
        """Returns where a value stands on the axis."""
        if self.choices:
            return self.choices[str(value)]
        return self.zero if value == 0 and self.zero is not None else float(value)

    def share(self, place: float) -> float:
        """Returns how far along a place is, from 0 for the lowest to 1 for the highest; it is half where these are
        alike.
        """
        low = self.low if self.zero is None else self.zero
        if self.high == low:
            return 0.5
        if self.logarithmic:
            return log(place / low) / log(self.high / low)
        return (place - low) / (self.high - low)


def scale_of(values: Sequence[Value], logarithmic: bool | None = None) -> Scale:
    """Returns the scale on which all values have a place, by logarithm or not; as the values span much or not where
    that is None. Raises ValueError for no values.
    """
    if not values:
        raise ValueError("values must be at least 1 but got 0")
    if any(isinstance(value, (str, bool)) for value in values):
        names = sorted({str(value) for value in values})
        choices = {name: float(place) for place, name in enumerate(names)}
        return Scale(0.0, len(names) - 1.0, {place: name for name, place in choices.items()}, choices=choices)
    return _of_numbers([float(value) for value in values], logarithmic)


def _of_numbers(values: Sequence[float], wanted: bool | None) -> Scale:
    from matplotlib.ticker import MaxNLocator

    others = [value for value in values if value != 0] or [0.0]
    low, high = min(others), max(others)
    logarithmic = 0 < low < high and (high > LOG_FROM * low if wanted is None else wanted)
    if logarithmic:
        ticks = _decades(low, high, whole=all(value.is_integer() for value in others))
        line, zero = (low * (low / high) ** away for away in (0.07, 0.14))
    else:
        ticks = MaxNLocator(4, integer=all(value.is_integer() for value in others)).tick_values(low, high)
        line, zero = (low - away * (high - low or 1) for away in (0.07, 0.14))
    marks = {float(tick): f"{tick:.3g}" for tick in ticks if low <= tick <= high} or {low: f"{low:.3g}"}
    if 0 not in values or low == 0:
        return Scale(low, high, marks, logarithmic)
    return Scale(low, high, {zero: "0", **marks}, logarithmic, zero, line)


def _decades(low: float, high: float, whole: bool) -> Sequence[float]:
    """Returns round numbers between two, at even steps of their logarithm: as few a decade as make three marks."""
    from matplotlib.ticker import LogLocator

    inside: list[float] = []
    for steps in STEPS:
        ticks = LogLocator(subs=steps).tick_values(low, high)
        inside = [float(tick) for tick in ticks if low <= tick <= high and not (whole and float(tick) % 1)]
        if len(inside) >= LEAST_MARKS:
            break
    return inside
