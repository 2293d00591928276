"""Position prompts for few-shot classification with pre-trained vision transformers."""

from fpt.backbones import Backbone
from fpt.enhancement import focus_loss
from fpt.interface import Episode, PyramidPrompts, Record, position_prompts, solve
from fpt.loading import load_backbone
from fpt.prompts import PositionPrompts
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
