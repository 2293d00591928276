"""What a packed file says of itself, checked before it is believed: its manifest, and the header of its Arrow file."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_SIDE = 16_384  # pixels: three bytes for each of them still fit into one value of Arrow
SHOWN = 80  # characters of a value that is refused
WAY_ON = "fpt data pack makes it anew"

Model = TypeVar("Model", bound=BaseModel)

Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{4,64}$")]
Count = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Side = Annotated[int, Field(ge=1, le=MOST_SIDE)]

OPTIONAL = {"id": pa.string(), "content": pa.binary(16)}  # columns of images that come from files

ALLOWED = {
    "fingerprint": "4 to 64 hexadecimal digits (0-9, a-f)",
    "splits": "counts of images, from 0 on, by split and class",
    "height": f"a number of pixels from 1 to {MOST_SIDE}",
    "width": f"a number of pixels from 1 to {MOST_SIDE}",
    "masks": "yes or no",
}


class Manifest(BaseModel):
    """A manifest tells what a packed file holds: the `fingerprint` of its content, and how many images each class of
    each of its `splits` has, where that is told.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: Fingerprint
    splits: Annotated[dict[str, dict[str, Count]], Field(min_length=1)] | None = None


class Header(BaseModel):
    """A header tells the size of all images of a packed file in pixels, and whether each of them has a mask."""

    model_config = ConfigDict(frozen=True)

    height: Side
    width: Side
    masks: Literal["yes", "no"]

    def columns(self) -> dict[str, pa.DataType]:
        """Returns the columns that a packed file of such images has, but for those that not every file has."""
        pixels = self.height * self.width
        return {
            "split": pa.string(),
            "class": pa.string(),
            "image": pa.binary(3 * pixels),
            "mask": pa.binary((pixels + 7) // 8),
        }


def manifest_of(content: bytes) -> dict[str, Any]:
    """Returns a manifest whose fields are as `Manifest` has them, with all else that it holds. Raises ValueError, with
    what is wrong, for anything else.
    """
    try:
        told = json.loads(content)
    except RecursionError:
        raise ValueError(f"it must hold sections within sections but holds too many; {WAY_ON}") from None
    if not isinstance(told, dict):
        raise ValueError(f"it must hold fields and values but holds {_shown(told)}; {WAY_ON}")
    _checked(Manifest, told)
    return told


def header_of(schema: pa.Schema) -> Header:
    """Returns what a packed file's schema tells. Raises ValueError, with what is wrong, for that of any other file."""
    try:
        told = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    except UnicodeDecodeError:
        raise ValueError(f"its metadata must be text but is not; {WAY_ON}") from None
    header = _checked(Header, told)
    columns = {**header.columns(), **{name: kind for name, kind in OPTIONAL.items() if name in schema.names}}
    for name, kind in columns.items():
        found = [str(field.type) for field in schema if field.name == name]
        if found != [str(kind)]:
            has = f"has {', '.join(found)}" if found else "has none"
            raise ValueError(f"its column {name} must be {kind} but it {has}; {WAY_ON}")
    return header


def _checked(model: type[Model], told: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        name, value = str(first["loc"][0]), _shown(first["input"])
        said = "is missing" if first["type"] == "missing" else f"got {value}"
        at = "" if len(first["loc"]) == 1 else f" (at {'.'.join(map(str, first['loc'][1:]))})"
        raise ValueError(f"its {name} must be {ALLOWED[name]} but {said}{at}; {WAY_ON}") from None


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict | list) else f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."
