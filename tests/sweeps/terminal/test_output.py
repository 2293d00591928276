"""What is written is read by any terminal, and by readers that have had enough."""

import codecs
import io
import os
import subprocess
import sys

import pytest

from sweeps.terminal.output import ENOUGH, HANDLER, in_signs_that_there_are, take_any_letter

FPT = [sys.executable, "-m", "sweeps.cli"]


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "a → b · 3 × é 字 ?"),
        ("latin-1", "a -> b · 3 × é ? ?"),
        ("ascii", "a -> b - 3 x e ? ?"),
        ("cp1252", "a -> b · 3 × é ? ?"),
    ],
)
def test_letters_that_are_not_there_get_signs(encoding, written):
    codecs.register_error(HANDLER, in_signs_that_there_are)
    assert "a → b · 3 × é 字 \udc80".encode(encoding, HANDLER).decode(encoding) == written


def test_both_streams_take_any_letter(monkeypatch):
    streams = {name: io.TextIOWrapper(io.BytesIO(), "ascii") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    take_any_letter()
    for stream in streams.values():
        stream.write("→")
        stream.flush()
        assert stream.buffer.getvalue() == b"->"


def test_names_of_files_are_utf8_whatever_the_locale(tmp_path):
    for name in ("héron", "鳥", "a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "é.png").touch()
    found = [
        subprocess.run(
            [*FPT, "data", "list", tmp_path / "photos", "--json"],
            env={**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0"},
            capture_output=True,
            check=True,
        ).stdout
        for locale in ("C.UTF-8", "C")
    ]
    assert found[0] == found[1]
    assert "h\\u00e9ron" in found[0].decode()


def closed_pipe():
    reads, writes = os.pipe()
    os.close(reads)
    return writes


@pytest.mark.parametrize(
    "arguments",
    [["--help"], [], ["--version"], ["sweep", "--help"], ["status"], ["data", "list", "."], ["no-such-command"]],
)
@pytest.mark.parametrize("both", [False, True])
def test_a_reader_that_leaves_is_no_error(arguments, both, tmp_path):
    pipe = closed_pipe()
    done = subprocess.run(
        [*FPT, *arguments], stdout=pipe, stderr=pipe if both else subprocess.PIPE, cwd=tmp_path, check=False, text=True
    )
    os.close(pipe)
    assert done.returncode in (0, 2, ENOUGH)
    assert both or "Pipe" not in done.stderr
    assert both or "Traceback" not in done.stderr


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_locale_without_letters_is_no_error(locale, tmp_path):
    (tmp_path / "c.yaml").write_text("name: é → b\nsolver: {lr: ä→}\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONCOERCECLOCALE": "0", **locale}
    done = subprocess.run(
        [*FPT, "run", "c.yaml"], capture_output=True, cwd=tmp_path, env=environment, check=False, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("fpt: solver.lr must be a valid number, unable to parse string as a number but got")
