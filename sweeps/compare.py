"""Two configurations beside each other, from what the ledger holds of them. Nothing is computed. `fpt compare`."""

import json
import re
from ast import literal_eval
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config import (
    FROZEN,
    METHOD_VERSION,
    Dataset,
    Run,
    configuration_hash,
    identity,
    plain_run,
    with_hyper_parameters,
)
from pipeline.ledger import Ledger
from pipeline.storage import Home
from sweeps.config import Sweep, load
from sweeps.statistics import Estimate, estimate, paired_difference, paired_p_value

SECTIONS = ("backbone", "episodes", "solver", "prompts")  # that a sweep's run in MLflow tells of, and a hash covers
FOUND = ("dataset_fingerprint", "backbone_fingerprint", "precision")  # what workers find, as MLflow has it
MOST_NAMED = 8
READERS = 16  # of descriptions, which are many small files

Described = Mapping[str, Any]
Found = tuple[str, str, str]
Scores = dict[int, float | None]  # by episode; None where it failed


@dataclass(frozen=True)
class Side:
    """One of the two. `episodes` and `failed` are of all that the ledger has of it, `estimate` is of the common ones,
    None where one of those failed.
    """

    config_hash: str
    described: Described
    episodes: int
    failed: int
    estimate: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """`difference` and `p` are None where episodes that both have failed (`failed` of them), `p` also for a single
    episode. `differing` holds the fields that differ, with both values.
    """

    a: Side
    b: Side
    common: int
    failed: int
    difference: Estimate | None
    p: float | None
    differing: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Argument:
    """What was typed for A or B; `sweep` is what it holds where it is a file."""

    side: str
    typed: str
    sweep: Sweep | None


class Kept:
    """The configurations that a home's ledger describes. Raises ValueError for a home without a ledger."""

    def __init__(self, home: str) -> None:
        self.home = Home(home)
        self.ledger = Ledger(self.home.uri_of("ledger"))
        files = self.ledger.folder.names("configurations")
        self.hashes = [name.removesuffix(".json") for name in files if name.endswith(".json")]
        self._read: dict[str, Described] = {}
        if not self.hashes:
            raise ValueError(f"home must hold a ledger but {home!r} has none; fpt run and fpt sweep make one")

    def of(self, config_hash: str) -> Described:
        """What a configuration hash of this ledger stands for."""
        if config_hash not in self._read:
            content = self.ledger.folder.read(f"configurations/{config_hash}.json")
            assert content is not None, f"{config_hash} was listed and is not there"
            self._read[config_hash] = json.loads(content)
        return self._read[config_hash]

    @cached_property
    def found(self) -> list[Found]:
        """All that workers found where rows of this version of the method were computed."""
        with ThreadPoolExecutor(READERS) as pool:
            described = list(pool.map(self.of, self.hashes))
        return sorted({found_of(one) for one in described if one["method"] == METHOD_VERSION})

    @cached_property
    def data_sets(self) -> dict[str, list[dict[str, Any]]]:
        """The data sets that this home holds, by fingerprint."""
        known: dict[str, list[dict[str, Any]]] = {}
        for name in self.home.names("images"):
            content = self.home.read(f"images/{name}") if name.endswith(".json") else None
            if content is not None:
                manifest = json.loads(content)
                described = Dataset.model_construct(**manifest["dataset"]).model_dump(warnings=False)
                known.setdefault(manifest["fingerprint"], []).append(described)
        return known

    def hashes_of(self, run: Run) -> list[str]:
        """What a run may be in this ledger: one hash for each data set, weights and precision that fit it."""
        wanted, own = run.backbone.precision, run.dataset.model_dump()
        fitting = [
            found
            for found in self.found
            if wanted in ("auto", found[2]) and own in self.data_sets.get(found[0], [own])  # unless known to be another
        ]
        hashes = {configuration_hash(identity(run, *found)) for found in fitting}
        return sorted(hashes.intersection(self.hashes))

    def scores(self, config_hashes: Iterable[str]) -> dict[str, Scores]:
        """Accuracies of some configurations."""
        wanted = sorted(set(config_hashes))
        scores: dict[str, Scores] = {config_hash: {} for config_hash in wanted}
        table = self.ledger.read(wanted).select(["config_hash", "episode", "accuracy", "failed"])
        for row in table.to_pylist():
            scores[row["config_hash"]][row["episode"]] = None if row["failed"] else row["accuracy"]
        return scores


