"""A folder of class folders, walked without opening an image."""

import os
from collections import defaultdict
from pathlib import Path

from pipeline.data.sources.listing import SPLITS, Listed, Listing, assemble, some_of

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})

NOTES = {
    "empty": "Class folders without an image",
    "hidden": "Hidden files and folders passed over",
    "other": "Files that are no images by their suffix passed over",
    "loose": "Images outside of class folders passed over",
    "closed": "Folders that may not be opened passed over",
    "outside": "Links that lead out of {root} passed over",
    "nowhere": "Links that lead nowhere passed over",
    "again": "Links to what is walked anyway passed over",
    "elsewhere": "Links to what lies outside of their class's folder followed",
}


def folder(root: Path) -> Listing:
    """Lists a folder of class folders. Where the folders right below it are all named like splits (keys of SPLITS),
    they hold the class folders. A class is called what its folder is called; all images in and below that folder belong
    to it.

    Links are followed inside of root only, each folder once for a class. Raises ValueError where there are no images in
    class folders.
    """
    tree = Tree(root)
    top = tree.folders(root)
    classes: list[tuple[str | None, Path]]
    if top and all(one.name.lower() in SPLITS for one in top):
        classes = [(SPLITS[one.name.lower()], inner) for one in top for inner in tree.folders(one)]
    else:
        classes = [(None, one) for one in top]
    images = [Listed(path, one.name, split) for split, one in classes for path in tree.images(one)]
    return assemble("folder", root, images, tree.notes())


class Tree:
    """A tree is a folder that is walked; it remembers what was passed over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = root.resolve()
        self._seen: dict[str, list[str]] = defaultdict(list)

    def folders(self, folder: Path) -> list[Path]:
        """Returns the folders right below a folder of the tree, by name."""
        real = folder.resolve()
        above = {real, *real.parents}
        found = []
        for entry in self._entries(folder):
            path = folder / entry.name
            target = self._target(path) if entry.is_symlink() else path
            if target is None:
                continue
            if not target.is_dir():
                self._note("loose" if is_image(entry.name) else "other", path)
            elif target in above:
                self._note("again", path)
            else:
                found.append(path)
                if entry.is_symlink():
                    self._note("elsewhere", path)
        return found

    def images(self, folder: Path) -> list[Path]:
        """Returns all images in and below a class folder. Links come last, so that what they lead to is found in its
        own place first, and circles of links end.
        """
        start = folder.resolve()
        above = set(start.parents)  # a link back up would bring in every other class
        walked, linked = {start}, set[Path]()
        found, links = list[Path](), list[Path]()
        pending = [(folder, start)]
        while pending or links:
            if pending:
                shown, real = pending.pop()
                for entry in self._entries(shown):
                    if entry.is_symlink():
                        links.append(shown / entry.name)
                    elif entry.is_dir():
                        if real / entry.name not in walked:
                            walked.add(real / entry.name)
                            pending.append((shown / entry.name, real / entry.name))
                    elif not (is_image(entry.name) and entry.is_file()):
                        self._note("other", shown / entry.name)
                    elif not linked or real / entry.name not in linked:
                        found.append(shown / entry.name)
                links.sort(key=Path.as_posix, reverse=True)
                continue
            link = links.pop()
            target = self._target(link)
            if target is None:
                continue
            beside = target.parent in walked and is_image(target.name) and not target.name.startswith(".")
            if beside or target in walked or target in above or target in linked:
                self._note("again", link)
                continue
            if not target.is_dir() and not (is_image(link.name) and target.is_file()):
                self._note("other", link)
                continue
            if not target.is_relative_to(start):
                self._note("elsewhere", link)
            if target.is_dir():
                walked.add(target)
                pending.append((link, target))
            else:
                linked.add(target)
                found.append(link)
        if not found:
            self._note("empty", folder)
        return sorted(found, key=Path.as_posix)

    def notes(self) -> list[str]:
        """Returns a sentence on each kind of thing that was passed over, or followed though that may surprise."""
        return [
            f"{text.format(root=self.root)}: {some_of(self._seen[kind])}."
            for kind, text in NOTES.items()
            if self._seen[kind]
        ]

    def _note(self, kind: str, path: Path) -> None:
        self._seen[kind].append(path.relative_to(self.root).as_posix())

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """Returns what is not hidden in a folder, by name."""
        try:
            with os.scandir(folder) as entries:
                by_name = sorted(entries, key=lambda entry: entry.name)
        except PermissionError:
            self._note("closed", folder)
            return []
        for entry in by_name:
            if entry.name.startswith("."):
                self._note("hidden", folder / entry.name)
        return [entry for entry in by_name if not entry.name.startswith(".")]

    def _target(self, link: Path) -> Path | None:
        """Returns what a link leads to in the end, None for a link that is not to be followed."""
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # nothing there, or a link to itself
            self._note("nowhere", link)
            return None
        if not target.is_relative_to(self._real):
            self._note("outside", link)
            return None
        return target


def is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
