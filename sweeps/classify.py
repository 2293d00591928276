"""`fpt fit`, `fpt predict`, `fpt export`: what comes after the answer."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweeps.terminal.messages import Commands, one_sentence_for_mistakes, say
from sweeps.terminal.options import AsJson, Config, Set

if TYPE_CHECKING:
    from pipeline.config import Run

NAMED = 5  # pictures that could not be read; --json names all
PANEL = "Name new pictures"  # of the help
PACKED = ".arrow"  # of a file of packed images

classifiers = typer.Typer(cls=Commands)

Fitted = Annotated[Path, typer.Argument(metavar="CLASSIFIER", help="Take this folder, which fpt fit has made.")]


@classifiers.command(rich_help_panel=PANEL)
def fit(
    config: Config,
    support: Annotated[Path, typer.Option(help="Learn these pictures: a folder with one for each class, a table ...")],
    out: Annotated[Path, typer.Option(help="Write the classifier into this folder.")] = Path("classifier.fpt"),
    kind: Annotated[
        str | None, typer.Option("--source", help="Read the pictures as a folder, table ...; else as they look.")
    ] = None,
    overrides: Set = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Fit a classifier to a few pictures of each class, by the setting of CONFIG: a sweep's winner, for instance.

    Classes may have unequal numbers of pictures. The folder holds all that fpt predict needs, and no code.

    Example: fpt fit best.yaml --support photos/ --out heron.fpt

    Next: fpt predict heron.fpt PICTURES --out predictions.parquet
    """
    with one_sentence_for_mistakes():
        run = run_with_support(config, support, kind, overrides)
        say("fpt: starting (backbone, pictures)")
        from pipeline.data.packed import said_now_and_then
        from sweeps.classifiers.fitting import fitted_to

        found = fitted_to(run, out, said_now_and_then("read"), config)
        left_out = [{"image": image, "why": why} for image, why in found.support.left_out]
        counts = dict(sorted(Counter(found.support.classes).items()))
        for note in found.support.notes:
            say(f"fpt: {note}")
        say_left_out(left_out)
        if as_json:
            told = {"classifier": str(out), "classes": counts, "left_out": left_out, "seconds": found.seconds}
            calibrated = found.uncalibrated is None
            print(json.dumps({**told, "support_accuracy": found.accuracy, "calibrated": calibrated}))
            return
        few, many = min(counts.values()), max(counts.values())
        each = f"{few} each" if few == many else f"{few} to {many} each"
        print(f"{out}: {len(counts)} classes, {sum(counts.values())} pictures ({each}), {found.told}")
        if found.uncalibrated is not None:
            say(f"fpt: not calibrated, so that predict takes no --risk: {found.uncalibrated}")
        print(f"Next: fpt predict {out} PICTURES --out predictions.parquet")


