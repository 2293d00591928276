"""How many problems a GPU's memory holds while they are trained, by a count of what each needs.

What is free just now does not count, so that a rerun has the same stacks. Where the count is wrong, stacks are halved.
"""

from math import prod

from fpt.backbones.backbone import Backbone
from fpt.backbones.memory import budget
from fpt.problems.problem import EpisodeBatch, Setting
from fpt.solvers.contract import images_a_pass

MOST_PROBLEMS = 256
# What a problem keeps of each adapted block for the way back, and needs on it, in sizes of what enters the block. They
# were counted on a pretend GPU (tests/fpt/problems/test_footprint.py), for blocks whose inner width is 4 times theirs.
KEPT_BY_A_BLOCK = {"lora": 14, "vpt": 24, "ssf": 24, "full": 26}
KEPT_BY_OTHERS = 26  # solvers of other packages
COPIES_OF_MAPS = 3  # logits of attention that is steered, in float32: themselves, over tau, and their gradient
COPIES_OF_WEIGHTS = 8  # of `full`: themselves, gradient, two moments, learning rates, and three while a step is taken
PASS = 24  # sizes of its tokens that an image needs while it passes through a block


def bytes_of_problem(backbone: Backbone, episodes: EpisodeBatch, setting: Setting) -> int:
    """Returns the bytes that one more problem takes in a stack."""
    training = setting.training
    support, query = episodes.support.tokens, episodes.query.tokens
    images = min(training.batch or support.shape[1], support.shape[1])
    one_image = prod(support.shape[2:]) * support.itemsize
    copied = support[0].nbytes + query[0].nbytes
    if setting.solver not in KEPT_BY_A_BLOCK and not setting.steered:
        return 2 * copied
    kept = KEPT_BY_A_BLOCK.get(setting.solver, KEPT_BY_OTHERS) * training.blocks * images * one_image
    tokens = max(layer.windows * layer.tokens**2 for layer in backbone.layers)
    heads = getattr(backbone.layers[-1].attention, "num_heads", 1) if training.heads == "each" else 1
    maps = COPIES_OF_MAPS * training.layers * images * heads * tokens * 4 if setting.steered else 0
    weights = 0
    if setting.solver == "full":
        own = backbone.parameters_of_blocks(training.blocks).values()
        weights = COPIES_OF_WEIGHTS * sum(weight.numel() * max(4, weight.itemsize) for weight in own)
    return int(copied + kept + maps + weights)


def problems_on_gpu(backbone: Backbone, episodes: EpisodeBatch, setting: Setting) -> int:
    """Returns how many problems are solved together on a GPU, of which this process may use some."""
    tokens = episodes.query.tokens
    passing = images_a_pass(backbone.device, 1) * prod(tokens.shape[2:]) * tokens.itemsize * PASS
    held = episodes.support.tokens.nbytes + tokens.nbytes + passing
    room = budget(backbone.device, backbone.model) - held
    return max(1, min(MOST_PROBLEMS, room // bytes_of_problem(backbone, episodes, setting)))
