import os
import pty
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from pipeline.dispatch.status import Status
from pipeline.session import DispatcherGoneError
from sweeps.statistics.estimates import Estimate
from sweeps.terminal import progress
from sweeps.terminal.progress import Best, Progress, Speed, Trials, is_live, shown

BEST = Best("lora · lambda 0.3 · alpha 0.1 · tau 1 · P 3 · lr 0.03", Estimate(0.703, 0.021, 100))


def status(computed, reused=0, workers=2, **more):
    return Status(computed=computed, reused=reused, workers=workers, seconds=1.0, **more)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved: clock[0] += seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def drawn(shown_as, told, width):
    """The lines of a frame, as a terminal of that width shows them."""
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(progress.frame(shown_as.facts(told), width))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_line_before_anything_is_known(clock):
    assert Progress(400).line(status(0)) == ("  0 % · 0 of 400 episodes · -/s · 2 workers · time left not known yet")


def test_speed_and_time_left_come_from_what_was_computed(clock):
    shown_as = Progress(1000)
    shown_as.line(status(0, reused=100))
    clock[0] += 50  # images and workers are got ready: not part of the speed
    shown_as.line(status(0, reused=100, first_order=1.0))
    for computed in (10, 30, 40):
        clock[0] += 10
        line = shown_as.line(status(computed, reused=100, first_order=1.0))
    # 40 in 30 s; 1000 - 40 - 100 are left, which takes 645 s
    assert line == " 14 % · 140 of 1000 episodes · 1.3/s · 2 workers · 10:45 left"


def test_what_was_foreseen_is_told_until_orders_tell_more(clock):
    """20 problems took 80 s of two workers' time, so that 980 take about 1960 s."""
    shown_as = Progress(1000)
    shown_as.foreseen = "about 20 to 30 minutes"
    assert shown_as.line(status(0)).endswith(" · 2 workers · about 20 to 30 minutes in all")
    told = shown_as.line(status(20, busy_seconds=80.0, first_order=1.0))
    assert told.endswith(" · -/s · 2 workers · about 26 to 43 minutes left, by the first orders")
    assert "left not known yet" in Progress(1000).line(status(20, busy_seconds=80.0, workers=0))


def test_a_burst_at_the_start_is_no_speed():
    """Sixteen workers end their first orders in the same second, after a minute: not 16 orders a second."""
    speed = Speed()
    assert speed.at(0.0, 0, False) is None
    assert speed.at(10.0, 0, True) is None
    told = [speed.at(70 + order / 16, 8 * order, True) for order in range(1, 17)]
    assert told[:2] == [None, None]
    assert told[-1] == pytest.approx(128 / 61)


def test_speed_is_that_of_the_last_minute():
    speed = Speed()
    for second in range(300):
        speed.at(float(second), second, True)
    for second in range(300, 400):
        told = speed.at(float(second), 300 + 5 * (second - 299), True)
    assert told == pytest.approx(5)


def test_a_slow_sweep_has_a_speed_too_and_a_stall_lowers_it():
    speed = Speed()
    told = [speed.at(200.0 * order, order, True) for order in range(5)]
    assert told[-1] == pytest.approx(1 / 200)
    assert speed.at(1600.0, 4, True) == pytest.approx(3 / 1400)


def test_a_dispatcher_that_starts_again_counts_from_nothing():
    speed = Speed()
    for second in range(10):
        assert speed.at(float(second), 100 * second, True) or second < 3
    assert speed.at(10.0, 5, True) is None


def test_long_times_have_hours(clock):
    shown_as = Progress(100_000)
    for _ in range(5):
        clock[0] += 1
        line = shown_as.line(status(int(clock[0]) - 100))
    assert "· 27:46:35 left" in line


def test_a_note_comes_last(clock):
    shown_as = Progress(8)
    shown_as.note = "final evaluation"
    line = "100 % · 8 of 8 episodes · -/s · 2 workers · final evaluation"
    assert shown_as.line(status(0, reused=8)) == line


@pytest.mark.parametrize(
    ("trials", "told"),
    [
        (Trials(0, 750, 0), "0 of 750 looks, at 0 settings"),
        (Trials(40, 750, 31), "40 of 750 looks, at 31 settings"),
        (Trials(750, 750, 300, racing=10), "10 of 10 race, 0 were stopped"),
        (Trials(750, 750, 300, racing=3, raced=7, stopped=7), "3 of 10 race, 7 were stopped"),
        (Trials(750, 750, 300, racing=0, raced=10, stopped=7), "0 of 10 race, 7 were stopped"),
    ],
)
def test_trials_are_told_by_looks_and_then_by_who_races(trials, told):
    assert str(trials) == told


def test_a_search_tells_its_trials_and_the_best_of_them(clock):
    shown_as = Progress(1000)
    shown_as.searching(Trials(18, 32, 15), BEST)
    assert shown_as.line(status(0)).endswith(
        " · trials: 18 of 32 looks, at 15 settings · best so far 70.3 ± 2.1 % on 100 validation episodes "
        "(lora · lambda 0.3 · alpha 0.1 · tau 1 · P 3 · lr 0.03)"
    )
    shown_as.note = "final evaluation"
    assert shown_as.line(status(0)).endswith(" left not known yet · final evaluation")


def test_what_a_race_has_spared_is_not_left_and_more_may_be(clock):
    shown_as = Progress(1000)
    shown_as.searching(Trials(32, 32, 20, racing=3, raced=5, stopped=5, spared=200), None)
    for computed in (0, 10, 20, 30):
        line = shown_as.line(status(computed, first_order=1.0))
        clock[0] += 10
    assert line.startswith("  3 % · 30 of 800 episodes · 1.0/s · 2 workers · up to 12:50 left · trials: ")
    shown_as.note = "final evaluation"  # judge() has counted anew
    assert "30 of 1000 episodes" in shown_as.line(status(30))


