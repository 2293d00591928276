"""How MLflow's pages bear a sweep of many trials: `python -m benchmarks.browsing [--children 500] [--folder FOLDER]`.

A sweep's run with so many children, recorded as a sweep records them (SQLite, made-up figures), is opened in Chromium
through `fpt ui`; each page is timed from its address to what it is opened for. Takes the package `playwright` and a
Chromium; pictures of the pages are kept in the folder.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.identity import Inputs
from sweeps.schema.identity import NOT_OF_A_SWEEP
from sweeps.schema.loading import load
from sweeps.schema.naming import setting_name
from sweeps.tracking.fields import parameters_of_sweep, parameters_of_trial, tags_of
from sweeps.tracking.tracker import Tracker
from sweeps.tracking.views import arrangement

CONFIG = Path(__file__).parents[1] / "sweeps" / "configs" / "glyphs.yaml"
INPUTS = Inputs("made", "up", "float32")
NAMES = ("lambda", "alpha", "tau", "patches", "lr")
REPEATS = 3


def record(folder: Path, children: int) -> float:
    """Seconds that recording takes a child."""
    sweep, random = load(CONFIG, []), np.random.default_rng(0)
    assert sweep.search is not None
    tracker, run = Tracker(f"sqlite:///{folder}/mlflow.db", sweep.name), plain_run(sweep, sweep.search.split)
    tracker.start(
        "sweep x",
        "glyphs made-up",
        parameters_of_sweep(sweep, INPUTS._asdict(), NOT_OF_A_SWEEP),
        {"fpt.kind": "sweep"},
    )
    tracker.arrange(arrangement(NAMES))
    began = time.perf_counter()
    for number in range(children):
        trial = f"{number // 8}.{number % 8}"
        draws = {name: float(f"{10 ** random.uniform(-2, 0.5):.3g}") for name in NAMES}
        values: dict[str, float | int | str] = {**draws, "patches": int(random.integers(1, 9))}
        own, accuracy = with_hyper_parameters(run, values), float(random.normal(0.66, 0.01))
        described = parameters_of_trial(own, values, number // 8, 0, INPUTS)
        tracker.trial(trial, setting_name(own, values), described, {**tags_of(own, "trial"), "winner": "no"})
        reached = sweep.search.rungs[: int(random.integers(1, len(sweep.search.rungs) + 1))]
        for episodes in reached:
            tracker.report(trial, episodes, {"episodes": episodes, "accuracy": accuracy, "ci95": 0.05 / episodes**0.5})
        tracker.finish_trial(trial, "FINISHED", "racing" if len(reached) < len(sweep.search.rungs) else "none")
        tracker.score(trial, reached[-1], {"score": accuracy, "to_best": accuracy - 0.69})
    tracker.summarise({"episodes": 300, "accuracy": 0.69}, 300, "made up", [], {"verdict": "prompts help"}, "0.0")
    assert tracker.flush(3600) == 0
    tracker.close()
    return (time.perf_counter() - began) / children


def pages(places: dict[str, str]) -> dict[str, Callable[[Page], None]]:
    """What is opened, and what is waited for."""

    def table(page: Page) -> None:
        page.goto(places["experiment_url"])
        page.locator(".ag-row").filter(has_text="lora ·").first.wait_for()

    def sort(page: Page) -> None:
        first = 'Array.from(document.querySelectorAll(`.ag-row[row-index="0"]`), row => row.innerText).join()'
        before = page.evaluate(first)
        page.locator("[role=columnheader]").filter(has_text="lr").last.click()
        page.wait_for_function(f"before => {first} && {first} !== before", arg=before)

    def more(page: Page) -> None:
        page.get_by_role("button", name="Load more").click()
        page.get_by_text("200 matching runs").or_(page.get_by_text("200", exact=True)).first.wait_for()

    def charts(page: Page) -> None:
        page.goto(f"{places['experiment_url']}&compareRunsMode=CHART")
        page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()

    def sweep(page: Page) -> None:
        page.goto(places["run_url"])
        page.get_by_text("Child runs").first.wait_for()
        page.get_by_text("lora ·").first.wait_for()

    return {
        "table of trials, best first": table,
        "sorted by a hyper-parameter": sort,
        "the next hundred": more,
        "charts": charts,
        "the sweep's own page": sweep,
    }


def opened(places: dict[str, str], folder: Path) -> dict[str, list[float]]:
    """Seconds of each page, by repeat; a fresh browser each time."""
    seconds: dict[str, list[float]] = {}
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        for _ in range(REPEATS):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 2600, "height": 1000})
            page.set_default_timeout(120_000)
            for number, (name, show) in enumerate(pages(places).items()):
                began = time.perf_counter()
                show(page)
                seconds.setdefault(name, []).append(time.perf_counter() - began)
                page.screenshot(path=folder / f"{number}.png")
            browser.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=int, default=500)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    folder: Path = asked.folder or Path(mkdtemp(prefix="browsing-"))
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "mlflow.db").exists():
        print(f"recorded {asked.children} children, {1000 * record(folder, asked.children):.0f} ms each")
    command = [str(Path(sys.executable).with_name("fpt")), "ui", str(CONFIG), f"--set=home={folder}", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            places: dict[str, Any] = json.loads(server.stdout.readline())
            seconds = opened(places, folder)
        finally:
            server.send_signal(signal.SIGINT)
    print("| page | seconds, median (least to most) |\n|---|---|")
    for name, each in seconds.items():
        print(f"| {name} | {median(each):.1f} ({min(each):.1f} to {max(each):.1f}) |")
    print(f"pictures: {folder}")


if __name__ == "__main__":
    main()
