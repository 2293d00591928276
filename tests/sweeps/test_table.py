import csv
import json
import re
from pathlib import Path

import mlflow
import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipeline.config import FROZEN, STEERED, plain_run
from sweeps import cli
from sweeps.config import load
from sweeps.layouts import Cell, as_latex, as_markdown, as_records, as_table, write_files
from sweeps.statistics import Estimate
from sweeps.table import Pair, cells_of, check_table, make_table, metrics_of, pairs_of
from tests.sweeps.tiny import CONFIG, TINY

SHIPPED = CONFIG.with_name("glyphs-table.yaml")
OF_TABLE = "table={shots: [1, 2], episodes: {closed_form: 3, fine_tuned: 2}, solvers: {knn: {}, lora: {}}}"
RUN = plain_run(load(CONFIG, TINY))
CAPTION = (
    "Accuracy in %, 3-way, 3 queries a class, split novel, vit_micro_glyphs; "
    "difference: paired, with minus without prompts; intervals are 95 %."
)


def tiny(*overrides):
    return load(CONFIG, [*TINY, OF_TABLE, *overrides])


def cell(solver, shot, mean, difference=None, episodes=200):
    estimate = None if mean is None else Estimate(mean, 0.01, episodes)
    return Cell(solver, shot, difference is not None, episodes, f"{solver} {shot}", estimate, difference)


CELLS = [
    cell("R2-D2", 1, 0.5, episodes=400),
    cell("my_lora", 1, 0.612),
    cell("my_lora", 1, 0.634, Estimate(0.022, 0.0149, 200)),
    cell("R2-D2", 5, 0.75, episodes=400),
    cell("my_lora", 5, None),
    Cell("my_lora", 5, True, 200, "my_lora 5", Estimate(0.8, 0.01, 200), None),
]


def test_the_shipped_table_has_every_solver_at_both_shots():
    sweep = load(SHIPPED, [])
    pairs = pairs_of(sweep, check_table(sweep))
    assert sorted({pair.runs[0].solver.name for pair in pairs}) == sorted({*FROZEN, *STEERED, "linear_probe"})
    assert [pair.shot for pair in pairs] == [1] * 11 + [5] * 11
    assert all(pair.episodes >= (400 if pair.runs[0].solver.name in FROZEN else 200) for pair in pairs)
    searched = load(CONFIG, [])
    assert sweep.episodes.model_copy(update={"count": 0}) == searched.episodes.model_copy(update={"count": 0})
    assert (sweep.dataset, sweep.backbone) == (searched.dataset, searched.backbone)
    assert sweep.prompts == searched.prompts


def test_a_solver_is_paired_with_itself_without_prompts():
    changes = (
        "table.without_prompts.lora.lr={1: 0.5, 2: 0.25}",
        "table.at_shot={2: {epochs: 1}}",
        "table.solvers.lora.rank=2",
    )
    sweep = tiny(*changes)
    pairs = pairs_of(sweep, sweep.table)
    assert [(pair.label, pair.shot, pair.episodes, len(pair.runs)) for pair in pairs] == [
        ("knn", 1, 3, 1),
        ("lora", 1, 2, 2),
        ("knn", 2, 3, 1),
        ("lora", 2, 2, 2),
    ]
    without, prompted = pairs[1].runs
    assert (without.prompts.alpha, without.solver.lr) == (0, 0.5)
    assert prompted == RUN.model_copy(update={"solver": RUN.solver.model_copy(update={"rank": 2})})
    assert [(run.solver.epochs, run.solver.lr) for run in pairs[3].runs] == [(1, 0.25), (1, 0.01)]


def test_labels_are_free_and_prompts_may_be_left_out():
    sweep = tiny("table.solvers={LoRA 8: {name: lora, rank: 8, alpha: 0}, linear probe: {}}", "table.shots=[1]")
    lora, probe = pairs_of(sweep, sweep.table)
    assert (lora.label, len(lora.runs), lora.runs[0].solver.rank) == ("LoRA 8", 1, 8)
    assert (probe.runs[0].solver.name, len(probe.runs), probe.episodes) == ("linear_probe", 1, 2)


