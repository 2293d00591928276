"""Standard output and error, whatever reads them: a terminal of few letters, or a program that has read enough."""

import codecs
import io
import os
import select
import sys
import unicodedata
from contextlib import suppress

ENOUGH = 141  # the status of a command whose reader has left, as shells know it: 128 + SIGPIPE
SIGNS = {"→": "->", "←": "<-", "·": "-", "×": "x", "–": "-", "—": "-", "−": "-", "…": "...", "±": "+/-", "≥": ">="}
SIGNS |= {"≤": "<=", "≈": "~", "•": "*", "✓": "v", "✗": "x", "█": "#", "━": "-", "─": "-", "│": "|", "“": '"', "”": '"'}
SIGNS |= {"’": "'", "‘": "'", "λ": "lambda", "α": "alpha", "τ": "tau"}
HANDLER = "fpt_signs"


def in_signs_that_there_are(error: UnicodeError) -> tuple[str, int]:
    """Returns, as an error handler of codecs does, what stands for letters that an encoding lacks: a sign of SIGNS, the
    letter without its accent, or a question mark.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    told = "".join(SIGNS.get(letter) or _plain(letter) for letter in error.object[error.start : error.end])
    return told.encode(error.encoding, "replace").decode(error.encoding, "replace"), error.end


def _plain(letter: str) -> str:
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"


def take_any_letter() -> None:
    """Has standard output and error take every letter, whatever the locale."""
    codecs.register_error(HANDLER, in_signs_that_there_are)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def begin_again_in_utf8() -> None:
    """Begins this program again with names of files as UTF-8, where the locale has them read by another encoding: a
    class would be called otherwise, and a folder not be found on another machine. The terminal keeps its encoding.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return
    os.environ["PYTHONUTF8"] = "1"  # workers of Ray take it over
    os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def reader_has_left() -> bool:
    """Tells whether what reads standard output or error has closed it, as `head` does when it has its lines."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # a stream without a file, or closed
            poll = select.poll()
            poll.register(stream.fileno(), select.POLLOUT)
            if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
                return True
    return False


def say_no_more() -> None:
    """Has nothing more written to standard output and error, nor complained of when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
