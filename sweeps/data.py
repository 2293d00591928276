"""`fpt data`: what a source of images holds, what is wrong with it, and packing it beforehand."""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sweeps.own_images import Typed, said_of_src
from sweeps.schema.lines import on_a_line
from sweeps.terminal.messages import Commands, one_sentence_for_mistakes, say

data = typer.Typer(cls=Commands, help="Tell what your own images are and what is wrong with them, and pack them.")

Source = Annotated[
    str, typer.Argument(help="Read this folder, table, tar, Parquet file, data set in its own layout or hf:owner/name.")
]
Kind = Annotated[
    str | None,
    typer.Option("--source", help="Read SRC as a folder, table, cub ...; by default, as what it looks like."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
Size = Annotated[int, typer.Option(min=1, help="Make images of so many pixels a side.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Divide classes that come without splits by this seed.")]
AllNovel = Annotated[bool, typer.Option("--all-novel", help="Take every class as novel, whatever its split.")]
HoldOut = Annotated[
    str | None,
    typer.Option("--hold-out", help="Give each split other classes, or other pictures of the same classes."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Set a field, e.g. dataset.classes=leaf."),
]
CLASSES_SHOWN = 12
FEW_CLASSES = 20  # in a split: the interval of a difference over so few classes is wide
LONGEST_NAME = 60  # characters of a class that are shown; --json has them all


@data.command("list")
def list_(
    src: Source,
    kind: Kind = None,
    seed: Seed = None,
    hold_out: HoldOut = None,
    all_novel: AllNovel = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """List what a source holds, without decoding an image: splits, classes, images. Tars and Parquet files are
    unpacked for it, once.

    Example: fpt data list photos/
    """
    with one_sentence_for_mistakes(), said_of_src():
        _, listing = _listed(Typed(src, kind, seed, hold_out, all_novel, sets or ()))
        from pipeline.data.listed import class_sizes

        sizes = class_sizes(listing)
        if as_json:
            print(json.dumps({"source": listing.source, "splits": sizes, "notes": list(listing.notes)}))
            return
        _tell(f"{src}: {listing.source}, {len(listing.images)} images")
        for split, classes in sizes.items():
            ordered = sorted(classes.items(), key=lambda one: -one[1])
            named = ", ".join(f"{_short(name)} ({images})" for name, images in ordered[:CLASSES_SHOWN])
            more = f", and {len(ordered) - CLASSES_SHOWN} more" if len(ordered) > CLASSES_SHOWN else ""
            _tell(f"  {split}: {len(classes)} classes, {sum(classes.values())} images: {named}{more}")
        for note in listing.notes:
            _tell(f"  {note}")


@data.command()
def validate(
    src: Source,
    kind: Kind = None,
    config: Annotated[
        Path | None,
        typer.Option("--for", help="Take fields and episodes from the CONFIG of a sweep, and say if it would start."),
    ] = None,
    way: Annotated[int | None, typer.Option(min=2, help="Give an episode so many classes (5).")] = None,
    shot: Annotated[int | None, typer.Option(min=1, help="Give an episode so many support images a class (1).")] = None,
    query: Annotated[int | None, typer.Option(min=1, help="Give an episode so many query images a class (10).")] = None,
    seed: Seed = None,
    hold_out: HoldOut = None,
    all_novel: AllNovel = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Tell whatever is wrong with the images, by name, what will be done about it, and whether a sweep would start: the
    last line says so, and status 1 that it would not. Every image is opened.

    Example: fpt data validate photos/ --for folder
    """
    with one_sentence_for_mistakes(), said_of_src():
        from pipeline.data.packed import said_now_and_then
        from pipeline.data.packing.validating import validate as validated
        from sweeps.own_images import obstacle
        from sweeps.terminal.problems import counted, lines_of

        run, listing = _listed(Typed(src, kind, seed, hold_out, all_novel, sets or (), config, way, shot, query))
        dataset, wanted = run.dataset, run.episodes
        found = validated(
            listing,
            os.cpu_count() or 1,
            wanted.way,
            wanted.shot,
            wanted.query,
            progress=said_now_and_then("looked at"),
            leaks=dataset.leaks,
        )
        proposal = _proposal(dataset, found.summary.splits, wanted.way, wanted.shot, wanted.query)
        why_not = obstacle(run, found)
        if as_json:
            print(json.dumps({**asdict(found), "proposal": proposal, "starts": why_not is None, "obstacle": why_not}))
        else:
            for line in lines_of(found.problems):
                _tell(line)
            summary = found.summary
            print(f"{summary.images} of {summary.listed} images can be used, {counted(found.problems)}")
            for split, classes in summary.splits.items():
                fewest, most = min(classes.values()), max(classes.values())
                each = f"{fewest} to {most}" if fewest < most else most
                print(f"  {split}: {len(classes)} classes, {each} images each")
            for note in found.notes:
                _tell(f"  {note}")
            if proposal:
                _tell(proposal)
            what = "A run" if dataset.all_novel and config is None else f"A sweep{f' of {config}' if config else ''}"
            episodes = f"episodes of {wanted.way} classes with {wanted.shot} + {wanted.query} images of each"
            _tell(f"{what} would start: {episodes}." if why_not is None else f"{what} would not start: {why_not}")
    if why_not is not None:
        raise typer.Exit(1)


@data.command()
def pack(
    src: Source,
    dst: Annotated[Path, typer.Argument(help="Write this file, e.g. photos.arrow.")],
    kind: Kind = None,
    size: Size = 224,
    resize: Annotated[str, typer.Option(help="Crop, or squash as the paper's code does.")] = "crop",
    backbone: Annotated[str | None, typer.Option(help="Take size and crop of this timm model.")] = None,
    seed: Seed = None,
    hold_out: HoldOut = None,
    all_novel: AllNovel = False,
    sets: Sets = None,
    drop_leaks: Annotated[bool, typer.Option(help="Leave out images that two classes or splits hold.")] = False,
    processes: Annotated[int, typer.Option(min=0, help="Start so many processes, 0 for one on each core.")] = 0,
    address: Annotated[
        str | None,
        typer.Option(help="Decode on this Ray cluster, e.g. auto; its nodes must share SRC's and DST's disk."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decode every image once into one file that sweeps read. If it is interrupted, the same command goes on.

    Example: fpt data pack photos/ photos.arrow --size 224
    """
    with one_sentence_for_mistakes(), said_of_src():
        if resize not in ("crop", "squash"):
            raise ValueError(f"--resize must be crop or squash but got {resize!r}")
        if re.match(r"\w{2,}:/", str(dst)):
            raise ValueError(
                f"DST must be a file on a disk but got {str(dst)!r}; a bucket may hold a copy of it and of its .json"
            )
        if dst.suffix != ".arrow":
            raise ValueError(f"DST must be a file that ends in .arrow but got {str(dst)!r}")
        if processes and address:
            raise ValueError(f"--processes are of this machine: it must be left out with --address but is {processes}")
        from fpt.pictures.resizing import DEFAULT, Resize, resize_of
        from pipeline.data.listed import summary_of
        from pipeline.data.packed import said_now_and_then
        from pipeline.data.packing.packing import pack_listing

        run, listing = _listed(Typed(src, kind, seed, hold_out, all_novel, sets or ()))
        drop_leaks = drop_leaks or run.dataset.leaks == "leave_out"
        wanted: Literal["crop", "squash"] = "squash" if resize == "squash" else "crop"
        seen: Resize = DEFAULT
        if backbone is not None:
            from pipeline.limits import backbone_limits

            limits = backbone_limits(backbone, None, None)
            size, seen = limits.image_size, limits.seen
        dst.parent.mkdir(parents=True, exist_ok=True)
        how, cores = resize_of(wanted, seen), processes or os.cpu_count() or 1
        with _decoder(address) as decoder:
            packing = pack_listing(listing, dst, size, how, cores, said_now_and_then("packed"), drop_leaks, decoder)
        for line in summary_of(packing):
            say(f"fpt: {line}")
        held_out = " --set dataset.hold_out=pictures" if run.dataset.hold_out == "pictures" else ""
        say(f"fpt: use it with --set dataset.source=packed --set dataset.path={dst}{held_out}")
        _tell(json.dumps(asdict(packing)) if as_json else str(dst))


@contextmanager
def _decoder(address: str | None) -> Iterator[Any]:
    """Yields what decodes on a cluster, None where no cluster is named."""
    if address is None:
        yield None
        return
    from pipeline.data.packing.cluster import decode_on_cluster
    from pipeline.opening import connected

    with connected(address):
        yield decode_on_cluster


def _tell(line: str) -> None:
    """Prints a line on standard output, with whatever that cannot show (a name in another script, odd bytes) as an
    escape.
    """
    encoding = sys.stdout.encoding or "utf-8"
    print(on_a_line(line).encode(encoding, "backslashreplace").decode(encoding))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def _proposal(dataset: Any, splits: Mapping[str, Mapping[str, int]], way: int, shot: int, query: int) -> str | None:
    """Returns the advice to hold out pictures where splits have few classes and their pictures are enough for it, None
    where they have not, or classes are many.
    """
    from pipeline.data.listed import served_by_pictures

    large = [sum(images >= shot + query for images in classes.values()) for classes in splits.values()]
    enough = served_by_pictures(dataset, splits, shot + query)
    if min(large) >= max(FEW_CLASSES, way) or enough < way:
        return None
    counted = " and ".join(f"{count} in {split}" for split, count in zip(splits, large, strict=True))
    return (
        f"few classes are large enough ({counted}): --set dataset.hold_out=pictures searches and reports on other "
        f"pictures of the same {enough} classes, and the answer is then for these classes"
    )


def _listed(typed: Typed) -> tuple[Any, Any]:
    """Returns the run (or the sweep) that is meant, and the listing of its images with their splits."""
    from pipeline.data.listed import listing_of
    from sweeps.own_images import run_of

    run = run_of(typed)
    return run, listing_of(run.dataset)
