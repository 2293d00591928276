import json
import time

from typer.testing import CliRunner

from sweeps import cli


def test_status_prints_lines_or_an_object(tmp_path):
    folder = tmp_path / "sweeps" / "abc"
    folder.mkdir(parents=True)
    began = {"time": time.time(), "event": "began", "name": "glyphs", "planned": 4, "pid": 1, "host": "elsewhere"}
    (folder / "events.jsonl").write_text(json.dumps(began))
    told = CliRunner().invoke(cli.app, ["status", "--home", str(tmp_path)])
    assert (told.exit_code, told.stdout.splitlines()[0][:22]) == (0, "abc  glyphs  running  ")
    told = CliRunner().invoke(cli.app, ["status", "ab", "--home", str(tmp_path), "--json"])
    assert json.loads(told.stdout)["commands"][0]["state"] == "running"
    refused = CliRunner().invoke(cli.app, ["status", "q", "--home", str(tmp_path)])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("fpt: ID must be one of abc")
