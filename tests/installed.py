"""The program as a user has it who installs a wheel: an environment that knows nothing of this checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("fpt", "pipeline", "sweeps")


def built_wheel(folder: Path) -> Path:
    """Builds a source distribution and of that a wheel, as `uv build` does, of a copy of this checkout, for building
    leaves files behind.
    """
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    uv = Path(sys.executable).with_name("uv")
    built = [uv, "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*built, "--out-dir", folder / "wheels", source], check=True, cwd=folder)
    (wheel,) = (folder / "wheels").glob("*.whl")
    return wheel


def installed(wheel: Path, folder: Path) -> Path:
    """Installs a wheel into a new environment, and returns the environment's Python. Its libraries, which are
    gigabytes, are those of this environment; this checkout is not among them.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python]
    subprocess.run([*install, wheel], check=True, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))  # a .pth in there is not read
    return python


def plain_environment(home: Path, **more: str) -> dict[str, str]:
    """Returns this process's environment without anything that leads to this checkout or to another cluster."""
    ours = ("RAY_", "FPT_", "MLFLOW_", "PYTHON", "VIRTUAL_ENV")
    own = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join(one for one in own["PATH"].split(os.pathsep) if one != str(Path(sys.executable).parent))
    return {**own, "PATH": path, "HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0", **more}
