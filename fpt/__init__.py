"""Position prompts for few-shot classification with pre-trained vision transformers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fpt.backbones.backbone import Backbone
    from fpt.backbones.loading import load_backbone
    from fpt.classifier.estimator import FewShotClassifier
    from fpt.interface import Episode, Record, position_prompts, solve
    from fpt.prompts.columnar import PositionPrompts
    from fpt.prompts.loss import focus_loss
    from fpt.prompts.pyramids import PyramidPrompts
    from fpt.registry import SOLVERS

__all__ = [
    "SOLVERS",
    "Backbone",
    "Episode",
    "FewShotClassifier",
    "PositionPrompts",
    "PyramidPrompts",
    "Record",
    "focus_loss",
    "load_backbone",
    "position_prompts",
    "solve",
]

# Loaded when first asked for: a configuration reads fpt.registry, and must not wait for torch.
_WHERE = {
    "SOLVERS": "fpt.registry",
    "Backbone": "fpt.backbones.backbone",
    "Episode": "fpt.interface",
    "FewShotClassifier": "fpt.classifier.estimator",
    "PositionPrompts": "fpt.prompts.columnar",
    "PyramidPrompts": "fpt.prompts.pyramids",
    "Record": "fpt.interface",
    "focus_loss": "fpt.prompts.loss",
    "load_backbone": "fpt.backbones.loading",
    "position_prompts": "fpt.interface",
    "solve": "fpt.interface",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
