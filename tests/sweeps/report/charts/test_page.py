import base64
import io
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from PIL import Image

from sweeps.report.charts.album import Picture, draw_all
from sweeps.report.charts.page import LARGE, configuration, data_of, marked_up, write_page
from sweeps.report.text import as_markdown, as_table, verdict
from sweeps.schema.sweep import Sweep
from tests.sweeps.findings import NOT_LOCATED, SWEEP
from tests.sweeps.report.charts.trials import ODD, findings

EMPTY = {"meta", "link", "img"}


class Page(HTMLParser):
    """Its elements with their attributes, the texts of its cells by table, and whether all that opens is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.tables, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data.replace("\u00a0", " "))
        if "table" in self.open and ("td" in self.open or "th" in self.open):
            self.tables[-1][-1][-1] += data.strip().replace("\u00a0", " ")

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def trials(self):
        return next((table for table in self.tables if table[0][0] == "trial"), [[]])


def page_of(special, pictures, folder):
    return write_page(findings()[special], SWEEP, pictures, folder / "report.html").read_text()


@pytest.fixture(scope="session")
def written(pictures_of, tmp_path_factory):
    """A function: the page of a special finding, written once."""
    return cache(lambda special: page_of(special, pictures_of(special), tmp_path_factory.mktemp("page")))


@pytest.mark.parametrize("special", findings())
def test_a_page_is_whole_and_needs_nothing_else(special, written):
    found, text = findings()[special], written(special)
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    assert [one["charset"] for one in page.all("meta") if "charset" in one] == ["utf-8"]
    assert not re.search(r"\bnan\b|None", " ".join(page.text))
    assert verdict(found) in " ".join(page.text)
    for _, attributes in page.elements:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "url(" not in text
    assert "@import" not in text
    assert "//" not in re.sub(r"base64,[^\"]*|//[^\n]*\n", "", text.split("<pre>")[0])
    assert all(one["alt"] for one in page.all("img"))
    assert len(text) < 3_000_000
    assert len(page.trials()) - 1 == len(found.tried) or not found.tried


def test_each_trial_is_a_row_that_sorts_by_numbers(written):
    text = written("usual")
    head, *rows = Page(text).trials()
    assert head[:6] == ["trial", "ended", "episodes of looks", "of the race", "accuracy %", "to the winner"]
    assert head[6:] == ["lambda", "alpha", "patches", "lr"]
    assert rows[0] == ["0.0", "stopped", "1", "16", "50.0", "-5.0 ± 2.0", "", "0", "", "0.02"]
    assert rows[2] == ["0.2", "winner", "1", "100", "70.0", "", "0.9", "0.16", "2", "0.012"]
    assert rows[4][:2] == ["1.1", "all episodes"]
    settings = [tuple(row[6:]) for row in rows]
    assert len(set(settings)) == len(settings) == 6
    numbers = [float(one["data-number"]) for one in Page(text).all("td") if "data-number" in one]
    of_first = [1, 16, 0.5, -0.05, 0.0, 0.02]
    assert numbers[: len(of_first)] == pytest.approx(of_first)


def test_a_column_in_which_nothing_is_known_is_left_out(tmp_path, written):
    """What seconds an episode takes is known where it differs, prompts on key where the data knows its keys."""
    page = Page(written("costs differ"))
    assert page.trials()[0][6] == "seconds an episode"
    assert len({row[6] for row in page.trials()[1:]}) == 2
    assert "prompts on key" in page.tables[0][0]
    found = findings()["usual"]
    nowhere = {name: replace(one, localisation=NOT_LOCATED) for name, one in found.compared.items()}
    unknown = replace(found, compared=nowhere)
    page = Page(write_page(unknown, SWEEP, [], tmp_path / "b" / "report.html").read_text())
    assert page.tables[0][0] == ["setting", "accuracy %", "difference", "p", "hyper-parameters"]
    assert "prompts on key" not in as_markdown(unknown, SWEEP)
    assert [column.header for column in as_table(unknown).columns] == page.tables[0][0][:-1]


def test_a_number_and_its_interval_are_not_parted(written):
    text = written("usual").split("<pre>")[0]
    assert "±" in text
    assert " ±" not in text.split("<main>")[1].split("data-number")[0]


def test_what_markdown_marks_is_marked_in_html_and_names_are_text():
    line = "**Skewed**: `fpt sweep CONFIG` gains +1.0 ± 0.5 for <b>"
    marked = "<strong>Skewed</strong>: <code>fpt sweep CONFIG</code> gains +1.0\u00a0±\u00a00.5 for &lt;b&gt;"
    assert marked_up(line) == marked


def test_a_trial_that_did_not_race_says_so(written):
    _, *rows = Page(written("most did not race")).trials()
    ended = [row[1] for row in rows]
    assert ended.count("did not race") == 290
    assert {row[3] for row in rows if row[1] == "did not race"} == {"0"}
    assert ended[-1] == "winner"


def test_the_settings_that_were_compared_are_a_table(written):
    head, best, baseline = Page(written("usual")).tables[0]
    assert head[0] == "setting"
    assert best[:4] == ["best", "72.3 ± 1.5", "+2.1 ± 0.9", "< 0.0001"]
    assert baseline[:4] == ["no prompts", "70.2 ± 1.5", "", ""]


@pytest.mark.parametrize(
    ("special", "look", "said"),
    [
        ("usual", "help", "Prompts help"),
        ("prompts harm", "harm", "Prompts harm"),
        ("no winner", "none", "No winner"),
        ("no prompts win", "none", "No setting with prompts did better"),
        ("failed", "none", "No verdict"),
        ("one episode", "none", "No winner"),
    ],
)
def test_the_banner_says_in_words_what_its_colour_says(special, look, said, written):
    page = Page(written(special))
    assert {"class": f"banner {look}"} in page.all("div")
    assert said in " ".join(page.text)


def test_names_are_escaped(written):
    text = written("odd names")
    assert "<b>" not in text
    page = Page(text)
    assert ODD in [row[0] for row in page.tables[0]]
    assert [row[0] for row in page.trials()[1:]] == [ODD] * 3
    assert any(ODD in alt for alt in (one["alt"] for one in page.all("img")))


def test_charts_are_in_the_page_byte_by_byte(written, pictures_of):
    page = Page(written("usual"))
    held = {one["src"].removeprefix("data:image/png;base64,") for one in page.all("img")}
    assert {base64.b64decode(one) for one in held} == {one.path.read_bytes() for one in pictures_of("usual")}


def test_a_large_picture_is_made_smaller(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (500, 400, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "episode-0.png")
    assert (tmp_path / "episode-0.png").stat().st_size > LARGE
    kind, _, data = data_of(tmp_path / "episode-0.png").partition(";base64,")
    assert kind == "data:image/jpeg"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (400, 500)
    found = findings()["nothing tried"]
    pictures = [Picture(tmp_path / "episode-0.png", "an episode")]
    (shown,) = Page(write_page(found, SWEEP, pictures, tmp_path / "report.html").read_text()).all("img")
    assert (shown["alt"], shown["width"], shown["height"]) == ("an episode", "286", "357")


def test_the_same_finding_gives_the_same_page(tmp_path, written):
    assert written("usual") == page_of("usual", draw_all(findings()["usual"], {}, tmp_path), tmp_path)


def test_the_configuration_is_one_that_a_sweep_takes_without_passwords():
    assert Sweep.model_validate(yaml.safe_load(configuration(SWEEP))) == SWEEP
    secret = SWEEP.model_copy(update={"tracking_uri": "https://me:hunter2@mlflow.example"})
    assert "hunter2" not in configuration(secret)
    assert "https://me:***@mlflow.example" in configuration(secret)
