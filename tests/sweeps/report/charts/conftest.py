from collections.abc import Callable
from functools import cache

import pytest

from sweeps.report.charts.album import Picture, draw_all
from tests.sweeps.report.charts.trials import findings


@pytest.fixture(scope="session")
def pictures_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Picture]]:
    """A function: the pictures of a special finding, drawn once."""
    return cache(lambda special: draw_all(findings()[special], {}, tmp_path_factory.mktemp("pictures")))
