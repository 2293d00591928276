from pathlib import Path

import pytest

from pipeline.config import Compute
from pipeline.data.store import PackedImages
from pipeline.dispatch.actors import Wanted
from pipeline.dispatch.dispatcher import Dispatcher
from tests.pipeline.dispatch.staff import Staff


@pytest.fixture
def made(run, tmp_path: Path, monkeypatch):
    """Makes a dispatcher over a folder's ledger, and the staff that it hires; `others` are further backbones."""

    def make(faults=(), workers=1, stopping=None, parallel=1, others=(), **compute):
        own = run.model_copy(update={"compute": Compute(shard=4, **compute)})
        staff = Staff(faults)
        monkeypatch.setattr("pipeline.dispatch.dispatcher.hire", lambda *described: staff.hire(described[-1]))
        monkeypatch.setattr("pipeline.dispatch.dispatcher.dismiss", staff.dismiss)
        monkeypatch.setattr("pipeline.dispatch.dispatcher.node_lives", lambda node: True)
        wanted, packed = Wanted(0.0, workers, workers), PackedImages("none", "none.arrow", "")
        images = dict.fromkeys([own.backbone, *others], packed)
        dispatcher = Dispatcher(own, images, str(tmp_path / "ledger"), wanted, stopping, parallel=parallel)
        return dispatcher, staff

    return make
