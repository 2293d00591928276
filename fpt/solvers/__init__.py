"""Solvers: what turns a backbone and a support set into a classifier. One file each, one contract (contract.py)."""

from collections.abc import Callable

from fpt.backbones import Backbone
from fpt.solvers.contract import Settings, Solution, Stack
from fpt.solvers.linear_probe import linear_probe
from fpt.solvers.lora import lora
from fpt.solvers.protonet import protonet

Solver = Callable[[Backbone, Stack, Settings], Solution]
SOLVERS: dict[str, Solver] = {"protonet": protonet, "linear_probe": linear_probe, "lora": lora}
STEERED = frozenset({"lora"})  # solvers that take position prompts

__all__ = ["SOLVERS", "STEERED", "Settings", "Solution", "Solver", "Stack"]
