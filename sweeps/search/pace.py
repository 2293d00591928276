"""How many problems fit into the minutes that a search may take: measured once, written down, and repeated."""

import json
import time
from pathlib import Path

from pipeline.config import Run, with_hyper_parameters
from pipeline.session import Session
from sweeps.schema.sweep import Search
from sweeps.search.encoding import Encoding
from sweeps.search.looks import spread_evenly
from sweeps.search.plan import BATCH, least_problems

NAME = "pace.json"
FAR = 10_000_000  # the first episode that is measured on: none of any search's
ROUNDS = 2  # that are timed, after one that warms up


def in_problems(search: Search, searched: Run, session: Session, folder: Path) -> Search:
    """Returns the search with its minutes as problems, as many as workers solve in that time at the pace that looks at
    settings all over the space have. What was measured is written into a folder, where a rerun finds it; a search that
    names no minutes is returned as it is.
    """
    if search.minutes is None:
        return search
    written = folder / NAME
    if not written.exists():
        told = {"problems_a_second": _pace(search, searched, session), "minutes": search.minutes}
        folder.mkdir(parents=True, exist_ok=True)
        beside = written.with_suffix(".part")
        beside.write_text(json.dumps(told) + "\n")
        beside.replace(written)
    pace = float(json.loads(written.read_text())["problems_a_second"])
    problems = max(least_problems(search), round(60 * search.minutes * pace))
    return search.model_copy(update={"problems": problems, "minutes": None})


def _pace(search: Search, searched: Run, session: Session) -> float:
    """Returns how many problems a second are solved. What the ledger holds is not timed: episodes are passed over until
    all of a round is computed.
    """
    encoding = Encoding(search.space, searched.solver.name)
    settings = spread_evenly(encoding, BATCH * search.parallel, search.seed)
    runs = [with_hyper_parameters(searched, values) for values in settings]
    episode, seconds = FAR, list[float]()
    while len(seconds) < 1 + ROUNDS:
        before, began = session.status().computed, time.monotonic()
        session.solve(runs, [episode])
        if session.status().computed - before == len(set(session.hashes(runs))):
            seconds.append(time.monotonic() - began)
        episode += 1
    return ROUNDS * len(runs) / sum(seconds[1:])
