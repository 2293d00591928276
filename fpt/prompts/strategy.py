"""Two ways to find and follow prompts behind one interface: columnar transformers and pyramids, chosen in one place."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from fpt.backbones.backbone import Backbone, Images
from fpt.heads.closed_form import Head
from fpt.prompts import columnar, pyramids
from fpt.prompts.columnar import Evidence, PositionPrompts
from fpt.prompts.loss import Steering
from fpt.prompts.pyramids import PyramidPrompts, StageEvidence

ScaleEvidence = Evidence | StageEvidence


@runtime_checkable
class Strategy(Protocol):
    """What columnar.py and pyramids.py are: lists have an entry for each scale of the backbone."""

    def evidence_family(self, variant: str, lam: float) -> tuple[object, ...]:
        """What evidence depends on beside images and head: settings that share it share their evidence."""

    def gather(
        self,
        backbone: Backbone,
        images: Images,
        labels: Tensor,
        head: Head,
        problem_of: Tensor,
        variant: str,
        lam: float,
    ) -> Sequence[Any]:
        """The evidence of images under their problems' classifiers, `head`, at every scale."""

    def estimate(
        self, evidence: Sequence[Any], variant: str, lam: float, patches: int, order: str | None
    ) -> list[PositionPrompts]:
        """The prompts of images at every scale, from their evidence."""

    def image_masks(self, prompts: Sequence[PositionPrompts]) -> Tensor:
        """True for the prompt patches of each image, images x patches; no patches where scales have windows."""

    def offered(self, prompts: Sequence[PositionPrompts]) -> PositionPrompts | PyramidPrompts:
        """The prompts as other programs get them."""

    def steering(
        self, backbone: Backbone, blocks: int, layers: int, prefix: int, targets: Sequence[Tensor]
    ) -> Steering:
        """Which layers are pulled towards the targets of every scale, where the last `blocks` blocks are adapted.

        `layers` is how many of the last layers a setting steers, `prefix` how many tokens come before the patches.
        """


def strategy_of(backbone: Backbone) -> Strategy:
    """The way of a backbone."""
    return pyramids if backbone.pyramid else columnar