MISTAKES = [
    ("table.shotz=[1]", "table.shotz is not a field; did you mean table.shots?"),
    ("table.episodes.closed=1", "table.episodes.closed is not a field; did you mean table.episodes.closed_form?"),
    ("table.shots=[]", "table: shots must hold different numbers but got []"),
    ("table.shots=[1, 1]", "table: shots must hold different numbers but got [1, 1]"),
    ("table.solvers={}", "table: solvers must name at least one but got {}"),
    ("table.solvers.knn=1", "table.solvers.knn must be a valid dictionary but got 1"),
    ("table.solvers.lora.lr=0", "table.solvers.lora: solver.lr must be greater than 0 but got 0"),
    (
        "table.solvers.lora.rnk=1",
        "table.solvers.lora: rnk is not a field of prompts or solver; did you mean rank?",
    ),
    ("table.solvers.lora.lr={1: 0.5}", "table.solvers.lora: lr must have a value for shot 2 but has {1: 0.5}"),
    ("table.without_prompts.ssf={lr: 1}", "table: without_prompts must name one of knn, lora but got 'ssf'"),
    (
        "table.at_shot={one: {lr: 1}}",
        "table.at_shot.one.[key] must be a valid integer, unable to parse string as an integer but got 'one'",
    ),
]


@pytest.mark.parametrize(("override", "sentence"), MISTAKES, ids=[override for override, _ in MISTAKES])
def test_a_mistake_is_said_in_one_sentence(override, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tiny(override)


def test_an_unknown_solver_is_named():
    with pytest.raises(ValueError, match=r"^table\.solvers\.lorra: solver\.name must be 'knn', .* but got 'lorra'$"):
        tiny("table.solvers.lorra={}")


def test_what_data_and_backbone_cannot_serve_is_found_before_the_start():
    with pytest.raises(ValueError, match=r"^table must be in CONFIG for a table but is missing$"):
        check_table(load(CONFIG, TINY))
    with pytest.raises(ValueError, match=r"^table\.solvers\.knn, 9-shot: episodes\.shot \+ episodes\.query must be"):
        check_table(tiny("table.shots=[1, 9]"))
    with pytest.raises(ValueError, match=r"^table\.solvers\.lora, 1-shot: prompts\.patches must be at most 64"):
        check_table(tiny("table.solvers.lora.patches=65"))


def rows(*accuracies):
    return [{"accuracy": accuracy, "failed": accuracy is None} for accuracy in accuracies]


def test_cells_by_hand():
    without, prompted = cells_of(Pair("lora", (RUN, RUN), 3), [rows(0.5, 0.6, 0.7), rows(0.6, 0.8, 0.7)], ["a", "b"])
    assert (without.prompts, without.shot, without.episodes, without.config_hash) == (False, 1, 3, "a")
    assert (prompted.prompts, prompted.config_hash) == (True, "b")
    assert (without.estimate.mean, prompted.estimate.mean) == pytest.approx((0.6, 0.7))
    assert (without.difference, prompted.difference.mean) == (None, pytest.approx(0.1))
    assert prompted.difference.ci95 == pytest.approx(4.302653 * 0.1 / 3**0.5)  # Student's t, 2 degrees of freedom


def test_a_failed_episode_leaves_no_number():
    for own, missing in (
        ([rows(0.5, None), rows(0.5, 0.5)], [True, False]),
        ([rows(0.5, 0.5), rows(None, 0.5)], [0, 1]),
    ):
        cells = cells_of(Pair("lora", (RUN, RUN), 2), own, ["a", "b"])
        assert [cell.estimate is None for cell in cells] == [bool(one) for one in missing]
        assert cells[1].difference is None


def test_markdown_by_hand():
    assert as_markdown(CELLS, RUN) == "\n".join(
        [
            "| solver | episodes | 1-shot, without | 1-shot, with prompts | 1-shot, difference "
            "| 5-shot, without | 5-shot, with prompts | 5-shot, difference |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            "| R2-D2 | 400 | 50.0 ± 1.0 |  |  | 75.0 ± 1.0 |  |  |",
            "| my_lora | 200 | 61.2 ± 1.0 | 63.4 ± 1.0 | +2.2 ± 1.5 | failed | 80.0 ± 1.0 |  |",
            "",
            f"{CAPTION}\n",
        ]
    )


def test_latex_by_hand():
    assert as_latex(CELLS, RUN).splitlines() == [
        r"% \usepackage{booktabs}",
        f"% {CAPTION}",
        r"\begin{tabular}{lrrrrrrr}",
        r"\toprule",
        r" & & \multicolumn{3}{c}{1-shot} & \multicolumn{3}{c}{5-shot} \\",
        r"\cmidrule(lr){3-5}\cmidrule(lr){6-8}",
        r"solver & episodes & without & with prompts & difference & without & with prompts & difference \\",
        r"\midrule",
        r"R2-D2 & 400 & $50.0 \pm 1.0$ &  &  & $75.0 \pm 1.0$ &  &  \\",
        r"my\_lora & 200 & $61.2 \pm 1.0$ & $63.4 \pm 1.0$ & $+2.2 \pm 1.5$ & failed & $80.0 \pm 1.0$ &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_the_terminal_s_table_fits_a_hundred_columns():
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(as_table(CELLS, RUN))
    shown = console.export_text()
    console.file.close()
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert "…" not in shown
    for part in ("R2-D2", "400", "61.2 ± 1.0", "63.4 ± 1.0", "+2.2 ± 1.5", "failed"):
        assert part in shown


def test_files_hold_every_cell(tmp_path: Path):
    markdown, latex, values = write_files(CELLS, RUN, tmp_path / "tables" / "tiny")
    assert (markdown.read_text(), latex.read_text()) == (as_markdown(CELLS, RUN), as_latex(CELLS, RUN))
    with values.open() as file:
        read = list(csv.DictReader(file))
    assert read == [
        {name: "" if value is None else str(value) for name, value in record.items()} for record in as_records(CELLS)
    ]
    assert [row["accuracy"] for row in read] == ["0.5", "0.612", "0.634", "0.75", "", "0.8"]
    assert [row["difference_ci95"] for row in read] == ["", "", "0.0149", "", "", ""]


def test_records_are_json_whatever_the_numbers():
    lone = Cell("lora", 1, True, 1, "a", Estimate(1.0, float("inf"), 1), Estimate(0.0, float("inf"), 1))
    (record,) = json.loads(json.dumps(as_records([lone]), allow_nan=False))
    assert (record["ci95"], record["difference"], record["difference_ci95"]) == (None, 0.0, None)


def test_mlflow_s_names():
    assert metrics_of([cell("LoRA (r4)", 1, 0.5), cell("LoRA (r4)", 1, 0.6, Estimate(0.1, 0.01, 200))]) == {
        "LoRA _r4_/1-shot/without prompts": 0.5,
        "LoRA _r4_/1-shot/with prompts": 0.6,
        "LoRA _r4_/1-shot/difference": 0.1,
    }


def test_the_command_prints_a_table_or_an_object(here, monkeypatch):
    monkeypatch.setattr("sweeps.table.make_table", lambda sweep, address: (CELLS, [here / "table.md"]))
    sets = [f"--set={override}" for override in (*TINY, OF_TABLE)]
    shown = CliRunner().invoke(cli.app, ["table", str(CONFIG), *sets])
    assert shown.exit_code == 0
    assert "63.4 ± 1.0" in shown.stdout
    assert str(here / "table.md") in shown.stdout
    said = json.loads(CliRunner().invoke(cli.app, ["table", str(CONFIG), "--json", *sets]).stdout)
    assert said == {"rows": as_records(CELLS), "files": [str(here / "table.md")]}


@pytest.mark.slow
@pytest.mark.timeout(900)  # images are drawn first
@pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own
def test_a_table_is_computed_once_and_recorded_once(here):
    sweep = tiny("home=home")
    cells, files = make_table(sweep, None)
    assert [(cell.solver, cell.shot, cell.prompts, cell.episodes) for cell in cells] == [
        ("knn", 1, False, 3),
        ("lora", 1, False, 2),
        ("lora", 1, True, 2),
        ("knn", 2, False, 3),
        ("lora", 2, False, 2),
        ("lora", 2, True, 2),
    ]
    assert {file.parent for file in files} == {here / "home" / "tables" / "tiny"}
    kept = {path: path.stat().st_mtime_ns for path in (here / "home" / "ledger" / "rows").iterdir()}
    assert make_table(sweep, None) == (cells, files)
    assert {path: path.stat().st_mtime_ns for path in (here / "home" / "ledger" / "rows").iterdir()} == kept
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{here}/home/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert (run.data.tags["fpt.kind"], run.info.status) == ("table", "FINISHED")
    assert run.data.metrics["knn/2-shot/without prompts"] == cells[3].estimate.mean
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {file.name for file in files}
