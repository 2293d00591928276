"""How the backbones of a space did, and which of them were searched, in words."""

from collections.abc import Mapping

from pipeline.config import BACKBONE, HyperParameters
from sweeps.search.record import Backbones, RacedBackbone
from sweeps.statistics.estimates import Estimate


def in_words(backbones: Backbones) -> str:
    """Says how the best frozen classifier of each backbone did, the best first, and where fine-tuning was searched."""
    ranked = sorted(backbones.raced, key=_behind)
    left = ", ".join(one.label for one in backbones.left)
    return (
        f"Frozen classifiers of {len(ranked)} backbones raced on validation episodes that nothing else sees: "
        f"{'; '.join(map(_told, ranked))}. Settings were searched on {left}."
    )


def _behind(one: RacedBackbone) -> float:
    if one.accuracy is None:
        return float("inf")
    return 0.0 if one.behind is None else -one.behind.mean


def _told(one: RacedBackbone) -> str:
    out = "" if one.stays else ", left out"
    if one.accuracy is None:
        return f"{one.label} failed{out}"
    apart = "" if one.behind is None else f", {_points(one.behind)} points to the best"
    return f"{one.label} {one.accuracy} % ({one.classifier}, {one.accuracy.episodes} episodes{apart}){out}"


def _points(apart: Estimate) -> str:
    return f"{100 * apart.mean:+.1f} ± {100 * apart.ci95:.1f}"


def told_of(first: Mapping[str, HyperParameters], backbones: Backbones) -> list[str]:
    """Says how backbones did, and which named settings (`first`) were left out with theirs, a line each."""
    out = {one.label for one in backbones.out}
    gone = {name: values[BACKBONE] for name, values in first.items() if values.get(BACKBONE) in out}
    lines = [f"search.first.{name} is left out with its backbone, {label}" for name, label in gone.items()]
    return [*([in_words(backbones)] if backbones.problems else []), *lines]


def in_a_note(backbones: Backbones | None) -> str:
    """Returns what a note of MLflow's ends with where backbones have raced."""
    return f"\n\n{in_words(backbones)}" if backbones is not None and backbones.problems else ""


def tags_of_backbones(backbones: Backbones | None) -> dict[str, str]:
    """Returns which backbones were searched, and which were left out, where the space holds several."""
    if backbones is None:
        return {}
    searched = ", ".join(one.label for one in backbones.left)
    return {"backbone": searched, "backbones.left_out": ", ".join(one.label for one in backbones.out) or "none"}
