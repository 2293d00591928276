"""Where the values of a hyper-parameter stand on an axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log

LOG_FROM = 20  # highest value over lowest

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


def scale_of(values: Sequence[Value]) -> Scale:
    """Returns the scale on which all values have a place. Raises ValueError for no values."""
    if not values:
        raise ValueError("values must be at least 1 but got 0")
    if any(isinstance(value, (str, bool)) for value in values):
        names = sorted({str(value) for value in values})
        choices = {name: float(place) for place, name in enumerate(names)}
        return Scale(0.0, len(names) - 1.0, {place: name for name, place in choices.items()}, choices=choices)
    return _of_numbers([float(value) for value in values])


def _of_numbers(values: Sequence[float]) -> Scale:
    from matplotlib.ticker import LogLocator, MaxNLocator

    others = [value for value in values if value != 0] or [0.0]
    low, high = min(others), max(others)
    logarithmic = low > 0 and high > LOG_FROM * low
    if logarithmic:
        ticks = LogLocator(subs=(1, 3)).tick_values(low, high)
        line, zero = (low * (low / high) ** away for away in (0.07, 0.14))
    else:
        ticks = MaxNLocator(4, integer=all(value.is_integer() for value in others)).tick_values(low, high)
        line, zero = (low - away * (high - low or 1) for away in (0.07, 0.14))
    marks = {float(tick): f"{tick:.3g}" for tick in ticks if low <= tick <= high} or {low: f"{low:.3g}"}
    if 0 not in values or low == 0:
        return Scale(low, high, marks, logarithmic)
    return Scale(low, high, {zero: "0", **marks}, logarithmic, zero, line)
