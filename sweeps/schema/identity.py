"""What tells one sweep, or one table, from another."""

from collections.abc import Mapping, Set

from pipeline.identity import configuration_hash
from sweeps.schema.sweep import Sweep

# Sections that change nothing about what a command finds.
CIRCUMSTANCES = frozenset({"compute", "home", "tracking_uri", "tracking", "fit"})
NOT_OF_A_SWEEP = CIRCUMSTANCES | {"table"}
NOT_OF_A_TABLE = CIRCUMSTANCES | {"search", "final"}


def sweep_identity(sweep: Sweep, inputs: Mapping[str, str], left_out: Set[str] = NOT_OF_A_SWEEP) -> str:
    """Returns twelve digits for all that can change the course of a sweep or table, and nothing else: its configuration
    without the sections that are `left_out`, and the inputs that workers found.
    """
    described = sweep.model_dump(by_alias=True, exclude=set(left_out), mode="json")
    return configuration_hash({**described, **inputs})