@classifiers.command(rich_help_panel=PANEL)
def predict(
    classifier: Fitted,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURES", help="Name these pictures, or all of a folder.")
    ],
    out: Annotated[Path, typer.Option(help="Write this .parquet, .csv or .jsonl file.")] = Path("predictions.csv"),
    drawn: Annotated[
        Path | None, typer.Option("--pictures", help="Draw into this folder where it looked in each.")
    ] = None,
    risk: Annotated[
        float | None, typer.Option(help="Say which are answers, of which this share is wrong at most.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Name pictures by a fitted classifier: the class of each, how probable it is, and what comes next.

    Pictures that cannot be read are named and left out. Memory does not grow with the number of pictures.

    With --risk 0.05 a column says which are answers (yes, unsure, none of these). At most 5 % of the answers are wrong,
    over many classifiers fitted to as many classes and pictures of each as an episode of the sweep had, of the same
    kind; what a single one does is not promised.

    Example: fpt predict heron.fpt photos/new --out predictions.parquet --risk 0.05
    """
    with one_sentence_for_mistakes():
        from fpt.classifier.answering import need_not_hold
        from fpt.classifier.estimator import FewShotClassifier
        from pipeline.data.packed import said_now_and_then
        from sweeps.classifiers.predicting import predict as predicted
        from sweeps.classifiers.tables import check_table

        check_table(out)
        loaded = FewShotClassifier.load(classifier)
        found = predicted(loaded, pictures, out, said_now_and_then("named"), drawn, risk)
        calibration = loaded.fitted_.calibration
        if risk is not None and calibration is not None:
            said = need_not_hold(calibration, loaded.fitted_.images)
            if said is not None:
                say(f"fpt: {said}")
        left_out = [{"image": image, "why": why} for image, why in found.broken]
        for note in found.notes:
            say(f"fpt: {note}")
        say_left_out(left_out)
        if as_json:
            told = {"file": str(out), "pictures": found.pictures, "classes": found.classes, "left_out": left_out}
            told |= {"answered": found.answered} if risk is not None else {}
            print(json.dumps(told | ({"drawn": str(drawn)} if drawn else {})))
            return
        most = sorted(found.classes.items(), key=lambda one: -one[1])
        named = ", ".join(f"{name} {count}" for name, count in most[:8]) + (", ..." if len(most) > 8 else "")
        print(f"{out}: {found.pictures} pictures ({named})")
        if risk is not None:
            print(f"Answered: {', '.join(f'{one} {count}' for one, count in found.answered.items())}")


@classifiers.command(rich_help_panel=PANEL)
def export(
    classifier: Fitted,
    to: Annotated[str, typer.Option(help="Write a program of torch.export, or ONNX.", metavar="torch|onnx")],
    out: Annotated[Path | None, typer.Option(help="Write this file; else CLASSIFIER with .pt2 or .onnx.")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a fitted classifier into one file for another runtime, its adapted weights merged.

    Pixels go in (uint8, images x size x size x 3), logits come out; classes and transform lie in the file as JSON.
    It is run before it is kept: its logits are the classifier's, to 1e-4 of the largest.

    Example: fpt export heron.fpt --to onnx
    """
    with one_sentence_for_mistakes():
        from fpt.classifier.estimator import FewShotClassifier
        from fpt.classifier.exporting import SUFFIXES
        from fpt.classifier.exporting import export as exported
        from fpt.registry import check_name

        check_name("--to", to, SUFFIXES)
        path = out or classifier.with_suffix(SUFFIXES[to])
        loaded = FewShotClassifier.load(classifier, device="cpu")
        differ = exported(loaded.fitted_, loaded.classes_.tolist(), path, to)
        if as_json:
            print(json.dumps({"file": str(path), "difference": differ}))
            return
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; its logits differ by {differ:.0e} of the largest")


def run_with_support(config: Path, support: Path, kind: str | None, overrides: Sequence[str]) -> "Run":
    """Returns a configuration whose images are those of a support set, whatever split they are in. Raises ValueError
    for what is wrong with either.
    """
    from sweeps.own_images import Typed, run_of

    fields = [*overrides, "dataset.merge_splits=false", "dataset.hold_out=classes"]
    try:
        if support.suffix == PACKED and kind is None:
            typed = Typed(support, sets=[*fields, "dataset.source=packed"], config=config)
        else:
            typed = Typed(support, kind, all_novel=True, sets=fields, config=config)
        return run_of(typed)
    except ValueError as error:
        raise ValueError(as_support(str(error))) from error


def as_support(said: str) -> str:
    """Returns a sentence on where images are as one on --support, which was typed."""
    from sweeps.own_images import as_typed

    return as_typed(said).replace("SRC", "--support")


def say_left_out(left_out: Sequence[dict[str, Any]]) -> None:
    """Names pictures that could not be read, the first of them where they are many."""
    for one in left_out[:NAMED]:
        say(f"fpt: left out {one['image']}: {one['why']}")
    if len(left_out) > NAMED:
        say(f"fpt: and {len(left_out) - NAMED} more pictures that cannot be read; --json names all")
