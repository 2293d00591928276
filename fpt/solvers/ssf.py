"""Fine-tunes a scale and a shift after every linear layer and norm, and the head."""

from fpt.backbones.backbone import Backbone
from fpt.backbones.embeddings import embedding_modules
from fpt.solvers.adapters import scale_and_shift_start, scaled_and_shifted
from fpt.solvers.contract import Solution, Stack, Training
from fpt.solvers.fine_tuning import fine_tune


def ssf(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Trains scales, shifts and the head by AdamW, from scale 1 and shift 0: SSF, Lian et al., NeurIPS 2022
    (arXiv:2210.08823), Eq. 3.

    They follow the linear layers and norms of the adapted blocks, and the norm above them; with `embeddings`, which
    takes all blocks, the projection of patches too, and the norms outside blocks, as in the paper's released code.
    """
    modules = backbone.modules_of_blocks(backbone.depth - training.blocks, ("linear", "norm"))
    if training.embeddings:
        modules = embedding_modules(backbone) + modules
    pairs = scale_and_shift_start(modules, stack.size, stack.support_features)
    leaves = [part for pair in pairs for part in pair]
    return fine_tune(backbone, stack, training, leaves, scaled_and_shifted(modules, pairs))
