"""What a problem is made of, an episode and a hyper-parameter setting, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fpt import defaults
from fpt.backbones.backbone import Backbone
from fpt.problems.frozen import Frozen
from fpt.registry import SOLVERS
from fpt.solvers.contract import Training


@dataclass(frozen=True)
class EpisodeBatch:
    """Holds episodes of one shape. Key masks (which patches show the key entity) are None where the data has none.

    `query` may hold more images than there are labels: outsiders, of other classes, which are asked for their scores.
    """

    indices: Sequence[int]
    support_images: UInt8[Tensor, "episodes support height width 3"] | Float[Tensor, "episodes support 3 height width"]
    support: Frozen
    labels: Int[Tensor, "episodes support"]
    query: Frozen
    query_labels: Int[Tensor, "episodes query"]
    support_key: Bool[Tensor, "episodes support patches"] | None = None
    query_key: Bool[Tensor, "episodes query patches"] | None = None


@dataclass(frozen=True)
class Setting:
    """Holds one hyper-parameter setting. `alpha` 0 means no prompts."""

    solver: str
    training: Training
    variant: str = defaults.VARIANT
    order: str | None = defaults.ORDER
    lam: float = defaults.LAM
    alpha: float = defaults.ALPHA
    tau: float = defaults.TAU
    patches: int = defaults.PATCHES
    contrast: float = defaults.CONTRAST
    lr: float = defaults.LR
    seed: int = defaults.SEED

    @property
    def steered(self) -> bool:
        """Tells whether its problems take prompts."""
        return SOLVERS[self.solver].steered and self.alpha > 0


def check_adapted(setting: Setting, backbone: Backbone) -> None:
    """Raises ValueError for blocks that the backbone does not have, and for embeddings that its solver does not take,
    or that are to be adapted under blocks that are not.
    """
    training, depth = setting.training, backbone.depth
    if not 1 <= training.blocks <= depth:
        raise ValueError(f"blocks must be from 1 to {depth}, the blocks of the backbone, but got {training.blocks}")
    if not training.embeddings:
        return
    if "embeddings" not in SOLVERS[setting.solver].fields:
        raise ValueError(
            f"embeddings must be false for solver {setting.solver}, which does not adapt them, but is true"
        )
    if training.blocks < depth:
        raise ValueError(
            f"blocks must be {depth}, all of the backbone's, where embeddings are adapted, but got {training.blocks}"
        )


@dataclass(frozen=True)
class Outcome:
    """Holds the result of one problem. Localisation figures are None where there are no prompts or masks to measure."""

    episode: int
    hits: tuple[int, ...]  # right queries of each class
    queries: int
    failed: bool  # scores that are not finite: no accuracy
    prompt_precision: float | None  # share of prompt patches that show the key entity
    prompt_chance: float | None  # the same for random patches
    attention_on_key_before: float | None  # of [CLS] on queries, share of its attention to patches
    attention_on_key_after: float | None
    logits: Float[Tensor, "query way"]  # and those of outsiders, after all others

    @property
    def accuracy(self) -> float | None:
        return None if self.failed else sum(self.hits) / self.queries
