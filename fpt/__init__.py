"""Position prompts for few-shot classification with pre-trained vision transformers."""

from fpt.backbones.backbone import Backbone
from fpt.backbones.loading import load_backbone
from fpt.interface import Episode, PyramidPrompts, Record, position_prompts, solve
from fpt.prompts.columnar import PositionPrompts
from fpt.prompts.loss import focus_loss
from fpt.solvers import SOLVERS

__all__ = [
    "SOLVERS",
    "Backbone",
    "Episode",
    "PositionPrompts",
    "PyramidPrompts",
    "Record",
    "focus_loss",
    "load_backbone",
    "position_prompts",
    "solve",
]
