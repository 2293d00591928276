from pydantic import TypeAdapter

from sweeps.verdict.confidence import Confidence
from tests.sweeps.findings import CONFIDENCE


def test_the_boldest_promise_of_a_risk():
    assert CONFIDENCE.kept_at(0.04) is None
    assert CONFIDENCE.kept_at(0.05) == CONFIDENCE.kept[0]
    assert CONFIDENCE.kept_at(0.9) == CONFIDENCE.kept[-1]


def test_it_comes_back_from_json():
    adapter = TypeAdapter(Confidence)
    assert adapter.validate_json(adapter.dump_json(CONFIDENCE)) == CONFIDENCE
