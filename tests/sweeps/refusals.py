"""How a command refuses bad input: before it writes anything."""

from pathlib import Path


def refused(result, sentence):
    """Status 2 and the sentence alone, below what says that the command has begun."""
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("fpt: starting")]
    assert len(lines) == 1
    assert lines[0].startswith(f"fpt: {sentence}")
    assert list(Path.cwd().iterdir()) == []
