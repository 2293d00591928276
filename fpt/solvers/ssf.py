"""Fine-tunes a scale and a shift after every linear layer and norm, and the head."""

from torch import Tensor, nn

from fpt.backbones.backbone import Backbone
from fpt.backbones.embeddings import embedding_modules
from fpt.solvers.adapters import scale_and_shift_start, scaled_and_shifted
from fpt.solvers.contract import (
    Learner,
    Learnt,
    Queries,
    Shapes,
    Solution,
    Stack,
    Training,
    head_of,
    shapes_of_head,
)
from fpt.solvers.fine_tuning import predict, train


def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Trains scales, shifts and the head by AdamW, from scale 1 and shift 0: SSF, Lian et al., NeurIPS 2022
    (arXiv:2210.08823), Eq. 3.
    """
    modules = scaled_modules(backbone, training)
    pairs = scale_and_shift_start(modules, stack.size, stack.support_features)
    leaves = [part for pair in pairs for part in pair]
    head = train(backbone, stack, training, leaves, scaled_and_shifted(modules, pairs))
    scales, shifts = ({f"{kind}.{i}": pair[k] for i, pair in enumerate(pairs)} for k, kind in enumerate(KINDS))
    return {**scales, **shifts, **head}


KINDS = ("scale", "shift")


def scaled_modules(backbone: Backbone, training: Training) -> list[nn.Module]:
    """Returns what is scaled and shifted: the linear layers and norms of the adapted blocks, and the norm above them;
    with `embeddings`, which takes all blocks, the projection of patches too, and the norms outside blocks, as in the
    paper's released code.
    """
    modules = backbone.modules_of_blocks(backbone.depth - training.blocks, ("linear", "norm"))
    return embedding_modules(backbone) + modules if training.embeddings else modules


def scales_and_shifts(learnt: Learnt) -> list[tuple[Tensor, Tensor]]:
    """Returns scale and shift of each module, in their order, of what was learnt."""
    count = sum(name.startswith("scale.") for name in learnt)
    return [(learnt[f"scale.{i}"], learnt[f"shift.{i}"]) for i in range(count)]


def _answer(backbone: Backbone, learnt: Learnt, queries: Queries, training: Training) -> Solution:
    with scaled_and_shifted(scaled_modules(backbone, training), scales_and_shifts(learnt)):
        return predict(backbone, queries, head_of(learnt), training, backbone.prefix)


def _shapes(backbone: Backbone, training: Training, support: int) -> Shapes:
    modules = scaled_modules(backbone, training)
    widths = {f"{kind}.{i}": (len(module.weight),) for kind in KINDS for i, module in enumerate(modules)}  # type: ignore[arg-type]
    return {**widths, **shapes_of_head(backbone, training)}


ssf = Learner(_learn, _answer, _shapes)
