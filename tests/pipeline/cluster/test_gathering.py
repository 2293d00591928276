"""A head node waits for the others."""

import socket

from pipeline.cluster.gathering import gather, nodes_at


def counted(*counts):
    """Returns a function that answers one count after the other, and the last for ever."""
    left = list(counts)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_it_asks_until_all_are_there(capsys):
    assert gather(3, counted(0, 1, 1, 3), every=0.0)
    assert capsys.readouterr().out == "fpt: Ray has its 3 nodes\n"


def test_it_says_what_it_waits_for(capsys):
    assert gather(3, counted(0, 1, 2, 3), every=0.0, say_every=0.0)
    said = [f"fpt: {there} of 3 nodes are there" for there in (0, 1, 2)]
    assert capsys.readouterr().out.splitlines() == [*said, "fpt: Ray has its 3 nodes"]


def test_after_some_time_it_goes_on_with_those_that_are_there(capsys):
    assert gather(3, counted(2), seconds=0.0)
    assert "2 of 3 nodes are there after 0 s; those that come later are used too" in capsys.readouterr().out
    assert not gather(3, counted(0), seconds=0.0)
    assert "0 of 3 nodes are there after 0 s; Ray has not started" in capsys.readouterr().out


def test_where_nothing_answers_there_is_no_node():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert nodes_at(f"127.0.0.1:{port}") == 0
