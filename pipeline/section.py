"""What every section of a configuration is: frozen, without unknown fields, described without secrets."""

from collections.abc import Callable, Collection
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from fpt.paths import whole_path
from pipeline.storage.masking import masked
from pipeline.values import check_values

PathText = Annotated[str, AfterValidator(whole_path)]  # with `~` and environment variables replaced


def one_of(names: Collection[str]) -> AfterValidator:
    """Returns a validator that refuses all names but these, which are read when a value is checked."""

    def check(name: str) -> str:
        if name not in names:
            raise PydanticCustomError("one_of", "Input should be one of {names}", {"names": ", ".join(names)})
        return name

    return AfterValidator(check)


class Section(BaseModel):
    """A section is described (mode="json") without secrets, wherever it is recorded: as a parameter, in a file or in a
    message. Its values, and what mode="python" gives, are the true ones, which reach the libraries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _values_are_of_their_kinds(cls, values: Any) -> Any:
        check_values(cls.model_fields, values)
        return values

    @model_serializer(mode="wrap", when_used="json")
    def _without_secrets(self, described: Callable[[Any], Any]) -> Any:
        return masked(described(self))
