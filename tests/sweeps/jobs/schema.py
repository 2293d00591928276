"""What is wrong with something for Kubernetes, by the facts in kuberay.yaml."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FACTS = yaml.safe_load(Path(__file__).with_name("kuberay.yaml").read_text())
AMOUNT = re.compile(r"\d+(\.\d+)?(m|[KMGT]i?)?")
KINDS = {
    "text": lambda value: isinstance(value, str),
    "whole": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "yes or no": lambda value: isinstance(value, bool),
    "amount": lambda value: isinstance(value, str) and AMOUNT.fullmatch(value),
    "any": lambda value: True,
}


def wrong(value: Any, kind: str, where: str = "") -> Iterator[str]:
    """Yields what of a value is not as the facts say."""
    if kind in FACTS:
        yield from _wrong_fields(value, FACTS[kind], where or kind)
    elif kind[0] in "[{":
        container = list if kind[0] == "[" else dict
        if not isinstance(value, container):
            yield f"{where} is no {container.__name__}"
            return
        for name, inner in enumerate(value) if container is list else value.items():
            yield from wrong(inner, kind[1:-1], f"{where}.{name}")
    elif kind in KINDS:
        if not KINDS[kind](value):
            yield f"{where} is no {kind}: {value!r}"
    elif value not in kind.removeprefix("=").split("|"):
        yield f"{where} is none of {kind}: {value!r}"


def _wrong_fields(value: Any, fields: dict[str, str], where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} has no fields"
        return
    known = {name.removesuffix("!"): kind for name, kind in fields.items()}
    for name in value.keys() - known.keys():
        yield f"{where}.{name} is no field"
    for name in {name.removesuffix("!") for name in fields if name.endswith("!")} - value.keys():
        yield f"{where}.{name} is missing"
    for name in value.keys() & known.keys():
        yield from wrong(value[name], known[name], f"{where}.{name}")
