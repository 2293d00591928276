"""YAML as its version 1.2 has it, strictly: each field once, no more than a configuration can hold, and no word of the
text in a mistake, for the file may be another one than was meant.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

MOST_BYTES = 4_000_000
MERGE = "tag:yaml.org,2002:merge"
MOST_NODES = 100_000  # with every alias written out

# Plain words that are no text, as in the core schema of YAML 1.2: `on` and `12:30:45` are text, 5e-3 is a number.
WORDS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    ("merge", r"<<", ["<"]),
)


class NotYamlError(ValueError):
    """A text is not YAML, or more than this reads. It says why without a word of the text."""


class _Loader(yaml.SafeLoader):
    """A loader with the words of YAML 1.2 alone."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own way)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    word = loader.construct_scalar(node)
    return int(word, 0) if word[:2] in ("0o", "0x") else int(word)


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    r"""Returns a text; what JSON writes as two halves of a character (\\ud83e\\udd86) is that character."""
    text = str(loader.construct_scalar(node))
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


for _kind, _pattern, _first in WORDS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:str", _text)


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes text which either version of YAML would read as something else."""


for _kind, _pattern, _first in WORDS:
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), _first)


def as_yaml(described: Any) -> str:
    """Returns a description as YAML, in its own order, that is read back as it is."""
    return str(yaml.dump(described, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def parse_bytes(content: bytes) -> Any:
    """Returns what a file says. Raises NotYamlError for what is no YAML, or too large."""
    if len(content) > MOST_BYTES:
        raise NotYamlError(f"it has more than {MOST_BYTES:,} bytes")
    try:
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return parse(content.decode("utf-16" if wide else "utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise NotYamlError(f"it is not text in UTF-8, which its line {line} shows") from error


def parse(text: str) -> Any:
    """Returns what a text says. Raises NotYamlError for what is no YAML, for a field that is twice in one place, and
    for aliases that stand for more than a configuration can hold.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}, set()) > MOST_NODES:
            raise NotYamlError(f"its aliases stand for more than {MOST_NODES:,} values")
        _check_once(loader, node, "", set())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = re.sub(r"\s*(?:'[^']{2,}'|\"[^\"]{2,}\")", "", error.problem or error.context or "it cannot be read")
        raise NotYamlError(f"{said}{where}") from None  # whose own text would quote the file
    except yaml.YAMLError:
        raise NotYamlError("it holds characters that text does not have") from None
    except RecursionError:
        raise NotYamlError("it is nested too deeply") from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # what a tag such as !!timestamp can raise
        if isinstance(error, NotYamlError):
            raise
        raise NotYamlError("it holds a value that its tag does not allow") from None
    finally:
        if loader is not None:
            loader.dispose()


def _size(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """Returns how many values a node stands for, with every alias written out."""
    if id(node) in above:
        raise NotYamlError(f"an alias in line {node.start_mark.line + 1} stands for what it is in")
    if id(node) not in known:
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inside = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inside = node.value
        known[id(node)] = 1 + sum(_size(part, known, above | {id(node)}) for part in inside)
    return known[id(node)]


def _check_once(loader: yaml.SafeLoader, node: yaml.Node, within: str, seen: set[int]) -> None:
    """Raises NotYamlError for a field that is twice in a section, naming both lines."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for part in node.value:
            _check_once(loader, part, within, seen)
        return
    lines: dict[Any, int] = {}
    for key, value in node.value:
        plain = isinstance(key, yaml.ScalarNode) and key.tag != MERGE
        name = loader.construct_object(key, deep=True) if plain else None
        field, line = f"{within}{name}", key.start_mark.line + 1
        if isinstance(name, Hashable) and name is not None:
            if name in lines:
                lines_told = f"lines {lines[name]} and {line}" if lines[name] != line else f"line {line} twice"
                raise NotYamlError(f"each field must be there once but {field} is in {lines_told}")
            lines[name] = line
        _check_once(loader, value, f"{field}.", seen)
