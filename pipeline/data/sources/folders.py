"""A folder of class folders, walked without opening an image."""

import os
import shlex
from collections import defaultdict
from pathlib import Path

from fpt.pictures.formats import GET_HEIF, is_image, needs_heif
from pipeline.data.sources.listing import SPLITS, Listed, Listing, assemble, some_of, split_called

# What archives, file servers and systems leave behind; the hidden ones are passed over anyway.
LEFTOVERS = frozenset({"__macosx", "__pycache__", "@eadir", "#recycle", "lost+found", "$recycle.bin"})

NOTES = {
    "empty": "Class folders without an image",
    "idle": "Folders without an image beside the splits passed over",
    "hidden": "Hidden files and folders passed over",
    "leftover": "Folders that hold no data by their name passed over",
    "heif": f"HEIC pictures passed over, which pillow-heif decodes and is not here ({GET_HEIF})",
    "other": "Files that are no images by their suffix passed over",
    "loose": "Images outside of class folders passed over",
    "closed": "Folders that may not be opened passed over",
    "outside": "Links that lead out of {root} passed over (--set dataset.follow_links=true follows them)",
    "followed": "Links that lead out of {root} followed, as dataset.follow_links is true",
    "nowhere": "Links that lead nowhere passed over",
    "again": "Links to what is walked anyway passed over",
    "elsewhere": "Links to what lies outside of their class's folder followed",
    "inner": "Folders inside of class folders, whose images are of the outer class (--set dataset.classes=leaf makes "
    "each folder that holds images a class)",
}


def folder(root: Path, classes: str = "top", follow_links: bool = False) -> Listing:
    """Lists a folder of class folders. Where folders right below it are named like splits (keys of SPLITS, or
    training_set and the like), they hold the class folders. All images in and below a class folder belong to that
    class, which is called what its folder is called; where `classes` is leaf, every folder that holds images is a
    class, called by its path.

    Links are followed inside of root only, and out of it with `follow_links`; each folder once for a class. Raises
    ValueError where there are no images in class folders, and where some folders are splits and others are not.
    """
    tree = Tree(root, follow_links)
    top = tree.folders(root)
    splits = _splits(tree, top)
    if classes == "top" and len(top) == 1 and not splits and tree.holds_folders_alone(top[0]):
        raise ValueError(
            f"root must hold a folder for each class, or for each split, but {root} holds {top[0].name!r} alone, and "
            f"that holds folders: name {top[0]} itself, or --set dataset.classes=leaf takes each folder that holds "
            "images as a class"
        )
    found: list[Listed] = []
    parts: list[tuple[str | None, Path]] = [(split_called(one.name), one) for one in splits]
    for split, above in parts or [(None, root)]:
        for outer in tree.folders(above) if split else top:
            for path in tree.images(outer):
                name = outer.name if classes == "top" else path.parent.relative_to(above).as_posix()
                found.append(Listed(path, name, split))
                if classes == "top" and path.parent != outer:
                    tree.note("inner", path.parent)
    return assemble("folder", root, found, tree.notes())


def _splits(tree: "Tree", top: list[Path]) -> list[Path]:
    """Returns the folders that are splits, of those right below root; none where they are classes. Folders beside
    splits are passed over where they hold no image.

    A folder is surely a split where it has a split's name and holds folders alone, or stands beside another of another
    split. Raises ValueError where folders with images stand beside it.
    """
    named = [one for one in top if split_called(one.name)]
    if len(named) == len(top):
        return named
    sure = [one for one in named if tree.holds_folders_alone(one)]
    if not sure and len({split_called(one.name) for one in named}) < 2:
        return []
    beside = [one for one in top if one not in named]
    odd = [one for one in beside if Tree(one, tree.follow_links).images(one)]
    for one in beside:
        if one not in odd:
            tree.note("idle", one)
    if odd:
        hidden = "; ".join(shlex.join(["mv", str(one), str(one.with_name(f".{one.name}"))]) for one in odd[:3])
        raise ValueError(
            f"folders of {tree.root} must all be splits, or all be classes, but {_names(named)} by name and "
            f"{_names(odd[:3], 'no split')}{f', nor are {len(odd) - 3} more' if len(odd) > 3 else ''}: hide what is no "
            f"data ({hidden}), call a split one of {', '.join(SPLITS)}, and a class none of these"
        )
    return named


