import pytest

from sweeps.report.placing import placed_when_done


def test_files_are_in_place_when_the_block_ends_and_nothing_else_is(tmp_path):
    folder = tmp_path / "new" / "folder"
    with placed_when_done(folder) as drawn:
        (drawn / "b.md").write_text("b")
        (drawn / "a.md").write_text("a")
        assert not folder.exists()
        assert drawn.parent == folder.parent  # on the same disk, or a move would be a copy
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"a.md": "a", "b.md": "b"}
    assert list(folder.parent.iterdir()) == [folder]


def test_the_last_is_moved_when_all_others_are_there(tmp_path, monkeypatch):
    moved = []
    monkeypatch.setattr("sweeps.report.placing.os.replace", lambda file, target: moved.append(target.name))
    with placed_when_done(tmp_path / "folder", last="b") as drawn:
        for name in "abc":
            (drawn / name).touch()
    assert moved == ["a", "c", "b"]


@pytest.mark.parametrize("broken", [KeyboardInterrupt(), OSError("no room")])
def test_a_block_that_is_interrupted_leaves_a_folder_as_it_was(tmp_path, broken):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.md").write_text("old")

    def draw():
        with placed_when_done(folder) as drawn:
            (drawn / "a.md").write_text("ne")
            (drawn / "b.md").write_text("new")
            raise broken

    with pytest.raises(type(broken)):
        draw()
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"a.md": "old"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_block_that_is_interrupted_makes_no_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt), placed_when_done(tmp_path / "folder"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
