import pytest
from matplotlib.figure import Figure


@pytest.fixture
def texts(monkeypatch):
    """What is written into pictures, with its colours."""
    written = []
    text, save = Figure.text, Figure.savefig

    def noted(self, *place, **style):
        written.append((place[2], style.get("color")))
        return text(self, *place, **style)

    def saved(self, *arguments, **style):
        written.extend((axis.get_xlabel(), None) for axis in self.axes if axis.get_xlabel())
        return save(self, *arguments, **style)

    monkeypatch.setattr(Figure, "text", noted)
    monkeypatch.setattr(Figure, "savefig", saved)
    return written
