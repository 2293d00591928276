"""Slurm's programs and kubectl, played by scripts that keep what they were told in a folder."""

import os
import sys
from pathlib import Path

# Slurm: `queue` holds lines "number state", a job's log grows as its script says, and `tick` counts looks at the queue.
SLURM = r"""
import json, os, pathlib, re, sys
here = pathlib.Path(__file__).parent
program, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with (here / "calls").open("a") as file:
    file.write(json.dumps([program, *arguments]) + "\n")
plan = json.loads((here / "plan").read_text())
queue = here / "queue"
lines = queue.read_text().split("\n") if queue.exists() else []
if program == "sbatch":
    if "refuses" in plan:
        sys.exit(plan["refuses"])
    number = 41 + (here / "calls").read_text().count('["sbatch"')
    script = pathlib.Path(arguments[-1]).read_text()
    log = re.search(r'--output="(.*)"', script)[1].replace("%j", str(number)).replace("%%", "%")
    name = re.search(r"--job-name=(.*)", script)[1]
    (here / "job").write_text(json.dumps({"number": number, "log": log, "name": name, "steps": plan["steps"]}))
    queue.write_text(f"{number} PENDING")
    print(f"{number};cluster")
elif program == "scancel":
    queue.write_text("")
elif program == "squeue" and plan.get("away", 0) and queue.exists():
    plan["away"] -= 1
    (here / "plan").write_text(json.dumps(plan))
    sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
elif program == "squeue":
    job = json.loads((here / "job").read_text()) if (here / "job").exists() else {}
    if f"--name={job.get('name')}" not in arguments:
        sys.exit()
    print(queue.read_text(), end="")
    if job["steps"] and (queue.read_text() or job.get("between")):  # what happens until the next look
        state, text, status = job["steps"].pop(0)
        job["between"] = state == ""
        with open(job["log"], "a") as log:
            log.write(text)
        if status is not None:
            pathlib.Path(re.sub(r"-(\d+)\.log$", r"-ended-\1", job["log"])).write_text(f"{status}\n")
        queue.write_text(f"{job['number']} {state}" if state else "")
        (here / "job").write_text(json.dumps(job))
"""

# Kubernetes: `rayjob` holds the status of the only one there is; `steps` are the statuses that it goes through.
KUBECTL = r"""
import json, pathlib, sys
here = pathlib.Path(__file__).parent
arguments = [one for one in sys.argv[1:] if not one.startswith("--namespace")]
with (here / "calls").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\n")
plan, rayjob = json.loads((here / "plan").read_text()), here / "rayjob"
if "refuses" in plan:
    sys.exit(plan["refuses"])
if arguments[0] == "apply":
    (here / "applied.yaml").write_text(sys.stdin.read())
    rayjob.write_text(json.dumps({"status": {}}))
elif arguments[0] == "delete":
    rayjob.unlink()
elif arguments[0] == "get" and rayjob.exists():
    print(rayjob.read_text())
    if plan["steps"]:
        rayjob.write_text(json.dumps({"status": plan["steps"].pop(0)}))
        (here / "plan").write_text(json.dumps(plan))
elif arguments[0] == "logs":
    print("\n".join(plan["log"]))
"""


def played(folder: Path, names: tuple[str, ...], text: str) -> None:
    """Makes programs of these names in a folder, all of one text."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"#!{sys.executable} -IS\n{text}")
        (folder / name).chmod(0o755)


def first_on_path(folder: Path) -> str:
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
