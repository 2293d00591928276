"""Whether one configuration beats another, from ledgers made by hand."""

import numpy as np
import pytest

from sweeps.lookup.rival import beats, gain_over
from sweeps.statistics.estimates import paired_difference
from tests.sweeps.ledgers import OURS, THEIRS, WITH, WITHOUT, kept, with_sets

pytestmark = pytest.mark.usefixtures("here")


def test_the_difference_is_paired_on_the_episodes_that_both_did():
    a, b = kept(WITH, OURS), kept(WITHOUT, THEIRS[5:], first=5)
    found = gain_over("runs", a, b)
    assert found.episodes == 35
    assert found.mean == pytest.approx(np.mean(OURS[5:]) - np.mean(THEIRS[5:]))
    assert found.ci95 == paired_difference(OURS[5:], THEIRS[5:], 1 / 9).ci95


def test_who_is_better_with_confidence_beats_the_other_and_not_itself():
    a, b = kept(WITH, OURS), kept(WITHOUT, THEIRS)
    better, why = beats("runs", a, b)
    assert better
    assert why.startswith("+")
    assert why.endswith(" points on 40 episodes (paired, 95 %)")
    assert not beats("runs", b, a)[0]
    assert not beats("runs", a, a)[0]


def test_a_lead_within_its_interval_is_none():
    nearly = [own + (0.01 if place % 2 else -0.009) for place, own in enumerate(THEIRS)]
    a, b = kept(WITH, nearly), kept(WITHOUT, THEIRS)
    gain = gain_over("runs", a, b)
    assert 0 < gain.mean < gain.ci95
    assert not beats("runs", a, b)[0]


def test_what_cannot_be_paired_says_why():
    a, failed = kept(WITH, OURS), kept(WITHOUT, [None, *OURS[1:]])
    elsewhere = kept(with_sets("episodes.seed=7"), THEIRS)
    late = kept(with_sets("prompts.tau=2"), THEIRS, first=100)
    assert beats("runs", a, "abcdefabcdef") == (False, "the ledger does not hold abcdefabcdef")
    assert beats("runs", a, elsewhere) == (False, "it was judged on other episodes (episodes)")
    assert beats("runs", a, failed) == (False, "an episode failed")
    assert beats("runs", a, late) == (False, "0 episodes in common tell nothing")
