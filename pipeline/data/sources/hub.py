"""A data set on Hugging Face's hub by its name, fetched once into that library's own cache."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.data.sources.archives.containers import HUB
from pipeline.data.sources.listing import Listing

NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:]+))?(?::(?P<folder>.+))?")
CONVERTED = "refs/convert/parquet"  # where the Hub keeps what it made of data sets in other layouts
GET = "pip install huggingface_hub"


def hub(root: str, image_column: str | None = None, label_column: str | None = None) -> Listing:
    """Lists a data set on the Hub by its name, hf:owner/name, hf:owner/name@revision for another than the newest, and
    hf:owner/name:folder for a part of it. Its files are fetched into the cache of huggingface_hub, whose environment
    variables count (HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE), and read in whichever layout they are.

    Raises ValueError where huggingface_hub is not installed, where the data set is not there, may not be fetched or
    cannot be reached, and for a layout that is not known.
    """
    from pipeline.data.sources.catalogue import SOURCES, detect, list_source

    match = NAME.fullmatch(root.removeprefix(HUB))
    if match is None:
        raise ValueError(f"root of hub must be like hf:owner/name (hf:owner/name@revision:folder) but is {root!r}")
    repository, revision, folder = match["repository"], match["revision"], match["folder"]
    whole = _fetched(repository, revision, folder)
    there = whole / folder if folder else whole
    if not there.exists():
        raise ValueError(f"root of hub must name a folder that {repository} has but it has no {folder}")
    try:
        source = detect(there, image_column, label_column)
    except ValueError as error:
        raise ValueError(
            f"root of hub must hold pictures in a layout that is known but {repository} has none (its files lie in "
            f"{there}); {HUB}{repository}@{CONVERTED} is what the Hub may have made of it"
        ) from error
    taken = SOURCES[source].options
    options: dict[str, Any] = {"image_column": image_column, "label_column": label_column, "follow_links": True}
    listing = list_source(source, str(there), **{name: value for name, value in options.items() if name in taken})
    notes = [note for note in listing.notes if "dataset.follow_links" not in note]  # its cache is made of links
    told = f"{repository} is laid out as {source} (revision {whole.name[:12]})."
    return replace(listing, source="hub", notes=(told, *notes))


def _fetched(repository: str, revision: str | None, folder: str | None) -> Path:
    """Returns the folder that a data set's files are in."""
    try:
        import huggingface_hub as library
        from huggingface_hub import errors
    except ImportError as error:
        raise ValueError(
            f"root of hub must be a data set that huggingface_hub fetches but that is not installed: {GET}, or fetch "
            f"{repository} by other means and name its folder"
        ) from error
    try:
        fetched = library.snapshot_download(
            repository,
            repo_type="dataset",
            revision=revision,
            allow_patterns=[folder, f"{folder}/**"] if folder else None,
        )
    except errors.GatedRepoError as error:
        raise ValueError(
            f"root of hub must be a data set that may be fetched but {repository} asks for consent: give it on its "
            "page, and set HF_TOKEN to a token of yours"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"root of hub must be a data set that is there but {repository} is not, or it is private: HF_TOKEN is the "
            "token that opens it"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"root of hub must name a revision of {repository} but it has no {revision}") from error
    except errors.HFValidationError as error:
        raise ValueError(f"root of hub must be like hf:owner/name but {repository!r} is not") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HfHubHTTPError, OSError) as error:
        said = " ".join(str(error).split()).partition(" An error happened")[0]
        raise ValueError(
            f"root of hub must be what can be fetched but {repository} could not be: {said[:200]}; where there is no "
            "network, name a folder that it was copied to"
        ) from error
    return Path(fetched)
