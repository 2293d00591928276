"""The bounds of a configuration's numbers, which each field's description tells and docs/configuration.md lists."""

from typing import Any

from pydantic import Field

SEEDS = 2**63 - 2  # the last seed: the one after it is still a 63-bit number
MANY = 10**9  # episodes, or what there is of them: their numbers are 32-bit ones in the ledger
LARGE = 1e9  # no factor of a loss needs to be larger


def whole(what: str, low: int, high: int) -> Any:
    """Returns the field of a whole number from `low` to `high`; its description is `what` with both."""
    return Field(ge=low, le=high, description=f"{what}: {low:,} to {said(high)}")


def number(what: str, high: float | int, low: float | int | None = None) -> Any:
    """Returns the field of a number up to `high`, from `low` on or, where that is None, above 0."""
    if low is None:
        return Field(gt=0, le=high, description=f"{what}: above 0, at most {said(high)}")
    return Field(ge=low, le=high, description=f"{what}: {low:g} to {said(high)}")


def said(high: float | int) -> str:
    """Returns a bound as people write it."""
    if high == SEEDS:
        return "2^63 - 2"
    return f"{high:,.0f}" if high == int(high) and high < 1e15 else f"{high:g}"
