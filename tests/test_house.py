"""The house keeps its order: no import goes round in a circle, folders and files stay small, tests mirror the tree.

Imports are read from the source, those inside functions too: a circle that is only hidden in a function is still one.
"""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("fpt", "pipeline", "sweeps")
MOST_MODULES, MOST_LINES = 16, 320

# Source files that have no test beside them, and why.
UNTESTED = {
    "fpt/defaults.py": "numbers alone, which the tests of fpt/interface.py and pipeline/config.py compare",
}
# Files that are longer than they may be, and why.
LONG: dict[str, str] = {}


def sources(*folders: str) -> list[Path]:
    """Returns the Python files below some folders of the repository, relative to it."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    """Returns the name that a source file is imported by."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sources(*PACKAGES)}


def imported_by(module: str) -> set[str]:
    """Returns the modules of the house that a module imports, wherever in its source. A name that is imported from a
    package is the module of that name where there is one, and else the package itself.
    """
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {whole if (whole := f"{base}.{alias.name}") in MODULES else base for alias in node.names}
    return (found & MODULES.keys()) - {module}


def circle_of(imports: dict[str, set[str]]) -> list[str]:
    """Returns the modules of a circle, the first again as the last; none where there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def beside(path: Path) -> Path:
    """Returns where the test of a source file is."""
    return Path("tests") / path.parent / f"test_{path.name}"


def test_no_import_goes_round_in_a_circle():
    assert circle_of({module: imported_by(module) for module in MODULES}) == []


def test_circles_are_found_wherever_an_import_stands():
    assert set(circle_of({"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set(), "e": {"a"}})) == {"a", "b", "c"}
    assert circle_of({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    late = imported_by("sweeps.cli")  # it imports its commands inside of functions
    assert {"sweeps.run", "sweeps.compare", "sweeps.schema.sweep"} <= late
    assert "sweeps" not in late
    assert imported_by("sweeps.schema.sweep") >= {"pipeline.config", "sweeps.schema.table"}


def test_folders_are_small():
    """A folder of tests is as large as what it mirrors; what is there beside that is counted."""
    mirrored = {beside(path) for path in sources(*PACKAGES)}
    modules = [path for path in sources(*PACKAGES, "tests", "benchmarks", "docs") if path.name != "__init__.py"]
    counted = Counter(path.parent.as_posix() for path in modules if path not in mirrored)
    assert {folder: count for folder, count in counted.items() if count > MOST_MODULES} == {}


def test_files_are_short():
    lengths = {
        path.as_posix(): len((ROOT / path).read_text().splitlines())
        for path in sources(*PACKAGES, "tests", "benchmarks", "docs")
    }
    assert {file for file, lines in lengths.items() if lines > MOST_LINES} == LONG.keys()


def test_every_source_has_a_test_beside_it():
    untested = {
        path for path in sources(*PACKAGES) if path.name != "__init__.py" and not (ROOT / beside(path)).exists()
    }
    assert {path.as_posix() for path in untested} == UNTESTED.keys()
