"""The last gate before a report: the ledger, read anew, holds the rows that a verdict is made of."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.storage.ledger import Ledger
from sweeps.verdict.finding import Compared, Finding

ROUNDING = 1e-9  # of a mean, whose terms may be added in another order


def rows_behind(finding: Finding, ledger: Ledger) -> pa.Table:
    """Returns the ledger's rows of all that a sweep asked for, each file of which proves itself as it is read.

    Raises RuntimeError where they are not what was judged: a file was damaged or removed while the sweep ran, or a
    result changed on its way.
    """
    rows = ledger.read(finding.hashes)
    others = [one for one in (finding.again, finding.other, finding.twin) if one is not None]
    for compared in (*finding.compared.values(), *others):
        if compared.estimate is not None and (why := _differs(compared, rows, bool(finding.lost))):
            raise RuntimeError(
                f"no verdict is given: the ledger does not hold what {compared.name!r} was judged by ({why}); the same "
                "command computes what is missing and goes on"
            )
    return rows


def _differs(compared: Compared, rows: pa.Table, lost: bool) -> str | None:
    """Returns what the ledger's rows of a setting are wrong in, None where they are those that it was judged by. Where
    episodes were `lost` to all, which ones these were is not known here, and rows are only counted.
    """
    assert compared.estimate is not None
    own = rows.filter(pc.equal(rows["config_hash"], compared.config_hash)).sort_by("episode")
    judged = compared.estimate.episodes
    if own.num_rows < judged:
        return f"{own.num_rows} of {judged} rows"
    mean = pc.mean(own["accuracy"].slice(0, judged)).as_py()
    if not lost and (mean is None or abs(mean - compared.estimate.mean) > ROUNDING):
        return f"an accuracy of {mean}, not {compared.estimate.mean}"
    return None
