"""`fpt compare` sets two configurations beside each other, from what the ledger holds of them, and computes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from sweeps.lookup.arguments import (
    argument_of,
    check_told_apart,
    hashes_of_argument,
    home_of,
    one_of_each,
    tracking_uri_named,
)
from sweeps.lookup.ledger_index import Described, LedgerIndex, Scores, episodes_in_words
from sweeps.schema.lines import on_a_line
from sweeps.schema.naming import setting_of
from sweeps.statistics.estimates import Estimate, estimate, numbers, paired_difference, paired_p_value


@dataclass(frozen=True)
class Side:
    """A side is one of the two configurations. `episodes` and `failed` count all that the ledger has of it, `estimate`
    is its accuracy on the common episodes, None where one of those failed.
    """

    config_hash: str
    described: Described
    episodes: int
    failed: int
    estimate: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """A comparison tells what two sides have in `common`, a number of episodes. `difference` and `p` are None where
    episodes that both have failed (`failed` of them), `p` also for a single episode. `differing` holds the fields that
    differ, with both values.
    """

    a: Side
    b: Side
    common: int
    failed: int
    difference: Estimate | None
    p: float | None
    differing: Mapping[str, tuple[Any, Any]]


def compare(
    typed: tuple[str, str],
    overrides: tuple[Sequence[str], Sequence[str]],
    home: str | None = None,
    split: str | None = None,
) -> Comparison:
    """Returns the paired difference of two configurations on the episodes that the ledger has of both.

    Each is a YAML file (with overrides), a configuration hash or its beginning, or a trial's run id in MLflow. `split`
    replaces the split that they draw from. Raises ValueError in one sentence for what is not there or cannot be paired.
    """
    a, b = (argument_of(side, *one) for side, one in zip("AB", zip(typed, overrides, strict=True), strict=True))
    index = LedgerIndex(home_of([a, b], home))
    hashes = [hashes_of_argument(one, index, split, tracking_uri_named([a, b])) for one in (a, b)]
    scores = index.scores([*hashes[0], *hashes[1]])
    chosen = one_of_each([a, b], hashes, index, scores)
    described = [index.of(config_hash) for config_hash in chosen]
    check_told_apart(a.sweep, b.sweep, described, index)
    differing = differing_fields(described[0], described[1])
    _check_same_episodes(differing)
    return _compared(chosen, described, [scores[config_hash] for config_hash in chosen], differing)


def _compared(
    hashes: Sequence[str], described: Sequence[Described], scores: Sequence[Scores], differing: Mapping[str, Any]
) -> Comparison:
    counts = [len(own) for own in scores]
    common = sorted(scores[0].keys() & scores[1].keys())
    if not common:
        raise ValueError(
            f"A and B must have episodes in common but have none: the ledger holds {counts[0]} of A ({hashes[0]}) and "
            f"{counts[1]} of B ({hashes[1]}); fpt run computes more"
        )
    paired = [[own[episode] for episode in common] for own in scores]
    whole = [[score for score in own if score is not None] for own in paired]
    step = 1 / (described[0]["episodes"]["way"] * described[0]["episodes"]["query"])
    a, b = (
        Side(
            config_hash=config_hash,
            described=one,
            episodes=len(own),
            failed=sum(score is None for score in own.values()),
            estimate=estimate(accuracies, step) if len(accuracies) == len(common) else None,
        )
        for config_hash, one, own, accuracies in zip(hashes, described, scores, whole, strict=True)
    )
    failed = sum(None in pair for pair in zip(*paired, strict=True))
    return Comparison(
        a=a,
        b=b,
        common=len(common),
        failed=failed,
        difference=None if failed else paired_difference(whole[0], whole[1], step),
        p=None if failed or len(common) == 1 else paired_p_value(whole[0], whole[1], step),
        differing=differing,
    )


def _check_same_episodes(differing: Mapping[str, tuple[Any, Any]]) -> None:
    apart = {
        field: values
        for field, values in differing.items()
        if field in ("method", "dataset") or field.startswith("episodes")
    }
    if apart:
        named = ", ".join(f"{field} ({of_a} and {of_b})" for field, (of_a, of_b) in apart.items())
        raise ValueError(
            f"A and B must draw the same episodes but differ in {named}: the same number is another episode there"
        )


def differing_fields(of_a: Any, of_b: Any, field: str = "") -> dict[str, tuple[Any, Any]]:
    """Returns the fields of two descriptions that differ, with both values, None where a
    description has no such field.
    """
    if not (isinstance(of_a, Mapping) and isinstance(of_b, Mapping)):
        return {} if of_a == of_b else {field: (of_a, of_b)}
    differing: dict[str, tuple[Any, Any]] = {}
    for name in sorted(of_a.keys() | of_b.keys()):
        differing |= differing_fields(of_a.get(name), of_b.get(name), f"{field}.{name}" if field else name)
    return differing


def verdict(comparison: Comparison) -> str:
    """Returns what the difference says, in words."""
    if comparison.difference is None:
        return (
            f"no difference is told: {comparison.failed} of the common episodes failed, and without them the setting "
            "that fails would look better than it is"
        )
    if comparison.a.config_hash == comparison.b.config_hash:
        return "A and B are the same configuration"
    gain = comparison.difference
    if abs(gain.mean) <= gain.ci95:
        return "no difference can be told at this number of episodes"
    return "A is better" if gain.mean > 0 else "B is better"


def as_text(comparison: Comparison) -> str:
    """Returns what the terminal shows: a line for each side, the difference, what differs."""
    a, b, common = comparison.a, comparison.b, comparison.common
    lines = [
        f"{side}: {setting_of(one.described)} ({one.config_hash}): {_accuracy(one.estimate)}, n = {common}"
        for side, one in (("A", a), ("B", b))
    ]
    lines.append(
        f"Episodes, {episodes_in_words(a.described['episodes'])}: A has {a.episodes} ({a.failed} failed), "
        f"B has {b.episodes} ({b.failed} failed), {common} in common"
    )
    if comparison.difference is None:
        lines.append(f"A - B: {verdict(comparison)}")
    elif comparison.p is None:
        lines.append(
            f"A - B: {100 * comparison.difference.mean:+.1f} points, no interval with a single episode: "
            f"{verdict(comparison)}"
        )
    else:
        gain = comparison.difference
        lines.append(
            f"A - B: {100 * gain.mean:+.1f} ± {100 * gain.ci95:.1f} points (paired, 95 %), p = {comparison.p:.2g}: "
            f"{verdict(comparison)}"
        )
    lines += [f"{field}: A {_shown(x)}, B {_shown(y)}" for field, (x, y) in comparison.differing.items()]
    return "\n".join(lines)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Returns the object that `fpt compare --json` prints; accuracies are shares, as in the ledger."""
    difference, ci95 = numbers(comparison.difference)
    return {
        "a": _side_as_json(comparison.a),
        "b": _side_as_json(comparison.b),
        "common": comparison.common,
        "common_failed": comparison.failed,
        "difference": difference,
        "ci95": ci95,
        "p": comparison.p,
        "verdict": verdict(comparison),
        "differing": {field: {"a": of_a, "b": of_b} for field, (of_a, of_b) in comparison.differing.items()},
    }


def _side_as_json(side: Side) -> dict[str, Any]:
    accuracy, ci95 = numbers(side.estimate)
    return {
        "config_hash": side.config_hash,
        "setting": setting_of(side.described),
        "episodes": side.episodes,
        "failed": side.failed,
        "accuracy": accuracy,
        "ci95": ci95,
    }


def _accuracy(judged: Estimate | None) -> str:
    if judged is None:
        return "failed"
    return f"{judged} %" if isfinite(judged.ci95) else f"{100 * judged.mean:.1f} %"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{name} {_shown(own)}" for name, own in value.items() if own is not None)
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else on_a_line(value)