def compare(
    typed: tuple[str, str],
    overrides: tuple[Sequence[str], Sequence[str]],
    home: str | None = None,
    split: str | None = None,
) -> Comparison:
    """The paired difference of two configurations on the episodes that the ledger has of both.

    Each is a YAML file (with overrides), a configuration hash or its beginning, or a trial's run id in MLflow. `split`
    replaces the one that they draw from. Raises ValueError in one sentence for what is not there or cannot be paired.
    """
    a, b = (_argument(side, *one) for side, one in zip("AB", zip(typed, overrides, strict=True), strict=True))
    kept = Kept(_home([a, b], home))
    hashes = [_hashes(one, kept, split, _tracking_uri_named([a, b])) for one in (a, b)]
    scores = kept.scores([*hashes[0], *hashes[1]])
    chosen = _one_of_each([a, b], hashes, kept, scores)
    described = [kept.of(config_hash) for config_hash in chosen]
    _check_told_apart(a.sweep, b.sweep, described)
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
    a, b = (
        Side(
            config_hash=config_hash,
            described=one,
            episodes=len(own),
            failed=sum(score is None for score in own.values()),
            estimate=estimate(accuracies) if len(accuracies) == len(common) else None,
        )
        for config_hash, one, own, accuracies in zip(hashes, described, scores, whole, strict=True)
    )
    failed = sum(None in pair for pair in zip(*paired, strict=True))
    return Comparison(
        a=a,
        b=b,
        common=len(common),
        failed=failed,
        difference=None if failed else paired_difference(*whole),
        p=None if failed or len(common) == 1 else paired_p_value(*whole),
        differing=differing,
    )


def _argument(side: str, typed: str, overrides: Sequence[str]) -> Argument:
    if not (Path(typed).is_file() or typed.endswith((".yaml", ".yml"))):
        if overrides:
            raise ValueError(f"--set-{side.lower()} must go with a YAML file but {side} is {typed!r}")
        return Argument(side, typed, None)
    try:
        return Argument(side, typed, load(Path(typed), list(overrides)))
    except ValueError as error:
        raise ValueError(f"{side}: {error}") from error


def _home(arguments: Sequence[Argument], home: str | None) -> str:
    """As typed, or as the files say, or the default."""
    if home is not None:
        return home
    named = sorted({one.sweep.home for one in arguments if one.sweep and "home" in one.sweep.model_fields_set})
    if len(named) > 1:
        raise ValueError(f"home must be one for A and B but they name {' and '.join(named)}; --home says which")
    return named[0] if named else Sweep().home


def _tracking_uri_named(arguments: Sequence[Argument]) -> str | None:
    return next((one.sweep.tracking_uri for one in arguments if one.sweep and one.sweep.tracking_uri), None)


def _hashes(argument: Argument, kept: Kept, split: str | None, tracking_uri: str | None) -> list[str]:
    """What an argument may be in the ledger, at least one. Raises ValueError where it is nothing there."""
    side, typed = argument.side, argument.typed
    if argument.sweep is not None:
        run = plain_run(argument.sweep, split)
        return kept.hashes_of(run) or _refuse_as_missing(side, identity(run, "", "", ""), kept)
    if re.fullmatch("[0-9a-f]{32}", typed):
        return [_hash_of_trial(side, typed, kept, split, tracking_uri)]
    if re.fullmatch("[0-9a-f]{4,12}", typed):
        return [_hash_beginning(side, typed, kept, split)]
    raise ValueError(
        f"{side} must be a YAML file, a configuration hash (12 hexadecimal digits, or its first 4 at least) or an "
        f"MLflow run id (32) but got {typed!r}"
    )


