import optuna
import pytest

from sweeps.search import looks


@pytest.fixture(autouse=True)
def quiet():
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(verbosity)


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch):
    """A search chooses among fewer settings than in earnest, for speed."""
    monkeypatch.setattr(looks, "NEW", 64)
    monkeypatch.setattr(looks, "NEAR", 8)
