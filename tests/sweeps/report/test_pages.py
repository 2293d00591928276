"""What a browser shows of a finished sweep: MLflow's pages and the report, kept as pictures in build/screenshots."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweeps.test_sweep import ended, started

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FPT = Path(sys.executable).with_name("fpt")
SCREENSHOTS = Path(__file__).parents[3] / "build" / "screenshots"
SECONDS = 60_000  # milliseconds that a page may take to show what it should

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The home of a finished sweep, and what the sweep printed."""
    home = tmp_path_factory.mktemp("swept") / "home"
    return home, ended(started(home, "search.stop=racing"))


@pytest.fixture(scope="module")
def places(swept):
    """What `fpt ui --json` says of where to click, while it serves."""
    home, _ = swept
    command = [FPT, "ui", "sweeps/configs/glyphs.yaml", f"--set=home={home}", "--set=name=tiny", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.send_signal(signal.SIGINT)
    assert server.returncode == 0


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, request):
    """A page that reaches this machine only, its complaints in `page.complaints`; a picture of its end is kept."""
    page = browser.new_page(viewport={"width": 2600, "height": 1000})  # the table draws only columns in sight
    page.set_default_timeout(SECONDS)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
    page.close()


def drawn(page, selector):
    """The natural width of the first picture there, once it is drawn."""
    picture = page.locator(selector).first
    picture.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    return picture.evaluate("image => image.naturalWidth")


def test_the_experiment_shows_its_trials_with_what_they_are_read_by(page, places, swept):
    page.goto(places["experiment_url"])
    page.get_by_text("trials, best first").first.wait_for()  # the name of the view
    names = page.locator(".ag-row").filter(has_text="lora ·")
    names.first.wait_for()
    assert names.count() >= len(swept[1]["trials"])
    heads = page.locator("[role=columnheader]")
    heads.filter(has_text="score").first.wait_for()
    along = heads.evaluate_all("heads => heads.map(head => [head.getBoundingClientRect().x, head.innerText])")
    shown = list(dict.fromkeys(name for _, name in sorted(along)))
    columns = ["score", "to_best", "accuracy", "episodes", "lambda", "alpha", "tau", "patches", "lr", "stopped_by"]
    assert [name for name in shown if name in columns] == columns


def test_trials_are_nested_in_their_sweep(page, places):
    page.goto(f"{places['experiment_url'].split('?')[0]}?workflowType=machine_learning")
    sweep = page.locator(".ag-row").filter(has_text="tiny ").first
    sweep.locator("button").first.click()
    page.locator(".ag-row").filter(has_text="lora ·").first.wait_for()


def test_metrics_are_drawn_by_episodes(page, places):
    page.goto(f"{places['experiment_url']}&compareRunsMode=CHART")
    page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
    page.get_by_text("attention_on_key_after", exact=True).first.wait_for()


def test_the_report_itself_is_what_is_linked(page, places):
    page.goto(places["report_url"])
    report = page.frame_locator("iframe.mlflow-html-iframe")
    report.get_by_role("heading", name="Settings on unseen episodes").wait_for()
    assert report.locator(".banner .outcome").count() == 1


def test_the_sweep_tells_its_verdict_and_its_data(page, places):
    page.goto(places["run_url"])
    page.get_by_text("on 6 unseen").first.wait_for()  # episodes, or ones
    page.get_by_text("glyphs", exact=False).first.wait_for()
    assert page.get_by_text("Datasets used").count() or page.get_by_text("Datasets").count()


@pytest.mark.parametrize("name", ["episode-0.png", "differences.png", "racing.png", "parallel.png"])
def test_pictures_are_shown_among_the_artifacts(page, places, name):
    page.goto(places["run_url"].replace("?", "/artifacts?"))
    page.get_by_text(name).first.click()
    assert drawn(page, "img[src^='blob:']") >= 500


def test_the_report_needs_no_network(browser, swept):
    home, said = swept
    (report,) = (home / "sweeps").glob("*/report.html")
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(report.as_uri())
    for picture in page.locator("img").all():
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
        assert picture.get_attribute("alt")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "report.png", full_page=True)
    assert {url for url in asked if not url.startswith("data:")} == {report.as_uri()}
    assert complaints == []
    accuracy = f"{100 * said['final']['accuracy']:.1f}"
    assert accuracy in page.locator("body").inner_text()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390  # nothing moves sideways but what is in a box
    page.close()
