"""Two ways to find and follow prompts behind one interface: columnar transformers and pyramids, chosen in one place."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.backbones.images import Images
from fpt.heads.closed_form import Head
from fpt.prompts import columnar, pyramids
from fpt.prompts.columnar import Evidence, PositionPrompts
from fpt.prompts.loss import Steering
from fpt.prompts.pyramids import PyramidPrompts, StageEvidence

ScaleEvidence = Evidence | StageEvidence


@runtime_checkable
class Strategy(Protocol):
    """Says what columnar.py and pyramids.py can do; lists have an entry for each scale of the backbone."""

    def evidence_family(self, variant: str, lam: float) -> tuple[object, ...]:
        """Returns what evidence depends on beside images and head: settings that share it share their evidence."""

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
        """Gathers the evidence of images under their problems' classifiers, `head`, at every scale."""

    def estimate(
        self,
        evidence: Sequence[Any],
        variant: str,
        lam: float,
        patches: int,
        order: str | None,
        contrast: float,
        support: int,
    ) -> list[PositionPrompts]:
        """Returns the prompts of images at every scale, from their evidence; each episode has `support` of them."""

    def image_masks(self, prompts: Sequence[PositionPrompts]) -> Tensor:
        """Returns true for the prompt patches of each image, images x patches; there are none where scales have
        windows.
        """

    def offered(self, prompts: Sequence[PositionPrompts]) -> PositionPrompts | PyramidPrompts:
        """Returns the prompts as other programs get them."""

    def steering(
        self, backbone: Backbone, blocks: int, layers: int, prefix: int, targets: Sequence[Tensor]
    ) -> Steering:
        """Returns which layers are pulled towards the targets of every scale, where the last `blocks` blocks are
        adapted.

        `layers` is how many of the last layers a setting steers, `prefix` how many tokens come before the patches.
        """


def strategy_of(backbone: Backbone) -> Strategy:
    """Returns the strategy that fits a backbone."""
    return pyramids if backbone.pyramid else columnar