def _hash_beginning(side: str, typed: str, kept: Kept, split: str | None) -> str:
    found = [config_hash for config_hash in kept.hashes if config_hash.startswith(typed)]
    if not found:
        raise ValueError(f"{side} must be in the ledger of {kept.home.uri!r} but no configuration hash begins {typed}")
    if len(found) > 1:
        named = ", ".join(found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")
        raise ValueError(f"{side} must begin one configuration hash but {typed} begins {len(found)}: {named}")
    if split is None:
        return found[0]
    described = dict(kept.of(found[0]))
    described["episodes"] = {**described["episodes"], "split": split}
    moved = configuration_hash(described)
    return moved if moved in kept.hashes else _refuse_as_missing(side, described, kept)[0]


def _hash_of_trial(side: str, run_id: str, kept: Kept, split: str | None, named: str | None) -> str:
    """Of the setting that a trial tried, on the split that it was searched on.

    MLflow has all that a hash covers, but for the version of the method, which the ledger must then tell.
    """
    from sweeps.sweep import tracking_uri  # brings Ray and MLflow, which takes seconds
    from sweeps.tracking import recorded_trial

    home = str(kept.home.here or kept.home.uri)
    own, of_sweep = recorded_trial(tracking_uri(Sweep(home=home, tracking_uri=named)), run_id)
    missing = [name for name in (*FOUND, "search.split") if name not in of_sweep]
    if missing:
        raise ValueError(
            f"{side} must be a trial of a sweep that recorded {missing[0]} but that of {run_id} is older; "
            "its configuration hash names it"
        )
    run = _run_of_trial(side, run_id, own, of_sweep, split)
    described = identity(run, *(of_sweep[name] for name in FOUND))
    hashes = [configuration_hash({**described, "method": 1 + version}) for version in range(METHOD_VERSION)]
    there = [config_hash for config_hash in hashes if config_hash in kept.hashes]
    if len(there) > 1:
        raise ValueError(
            f"{side} must be one configuration but the ledger has the setting of {run_id} in {len(there)} versions of "
            f"the method, {', '.join(there)}, and MLflow does not tell which; one of these hashes does"
        )
    return (there or _refuse_as_missing(side, described, kept))[0]


def _run_of_trial(
    side: str, run_id: str, own: Mapping[str, str], of_sweep: Mapping[str, str], split: str | None
) -> Run:
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for field, text in of_sweep.items():
        section, _, name = field.partition(".")
        if section in sections:
            sections[section][name] = _value(text)
    sections["episodes"]["split"] = split or of_sweep["search.split"]
    values = {name: _value(text) for name, text in own.items() if name != "generation"}
    try:
        return with_hyper_parameters(Run.model_validate(sections), values)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "a setting"
        raise ValueError(
            f"{side} must be a trial that this version understands but {run_id} recorded {field} otherwise; "
            "its configuration hash names it"
        ) from error


def _value(text: str) -> Any:
    """What str() made a text of, where that was a number, a truth value or None."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _refuse_as_missing(side: str, described: Described, kept: Kept) -> list[str]:
    raise ValueError(
        f"{side} must be in the ledger of {kept.home.uri!r} but {setting_of(described)}, "
        f"{_drawn(described['episodes'])}, is not; fpt run computes a configuration"
    )


def _one_of_each(
    arguments: Sequence[Argument], hashes: Sequence[list[str]], kept: Kept, scores: Mapping[str, Scores]
) -> tuple[str, str]:
    """Of what both may be, the two that share data set, weights and precision and have most episodes in common.

    Raises ValueError, naming what there is, where that leaves a choice.
    """
    if len(hashes[0]) == len(hashes[1]) == 1:
        return hashes[0][0], hashes[1][0]
    same = hashes[0] == hashes[1]
    common = {
        (a, b): len(scores[a].keys() & scores[b].keys())
        for a, b in product(*hashes)
        if found_of(kept.of(a)) == found_of(kept.of(b)) and (same or a != b)
    }
    most = [pair for pair, count in common.items() if count == max(common.values())]
    if len(most) == 1:
        return most[0]
    argument, several = next((one, own) for one, own in zip(arguments, hashes, strict=True) if len(own) > 1)
    named = [
        "{} (data set {}, weights {}, {})".format(config_hash, *found_of(kept.of(config_hash)))
        for config_hash in several
    ]
    raise ValueError(
        f"{argument.side} must be one configuration but the ledger has {argument.typed} as {', '.join(named)}; "
        "one of these hashes names it"
    )


def _check_told_apart(a: Sweep | None, b: Sweep | None, described: Sequence[Described]) -> None:
    """A hash covers images and weights by fingerprints, which a file does not tell: two files may seem to be one."""
    if a is None or b is None:
        return
    told = [found_of(one) for one in described]
    for field, differ, (of_a, of_b) in (
        ("dataset", a.dataset != b.dataset, (told[0][0], told[1][0])),
        ("backbone.weights", a.backbone.weights != b.backbone.weights, (told[0][1], told[1][1])),
    ):
        if differ and of_a == of_b:
            raise ValueError(
                f"A and B differ in {field} but the ledger knows it by its fingerprint alone, and what fits both is "
                f"{of_a}; configuration hashes name what is meant"
            )


def _check_same_episodes(differing: Mapping[str, tuple[Any, Any]]) -> None:
    drawn = {
        field: values
        for field, values in differing.items()
        if field in ("method", "dataset") or field.startswith("episodes")
    }
    if drawn:
        named = ", ".join(f"{field} ({of_a} and {of_b})" for field, (of_a, of_b) in drawn.items())
        raise ValueError(
            f"A and B must draw the same episodes but differ in {named}: the same number is another episode there"
        )


def found_of(described: Described) -> Found:
    """Fingerprints of images and weights, and the precision; empty where an old version kept none."""
    backbone = described["backbone"]
    return described["dataset"], backbone["fingerprint"], backbone.get("precision", "")


def differing_fields(of_a: Any, of_b: Any, field: str = "") -> dict[str, tuple[Any, Any]]:
    """The fields of two descriptions that differ, with both values; None where one has no such field."""
    if not (isinstance(of_a, Mapping) and isinstance(of_b, Mapping)):
        return {} if of_a == of_b else {field: (of_a, of_b)}
    differing: dict[str, tuple[Any, Any]] = {}
    for name in sorted(of_a.keys() | of_b.keys()):
        differing |= differing_fields(of_a.get(name), of_b.get(name), f"{field}.{name}" if field else name)
    return differing


def setting_of(described: Described) -> str:
    """A setting in a line, in the words of search.setting_name, which takes a run and brings Ray."""
    solver, prompts = described["solver"], described["prompts"]
    if solver["name"] in FROZEN:
        return f"{solver['name']} · frozen features"
    parts = [solver["name"]]
    if prompts is None:
        parts.append("no prompts")
    elif prompts["variant"] == "masks":
        parts.append(f"true masks · alpha {prompts['alpha']:.3g} · tau {prompts['tau']:.3g}")
    else:
        parts.append(f"lambda {prompts['lambda']:.3g} · alpha {prompts['alpha']:.3g} · tau {prompts['tau']:.3g}")
        parts.append(f"P {prompts['patches']}")
    return " · ".join([*parts, f"lr {solver['lr']:.3g}"])


def verdict(comparison: Comparison) -> str:
    """What the difference says, in words."""
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
    """For the terminal: a line for each, the difference, what differs."""
    a, b, common = comparison.a, comparison.b, comparison.common
    lines = [
        f"{side}: {setting_of(one.described)} ({one.config_hash}): {_accuracy(one.estimate)}, n = {common}"
        for side, one in (("A", a), ("B", b))
    ]
    lines.append(
        f"Episodes, {_drawn(a.described['episodes'])}: A has {a.episodes} ({a.failed} failed), "
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
    """The object that `fpt compare --json` prints; accuracies are shares, as in the ledger."""
    difference, ci95 = _numbers(comparison.difference)
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
    accuracy, ci95 = _numbers(side.estimate)
    return {
        "config_hash": side.config_hash,
        "setting": setting_of(side.described),
        "episodes": side.episodes,
        "failed": side.failed,
        "accuracy": accuracy,
        "ci95": ci95,
    }


def _numbers(judged: Estimate | None) -> tuple[float | None, float | None]:
    if judged is None:
        return None, None
    return judged.mean, judged.ci95 if isfinite(judged.ci95) else None


def _accuracy(judged: Estimate | None) -> str:
    if judged is None:
        return "failed"
    return f"{judged} %" if isfinite(judged.ci95) else f"{100 * judged.mean:.1f} %"


def _drawn(episodes: Described) -> str:
    return f"split {episodes['split']}, {episodes['way']}-way {episodes['shot']}-shot"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{name} {_shown(own)}" for name, own in value.items() if own is not None)
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