def _names(folders: list[Path], what: str = "a split") -> str:
    *first, last = (repr(one.name) for one in folders)
    if not first:
        return f"{last} is {what}"
    return f"{', '.join(first)} and {last} are {what.removeprefix('a ')}s"


class Tree:
    """A tree is a folder that is walked; it remembers what was passed over."""

    def __init__(self, root: Path, follow_links: bool = False) -> None:
        self.root, self.follow_links = root, follow_links
        self._real = root.resolve()
        self._seen: dict[str, dict[str, None]] = defaultdict(dict)

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
                self.note("loose" if is_image(entry.name) else _other(entry.name), path)
            elif target in above:
                self.note("again", path)
            else:
                found.append(path)
                if entry.is_symlink():
                    self._note_followed(path, target)
        return found

    def images(self, folder: Path) -> list[Path]:
        """Returns all images in and below a class folder. Links come last, so that what they lead to is found in its
        own place first, and circles of links end.
        """
        start = folder.resolve()
        above = {*start.parents, self._real, *self._real.parents}  # a link back up would bring in every other class
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
                        self.note(_other(entry.name), shown / entry.name)
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
                self.note("again", link)
                continue
            if not target.is_dir() and not (is_image(link.name) and target.is_file()):
                self.note(_other(link.name), link)
                continue
            if not target.is_relative_to(start):
                self._note_followed(link, target)
            if target.is_dir():
                walked.add(target)
                pending.append((link, target))
            else:
                linked.add(target)
                found.append(link)
        if not found:
            self.note("empty", folder)
        return sorted(found, key=Path.as_posix)

    def notes(self) -> list[str]:
        """Returns a sentence on each kind of thing that was passed over, or followed though that may surprise."""
        return [
            f"{text.format(root=self.root)}: {some_of(list(self._seen[kind]))}."
            for kind, text in NOTES.items()
            if self._seen[kind]
        ]

    def holds_folders_alone(self, folder: Path) -> bool:
        """Returns whether a folder holds folders, and no image beside them."""
        entries = self._entries(folder)  # what it passes over is told once, however often it is seen
        return any(entry.is_dir() for entry in entries) and not any(is_image(entry.name) for entry in entries)

    def note(self, kind: str, path: Path) -> None:
        """Remembers something for the notes, by its kind, which is a key of NOTES."""
        self._seen[kind][path.relative_to(self.root).as_posix()] = None

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """Returns what is not hidden in a folder, nor left behind there, by name."""
        try:
            with os.scandir(folder) as entries:
                by_name = sorted(entries, key=lambda entry: entry.name)
        except PermissionError:
            self.note("closed", folder)
            return []
        kept = []
        for entry in by_name:
            if entry.name.startswith("."):
                self.note("hidden", folder / entry.name)
            elif entry.name.lower() in LEFTOVERS:
                self.note("leftover", folder / entry.name)
            else:
                kept.append(entry)
        return kept

    def _target(self, link: Path) -> Path | None:
        """Returns what a link leads to in the end, None for a link that is not to be followed."""
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # nothing there, or a link to itself
            self.note("nowhere", link)
            return None
        if not self.follow_links and not target.is_relative_to(self._real):
            self.note("outside", link)
            return None
        return target

    def _note_followed(self, link: Path, target: Path) -> None:
        self.note("elsewhere" if target.is_relative_to(self._real) else "followed", link)


def _other(name: str) -> str:
    return "heif" if needs_heif(name) else "other"
