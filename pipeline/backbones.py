"""Backbones as configurations name them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from fpt.registry import PRECISIONS, timms_name
from pipeline.bounds import number, whole
from pipeline.section import PathText, Section, one_of

Colour = Annotated[float, number("mean of a colour", 1, 0)]
Deviation = Annotated[float, number("standard deviation of a colour", 1)]


class BackboneName(Section):
    """A backbone is a timm model, by its `name`. `weights` is true for timm's pre-trained weights, a path for those in
    a local file, false for random weights.

    `image_size` is null for that of the pre-training. `precision` is that of its weights and tokens; auto stands for
    bfloat16 on a GPU that has it, and float32 elsewhere. `mean` and `std` of red, green and blue, each between 0 and 1,
    are those of the pixels in pre-training, null where timm or the file of weights tells them.
    """

    name: Annotated[str, AfterValidator(timms_name)] = "vit_micro_glyphs"
    weights: bool | PathText = True
    image_size: Annotated[int | None, whole("side of the images in pixels", 1, 16_384)] = None
    precision: Annotated[str, one_of(("auto", *PRECISIONS))] = "auto"
    # Sweeps and MLflow's parameters were described without them before they were there, and are still.
    mean: Annotated[tuple[Colour, Colour, Colour] | None, Field(exclude_if=lambda mean: mean is None)] = None
    std: Annotated[tuple[Deviation, Deviation, Deviation] | None, Field(exclude_if=lambda std: std is None)] = None

    @model_validator(mode="after")
    def _mean_and_std_go_together(self) -> "BackboneName":
        if (self.mean is None) != (self.std is None):
            given, lacking = ("mean", "std") if self.std is None else ("std", "mean")
            raise ValueError(f"{lacking} must be given where {given} is, but is missing")
        return self


def backbone_named(named: object, own: BackboneName, labels: Mapping[str, Mapping[str, Any]]) -> BackboneName:
    """Returns the backbone of a label, which says in which fields it differs from a run's `own`; the own one, by its
    name; or a timm model with its pre-trained weights. What names another model than the own takes its precision alone.

    Raises ValueError for fields that there are not, and values that they do not take.
    """
    differing = labels.get(str(named), {} if named == own.name else {"name": named})
    other = timms_name(str(differing.get("name", own.name))) != own.name
    ground = {"precision": own.precision} if other else own.model_dump()
    return BackboneName.model_validate({**ground, **differing})
