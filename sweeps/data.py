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

from sweeps.schema.lines import on_a_line
from sweeps.terminal.messages import Commands, one_sentence_for_mistakes, say

data = typer.Typer(cls=Commands, help="Tell what your own images are and what is wrong with them, and pack them.")

Source = Annotated[
    Path, typer.Argument(help="Read this folder of class folders, table, or data set in its own layout.")
]
Kind = Annotated[
    str | None,
    typer.Option("--source", help="Read SRC as a folder, table, cub ...; by default, as what it looks like."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
Size = Annotated[int, typer.Option(min=1, help="Make images of so many pixels a side.")]
Seed = Annotated[int, typer.Option(min=0, help="Divide classes that come without splits by this seed.")]
AllNovel = Annotated[bool, typer.Option("--all-novel", help="Take every class as novel, whatever its split.")]
HoldOut = Annotated[
    str,
    typer.Option("--hold-out", help="Give each split other classes, or other pictures of the same classes."),
]
CLASSES_SHOWN = 12
FEW_CLASSES = 20  # in a split: the interval of a difference over so few classes is wide
LONGEST_NAME = 60  # characters of a class that are shown; --json has them all


@data.command("list")
def list_(
    src: Source,
    kind: Kind = None,
    seed: Seed = 0,
    hold_out: HoldOut = "classes",
    all_novel: AllNovel = False,
    as_json: AsJson = False,
) -> None:
    """List what a source holds, without opening an image: splits, classes, images.

    Example: fpt data list photos/
    """
    with one_sentence_for_mistakes():
        _, listing = _listed(src, kind, seed, all_novel, hold_out)
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
    way: Annotated[int, typer.Option(min=2, help="Give an episode so many classes.")] = 5,
    shot: Annotated[int, typer.Option(min=1, help="Give an episode so many support images of each class.")] = 1,
    query: Annotated[int, typer.Option(min=1, help="Give an episode so many query images of each class.")] = 10,
    seed: Seed = 0,
    hold_out: HoldOut = "classes",
    all_novel: AllNovel = False,
    as_json: AsJson = False,
) -> None:
    """Tell whatever is wrong with the images, by name, and what will be done about it. Every image is opened.

    Example: fpt data validate photos/ --way 5 --shot 1 --query 3
    """
    with one_sentence_for_mistakes():
        from pipeline.data.packed import said_now_and_then
        from pipeline.data.packing.validating import validate as validated

        dataset, listing = _listed(src, kind, seed, all_novel, hold_out)
        found = validated(listing, os.cpu_count() or 1, way, shot, query, progress=said_now_and_then("looked at"))
        proposal = _proposal(dataset, found.summary.splits, way, shot, query)
        if as_json:
            print(json.dumps({**asdict(found), "proposal": proposal}))
            return
        for problem in found.problems:
            _tell(f"{problem.kind}: {', '.join(problem.names)}: {problem.why}; {problem.action}")
        summary = found.summary
        print(f"{summary.images} of {summary.listed} images are good, {len(found.problems)} problems")
        for split, classes in summary.splits.items():
            print(f"  {split}: {len(classes)} classes, {min(classes.values())} to {max(classes.values())} images each")
        for note in listing.notes:
            _tell(f"  {note}")
        if proposal:
            _tell(proposal)


@data.command()
def pack(
    src: Source,
    dst: Annotated[Path, typer.Argument(help="Write this file, e.g. photos.arrow.")],
    kind: Kind = None,
    size: Size = 224,
    resize: Annotated[str, typer.Option(help="Crop, or squash as the paper's code does.")] = "crop",
    backbone: Annotated[str | None, typer.Option(help="Take size and crop of this timm model.")] = None,
    seed: Seed = 0,
    hold_out: HoldOut = "classes",
    all_novel: AllNovel = False,
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
    with one_sentence_for_mistakes():
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
        from pipeline.data.listed import summary_of
        from pipeline.data.packed import said_now_and_then
        from pipeline.data.packing.packing import pack_listing
        from pipeline.resizing import DEFAULT, Resize, resize_of

        dataset, listing = _listed(src, kind, seed, all_novel, hold_out)
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
        held_out = " --set dataset.hold_out=pictures" if dataset.hold_out == "pictures" else ""
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


def _listed(src: Path, kind: str | None, seed: int, all_novel: bool, hold_out: str) -> tuple[Any, Any]:
    """Returns the data set that is meant, and its listing with its splits."""
    from fpt.registry import check_name
    from pipeline.config import Dataset
    from pipeline.data.listed import listing_of
    from pipeline.data.sources.catalogue import detect, listed

    if kind is not None:
        check_name("--source", kind, listed())
    if hold_out not in ("classes", "pictures"):
        raise ValueError(f"--hold-out must be classes or pictures but got {hold_out!r}")
    if hold_out == "pictures" and all_novel:
        raise ValueError("--all-novel must be left out with --hold-out pictures, by which all splits get some")
    source = kind or detect(src)
    asked = {"source": source, "path": str(src), "split_seed": seed, "all_novel": all_novel, "hold_out": hold_out}
    dataset = Dataset.model_validate(asked)
    return dataset, listing_of(dataset)
