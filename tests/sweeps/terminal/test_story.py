import os

import pytest

from pipeline.session import DispatcherGoneError
from pipeline.storage.folder import Home
from sweeps.terminal.ending import Interrupted
from sweeps.terminal.story import story_written


class Noted:
    """Stands for a session: notes what it is told; from the `gone`th on there is nobody to tell."""

    def __init__(self, gone=99):
        self.notes, self.gone, self.file = [], gone, None

    def with_story(self, uri, name):
        self.file = (uri, name)
        return self

    def note(self, event, **facts):
        if len(self.notes) == self.gone:
            raise DispatcherGoneError("gone")
        self.notes.append((event, facts))


def written(session, tmp_path):
    return story_written(session, Home(str(tmp_path)), "sweeps/abc", "glyphs", 20)


def test_a_command_tells_when_it_began_and_that_it_finished(tmp_path):
    session = Noted()
    with written(session, tmp_path) as same:
        assert same is session
    assert session.file == (str(tmp_path), "sweeps/abc/events.jsonl")
    (began, facts), ended = session.notes
    assert (began, facts["name"], facts["planned"], facts["pid"]) == ("began", "glyphs", 20, os.getpid())
    assert ended == ("ended", {"how": "finished"})


def test_the_kind_of_a_command_is_told_where_it_has_one(tmp_path):
    session = Noted()
    with story_written(session, Home(str(tmp_path)), "sweeps/abc", "glyphs", 20, "0123456789ab"):
        pass
    with written(session, tmp_path):
        pass
    assert [facts.get("kind") for event, facts in session.notes if event == "began"] == ["0123456789ab", None]


@pytest.mark.parametrize(
    ("error", "how", "why"),
    [
        (Interrupted(15), "interrupted", "interrupted by SIGTERM"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (RuntimeError("no\nroom"), "failed", "no room"),
    ],
)
def test_what_ended_a_command_is_told(tmp_path, error, how, why):
    session = Noted()
    with pytest.raises(type(error)), written(session, tmp_path):
        raise error
    assert session.notes[-1] == ("ended", {"how": how, "why": why})


def test_a_dispatcher_that_is_gone_hides_no_error(tmp_path):
    with pytest.raises(RuntimeError, match="what really happened"), written(Noted(gone=1), tmp_path):
        raise RuntimeError("what really happened")
