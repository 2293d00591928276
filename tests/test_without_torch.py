"""What must be quick to load does not load torch, which takes seconds: tried, each in a process of its own."""

import subprocess
import sys

import pytest

import fpt

LIGHT = (
    "fpt",
    "fpt.registry",
    "fpt.defaults",
    "fpt.phases",
    "fpt.randomness",
    "pipeline.config",
    "pipeline.data.sources.catalogue",
    "pipeline.dispatch.dispatcher",
    "sweeps.cli",
    "sweeps.schema.sweep",
    "sweeps.search.trial",
)


@pytest.mark.parametrize("module", LIGHT)
def test_is_loaded_without_torch(module):
    code = f"import sys, {module}; print(*(name for name in ('torch', 'timm') if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_a_configuration_is_checked_without_torch():
    code = "import sys; from pipeline.config import Run; Run(solver={'name': 'ssf'}); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_all_that_the_package_offers_is_there():
    assert all(getattr(fpt, name) is not None for name in fpt.__all__)
    assert set(fpt.__all__) <= set(dir(fpt))
    with pytest.raises(AttributeError, match="module 'fpt' has no attribute 'solved'"):
        fpt.solved  # noqa: B018
