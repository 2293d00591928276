"""`fpt doctor`: whether a sweep would start and end, here and on every node of a cluster, and what a home holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.terminal.messages import one_sentence_for_mistakes, say
from sweeps.terminal.options import Address, AsJson, AtHome

if TYPE_CHECKING:
    from sweeps.gate.told import Told
    from sweeps.schema.sweep import Sweep


def doctor(
    config: Annotated[
        Path | None, typer.Argument(help="Examine this configuration too: what it names, its home, its MLflow.")
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", help="Override a field, e.g. --set solver.lr=0.01", metavar="a.b=c")
    ] = [],  # noqa: B006
    home: AtHome = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether a sweep would start and end: versions, limits, home and ledger, MLflow, Ray, each node.

    Nothing is packed, computed or mended. It ends with status 1 where something is in the way.

    Example: fpt doctor glyphs
    """
    with one_sentence_for_mistakes():
        from sweeps.gate.told import BAD, verdict_of
        from sweeps.gate.told import as_json as described

        told = examined(config, overrides, home, address)
        if as_json:
            from pipeline.storage.masking import masked

            print(json.dumps(masked(described(told))))
        else:
            from pipeline.storage.masking import without_secrets
            from sweeps.schema.lines import on_a_line

            for one in told:
                print(on_a_line(without_secrets(str(one))))
        say(f"fpt: {verdict_of(told)}")
        status = int(any(one.state == BAD for one in told))
    raise typer.Exit(status)


def examined(config: Path | None, overrides: list[str], home: str | None, address: str | None) -> "list[Told]":
    """Returns all that was found. Raises ValueError for a CONFIG that is no configuration of this program's."""
    from pipeline.storage.folder import Home
    from sweeps.gate.cluster import ray_and_nodes
    from sweeps.gate.here import home_and_ledger, mlflow, this_machine
    from sweeps.gate.told import mistakes_told
    from sweeps.schema.sweep import Sweep
    from sweeps.terminal.messages import refuse_no_file
    from sweeps.tracking.store import tracking_uri

    if config is None and overrides:
        raise ValueError(f"CONFIG must be given for --set but is missing: {overrides[0]!r} changes nothing else")
    wanted = Sweep()
    told: list[Told] = this_machine(address)
    if config is not None:
        from sweeps.schema.loading import load

        refuse_no_file(config)
        wanted = load(config, overrides)
        told += _configuration(config, wanted)
    place = Home(home or wanted.home)
    told += home_and_ledger(place)
    with mistakes_told("MLflow", told):
        told += mlflow(tracking_uri(wanted.model_copy(update={"home": place.uri})), wanted.name)
    return [*told, *ray_and_nodes(address, place)]


def _configuration(config: Path, wanted: "Sweep") -> "list[Told]":
    """Returns whether what a configuration names is there, and fits."""
    from pipeline.checks import check_run
    from pipeline.config import plain_run
    from pipeline.limits import check_weights
    from sweeps.gate.told import FINE, Told, mistakes_told

    told: list[Told] = []
    with mistakes_told(str(config), told):
        if wanted.table is not None:
            from sweeps.table import check_table

            check_table(wanted)
        if wanted.search is not None:
            from sweeps.sweep import check_sweep, with_shares_in_patches

            check_sweep(with_shares_in_patches(wanted))
        check_run(plain_run(wanted))
        check_weights(plain_run(wanted))
        told.append(Told(str(config), FINE, "all fields are within their bounds; images and weights are there and fit"))
    return told
