"""How long something takes, as people say it: a clock where it is measured, a rough range where it is foreseen."""

from math import ceil

SHORTER, LONGER = 0.8, 1.3  # than foreseen: a sweep may find quick settings, or share its machine
SHORT, HOURS, LONG = 100.0, 7200.0, 36000.0  # seconds from which minutes, hours and whole hours are said


def clock(seconds: float) -> str:
    """Returns so many seconds as minutes:seconds, with the hours before them where there are any."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def about(least: float, most: float | None = None) -> str:
    """Returns a range around so many seconds, or around what lies between two numbers of them."""
    low, high = SHORTER * least, LONGER * (least if most is None else most)
    if high < SHORT:
        return "less than two minutes"
    if high < HOURS:
        return f"about {max(1, int(low / 60))} to {ceil(high / 60)} minutes"
    if high < LONG:
        return f"about {low / 3600:.1f} to {high / 3600:.1f} hours"
    return f"about {int(low / 3600)} to {ceil(high / 3600)} hours"
