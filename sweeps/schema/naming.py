"""A setting is named here by a line that reads and sorts: `lora · lambda 1 · alpha 7 · tau 1 · P 6 · lr 0.005`."""

from collections.abc import Iterable, Mapping
from typing import Any

from fpt.registry import SOLVERS
from pipeline.config import BACKBONE, Run
from sweeps.schema.lines import on_a_line

ORDER = (BACKBONE, "name", "variant", "lambda", "alpha", "tau", "contrast", "patches", "lr")  # wherever they stand
USUAL = frozenset(ORDER) - {BACKBONE, "variant"}


def in_order(names: Iterable[str]) -> list[str]:
    """Returns hyper-parameters in the one order that they have everywhere, each once: the usual ones first, then the
    others by their letters.
    """
    return sorted(set(names), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def setting_name(run: Run, searched: Iterable[str] = ()) -> str:
    """Returns the name of a run's setting; `searched` hyper-parameters that are not usually named come last. The
    backbone comes first where they are values that name one.
    """
    described = run.model_dump(by_alias=True)
    name = setting_of({**described, "prompts": described["prompts"] if run.prompts.alpha > 0 else None}, searched)
    backbone = searched.get(BACKBONE) if isinstance(searched, Mapping) else None
    return name if backbone is None else on_a_line(f"{backbone} · {name}")


def setting_of(described: Mapping[str, Any], searched: Iterable[str] = ()) -> str:
    """Returns the same name from a description as the ledger keeps it, whose `prompts` are None without any."""
    solver, prompts = described["solver"], described["prompts"]
    if members := described.get("ensemble"):
        return f"{solver['name']} · mean of {len(members)} settings"
    if solver["name"] in SOLVERS and not SOLVERS[solver["name"]].trained:
        return f"{solver['name']} · frozen features"
    parts = [solver["name"]]
    if prompts is None:
        parts.append("no prompts")
    elif prompts["variant"] == "masks":
        parts.append(f"true masks · alpha {prompts['alpha']:.3g} · tau {prompts['tau']:.3g}")
    else:
        parts.append(f"lambda {prompts['lambda']:.3g} · alpha {prompts['alpha']:.3g} · tau {prompts['tau']:.3g}")
        if prompts["variant"] == "contrast":
            parts.append(f"contrast {prompts['contrast']:.3g}")
        parts.append(f"P {prompts['patches']}")
    if solver.get("epochs") == 0:
        parts.append("not trained")
    elif "lr" in solver:
        parts.append(f"lr {solver['lr']:.3g}")
    for name in sorted(set(searched) - USUAL):
        value = (prompts or {}).get(name, solver.get(name))
        if value is not None:
            parts.append(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}")
    return on_a_line(" · ".join(parts))