def test_workers_that_are_wanted_and_not_there_are_told_of(clock):
    assert " · 1 of 4 workers · " in Progress(8).line(status(0, workers=1, wanted=4))
    assert " · 4 workers · " in Progress(8).line(status(0, workers=4, wanted=4))


def test_what_is_wrong_is_told(clock):
    shown_as = Progress(8)
    shown_as.away_since = lambda: 37.0
    complaint = "home must be a folder that all nodes share"
    lines = shown_as.line(status(0, complaint=complaint, lost=("episode 3 of novel",))).split(" · ")
    assert lines[-3:] == [
        "MLflow has not answered for 1:03; what it has missed it is told later",
        f"a worker could not be started: {complaint}",
        "left out, as each worker that tried them died: 1 episodes",
    ]
    shown_as.away_since = lambda: None
    assert "MLflow" not in shown_as.line(status(0))


def test_a_frame_has_few_lines_that_fit(clock):
    shown_as = Progress(1000)
    assert drawn(shown_as, status(0, workers=0), 80)[0] == "starting workers"
    shown_as.searching(Trials(32, 32, 20, racing=3, raced=5, stopped=5), BEST)
    assert drawn(shown_as, status(500), 80) == [
        "search",
        f"{'━' * 20}{' ' * 22} 50 %  time left not known yet",
        "500 of 1000 episodes · -/s · 2 workers",
        "trials: 3 of 8 race, 5 were stopped",
        "best so far 70.3 ± 2.1 % on 100 validation episodes",
        "  lora · lambda 0.3 · alpha 0.1 · tau 1 · P 3 · lr 0.03",
    ]
    for width in (20, 30, 50):
        narrow = drawn(shown_as, status(500), width)
        assert len(narrow) == 6
        assert max(map(len, narrow)) <= width
    shown_as.note = "final evaluation: 5 settings on 600 unseen episodes"
    final = drawn(shown_as, status(500), 80)
    assert final[0] == shown_as.note
    assert final[3] == "best of the search 70.3 ± 2.1 % on 100 validation episodes"


def test_what_is_wrong_is_not_cut_off(clock):
    frame = drawn(Progress(8), status(0, complaint="home must be a folder that all nodes share"), 40)
    assert "nodes share" in frame[-1]


@pytest.mark.parametrize(
    ("terminal", "isatty", "live"), [("xterm", True, True), ("dumb", True, False), ("xterm", False, False)]
)
def test_lines_are_drawn_over_on_terminals_only(terminal, isatty, live, monkeypatch):
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")  # in a log of a CI, say
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: isatty, raising=False)
    assert is_live(Console(stderr=True)) is live


class StandIn:
    """A session; its status may be an error."""

    def __init__(self, answer):
        self.answer, self.asked = answer, 0

    def status(self, seconds):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)


@pytest.mark.usefixtures("often")
def test_lines_go_to_standard_error(capsys):
    session = StandIn(status(3))
    with shown(Progress(6), session):
        while session.asked < 3:
            time.sleep(0.01)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) >= 3
    assert err.splitlines()[-2].startswith(" 50 % · 3 of 6 episodes")
    assert err.splitlines()[-1].startswith("100 % · 3 of 3 episodes")  # more were not needed
    assert all(character.isprintable() for character in err.replace("\n", ""))


@pytest.mark.usefixtures("often")
def test_an_error_inside_is_not_hidden_by_a_dispatcher_that_is_gone():
    with pytest.raises(RuntimeError, match="what really happened"), shown(Progress(6), StandIn(gone())):
        raise RuntimeError("what really happened")


@pytest.mark.usefixtures("often")
def test_a_dispatcher_that_goes_ends_the_display_in_silence(capsys):
    session = StandIn(gone())
    with shown(Progress(6), session):
        while session.asked < 1:
            time.sleep(0.01)
        time.sleep(0.05)
        assert session.asked == 1
        session.answer = status(6)
    assert capsys.readouterr().err.startswith("100 %")


@pytest.mark.usefixtures("often")
def test_a_dispatcher_that_is_slow_to_answer_is_asked_again():
    session = StandIn(TimeoutError())
    with shown(Progress(6), session):
        while session.asked < 3:
            time.sleep(0.01)


def gone():
    return DispatcherGoneError()


IN_A_TERMINAL = """
import sys, time
from pipeline.dispatch.status import Status
from sweeps.terminal import progress
progress.LIVE_SECONDS = 0.05
class StandIn:
    def status(self, seconds): return Status(computed=3, workers=2)
with progress.shown(progress.Progress(6), StandIn()):
    time.sleep(0.4)
    print("somebody else", file=sys.stderr)
    time.sleep(0.4)
print("result")
"""


def test_a_terminal_is_drawn_over_and_left_with_one_line():
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL],
        stderr=theirs,
        stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "60", "NO_COLOR": "1"},
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 4096):
            written += part
    except OSError:
        pass  # the other end is closed: the process has ended
    finally:
        os.close(ours)
    assert process.communicate()[0] == b"result\n"
    text = written.decode()
    assert "\x1b[2K" in text  # a line is wiped before it is drawn over
    assert not re.search(r"\x1b\[[\d;]*3\dm", text)  # and has no colour
    assert "somebody else" in text
    assert text.splitlines()[-1].endswith("100 % · 3 of 3 episodes · -/s · 2 workers")
    assert text.count("episodes · -/s") <= 5  # not with every look: at first, below somebody else's line, at the end
