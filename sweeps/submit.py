"""`fpt submit`: a command that runs elsewhere, on a Ray cluster, under Slurm or on Kubernetes, and is found again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sweeps.terminal.messages import one_sentence_for_mistakes, say, sentence_of
from sweeps.terminal.options import HERE_ONLY, AsJson

if TYPE_CHECKING:
    from sweeps.jobs.command import Command

MACHINES, SLURM, KUBERAY = "Machines, for slurm and kuberay", "For slurm", "For kuberay"  # panels of the help
Target = Literal["ray", "slurm", "kuberay"]

# Options that make sense for some targets only.
GOES_WITH: dict[str, tuple[Target, ...]] = {
    "address": ("ray",),
    "dry_run": ("ray",),
    "print_only": ("slurm", "kuberay"),
    "nodes": ("slurm", "kuberay"),
    "gpus_per_node": ("slurm", "kuberay"),
    "cpus_per_node": ("slurm", "kuberay"),
    "memory_per_node": ("slurm", "kuberay"),
    "time": ("slurm",),
    "partition": ("slurm",),
    "sbatch": ("slurm",),
    "setup": ("slurm",),
    "namespace": ("kuberay",),
    "image": ("kuberay",),
    "claim": ("kuberay",),
    "secret": ("kuberay",),
}
TYPED_AS = {"print_only": "--print"}


def submit(
    context: typer.Context,
    typed: Annotated[list[str], typer.Argument(help="Run a command, typed as here.", metavar="COMMAND CONFIG ...")],
    to: Annotated[Target, typer.Option(help="Run it as a job of a Ray cluster, of Slurm, or of KubeRay.")] = "ray",
    address: Annotated[str | None, typer.Option(help="Use this Ray dashboard, e.g. http://127.0.0.1:8265.")] = None,
    follow: Annotated[bool, typer.Option("--follow/--detach", help="Show the job's log until it ends, or not.")] = True,
    restart: Annotated[bool, typer.Option(help="Stop the job where it is running, and submit it anew.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would travel; send nothing.")] = False,
    print_only: Annotated[bool, typer.Option("--print", help="Print what would be submitted; send nothing.")] = False,
    python: Annotated[
        str | None, typer.Option(help="Run it by this Python there; by default, the one that Ray runs, or this one.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Take so many nodes (kuberay: at most).", rich_help_panel=MACHINES)
    ] = None,
    gpus_per_node: Annotated[
        int | None, typer.Option(min=0, help="Take so many GPUs of each.", rich_help_panel=MACHINES)
    ] = None,
    cpus_per_node: Annotated[
        int | None,
        typer.Option(min=1, help="Take so many cores of each; by default 4 for each GPU.", rich_help_panel=MACHINES),
    ] = None,
    memory_per_node: Annotated[
        int | None, typer.Option(min=1, help="Take so many GiB of each.", rich_help_panel=MACHINES)
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Take them for so long, e.g. 12:00:00 or 2-00.", rich_help_panel=SLURM)
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Take them of this partition.", rich_help_panel=SLURM)] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(help="Add an option of sbatch's, e.g. --sbatch=--account=lab.", rich_help_panel=SLURM),
    ] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option(help="Run this line first, e.g. 'module load cuda'; may be given again.", rich_help_panel=SLURM),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Use this namespace; by default, kubectl's own.", rich_help_panel=KUBERAY)
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Run this image, which the Dockerfile makes.", rich_help_panel=KUBERAY)
    ] = None,
    claim: Annotated[
        str | None, typer.Option(help="Keep the home on this volume claim (many writers).", rich_help_panel=KUBERAY)
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="Take environment variables from this secret.", rich_help_panel=KUBERAY)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a command elsewhere, where it goes on when this machine sleeps.

    The same command again follows the job that there is.
    A job that failed is submitted anew and goes on where it stopped.

    To a Ray cluster the code of the current folder travels, and what CONFIG names; no dot-files, keys or links out.
    Slurm runs a command in the current folder, Kubernetes runs the code of its image.

    Example: fpt submit --address http://127.0.0.1:8265 -- sweep glyphs

    Example: fpt submit --to slurm --nodes 4 --gpus-per-node 8 --time 12:00:00 -- sweep glyphs
    """
    with one_sentence_for_mistakes():
        from sweeps.jobs.command import remote_command

        _refuse_options_of_others(to, context.params)
        name, *arguments = typed
        config, overrides, options = _parsed(context, name, arguments)
        command = remote_command(name, arguments, config, overrides, options)
        if to == "slurm":
            from sweeps.jobs.slurm import as_slurm_job
            from sweeps.jobs.slurm_script import allocation_of

            machines = (nodes, gpus_per_node, cpus_per_node, memory_per_node)
            allocation = allocation_of(*machines, time, partition, sbatch or (), setup or ())
            status = as_slurm_job(command, allocation, python, print_only, say, follow, restart, as_json)
        elif to == "kuberay":
            from sweeps.jobs.kuberay import pods_of
            from sweeps.jobs.kubernetes import as_kubernetes_job

            machines = (nodes, gpus_per_node, cpus_per_node, memory_per_node)
            pods = pods_of(command, *machines, image, namespace, claim, secret)
            status = as_kubernetes_job(command, pods, python, print_only, say, follow, restart, as_json)
        else:
            status = _as_ray_job(command, address, python, dry_run, follow, restart, as_json)
    raise typer.Exit(status)


def _as_ray_job(
    command: "Command",
    address: str | None,
    python: str | None,
    dry_run: bool,
    follow: bool,
    restart: bool,
    as_json: bool,
) -> int:
    """Lists what would travel, or runs a command as a job of a Ray cluster. Returns the exit status."""
    from sweeps.jobs import dashboard, ray_job

    command = command.in_a_folder_that_travels(Path.cwd())
    if dry_run:
        ray_job.rehearse(command, python, say, as_json)
        return 0
    url = dashboard.dashboard_address(address)
    client = dashboard.connect(url)
    there = python or dashboard.python_of_ray(url) or "python"
    return ray_job.submit(command, url, client, there, say, follow, restart, as_json, ray_job.PAUSE)


def _refuse_options_of_others(to: Target, given: dict[str, Any]) -> None:
    """Raises ValueError for an option that makes no sense for a target."""
    for name, targets in GOES_WITH.items():
        if given[name] and to not in targets:
            option = TYPED_AS.get(name, f"--{name.replace('_', '-')}")
            raise ValueError(f"{option} must go with --to {' or '.join(targets)} but --to is {to}")


def _parsed(context: typer.Context, name: str, arguments: list[str]) -> tuple[Path, list[str], dict[str, Any]]:
    """Returns CONFIG, overrides and other options of a command for a cluster. Raises ValueError for
    what it cannot run.
    """
    commands: dict[str, Any] = getattr(context.find_root().command, "commands", {})
    allowed = [other for other in commands if other not in HERE_ONLY]
    if name not in allowed:
        raise ValueError(f"COMMAND must be one of {', '.join(allowed)} on a cluster but got {name!r}")
    try:
        options = commands[name].make_context(f"fpt {name}", list(arguments), help_option_names=[]).params
    except typer.TyperException as error:
        raise ValueError(sentence_of(error)) from error
    if options.pop("address", None):
        raise ValueError("--address must come before the command: the job runs on the cluster that it is submitted to")
    options.pop("as_json", None)
    return options.pop("config"), options.pop("overrides"), options
