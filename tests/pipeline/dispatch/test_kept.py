"""What the ledger loses while a dispatcher lives is written to it again."""

import asyncio

import pyarrow.compute as pc

from pipeline.storage.ledger import Ledger
from tests.pipeline.dispatch.test_dispatcher import CONTEXT, going, with_alpha


def test_what_the_ledger_loses_meanwhile_is_written_again(made, run, tmp_path):
    ledger, blank = Ledger(str(tmp_path / "ledger")), {"class_hits": [], "failed": False, "seconds": 1.0}
    asked, another = with_alpha(run, 1, 2)
    dispatcher, _ = made()
    going(dispatcher, lambda: dispatcher.solve(CONTEXT, [asked, another], range(4)))
    for number, known in enumerate(dispatcher.known.unpacked.values()):
        ledger.write(f"order {number}", [{**blank, **row} for row in known.values()])
    whole = ledger.read()

    dispatcher, staff = made()

    async def scenario():
        ((first, *_),) = await dispatcher.solve(CONTEXT, [asked], range(4))
        kept = [await dispatcher.keep(CONTEXT)]
        for number in range(2):  # of the second, nothing was asked for
            file = tmp_path / "ledger" / "rows" / f"order {number}.parquet"
            file.write_bytes(file.read_bytes()[:-9])
        return first["config_hash"], [*kept, await dispatcher.keep(CONTEXT), await dispatcher.keep(CONTEXT)]

    config_hash, kept = going(dispatcher, scenario)
    assert (kept, staff.orders) == ([0, 4, 0], [])
    assert ledger.read() == whole.filter(pc.equal(whole["config_hash"], config_hash))
    assert "rows written again: " in asyncio.run(dispatcher.status()).warnings[-1]
