"""Whether a sweep's winner beats that of an earlier sweep: by what the ledger holds of both, on the same episodes."""

from sweeps.lookup.ledger_index import LedgerIndex
from sweeps.statistics.estimates import Estimate, paired_difference

SAME = ("method", "dataset", "episodes")  # of two descriptions: then episode 7 is the same one


def gain_over(home: str, own: str, other: str) -> Estimate | str:
    """Returns the paired difference of two configurations, by their hashes, on the episodes that a home's ledger holds
    of both; or why there is none, in words.
    """
    index = LedgerIndex(home)
    if other not in index.hashes:
        return f"the ledger does not hold {other}"
    described = [index.of(name) for name in (own, other)]
    differing = [name for name in SAME if described[0].get(name) != described[1].get(name)]
    if differing:
        return f"it was judged on other episodes ({', '.join(differing)})"
    scores = index.scores([own, other])
    common = sorted(scores[own].keys() & scores[other].keys())
    ours, theirs = ([scores[name][episode] for episode in common] for name in (own, other))
    if len(common) < 2 or None in (*ours, *theirs):
        return f"{len(common)} episodes in common tell nothing" if len(common) < 2 else "an episode failed"
    step = 1 / (described[0]["episodes"]["way"] * described[0]["episodes"]["query"])
    return paired_difference([float(one or 0) for one in ours], [float(one or 0) for one in theirs], step)


def beats(home: str, own: str, other: str) -> tuple[bool, str]:
    """Returns whether a configuration beats another with 95 % confidence, and what tells so."""
    gain = gain_over(home, own, other)
    if isinstance(gain, str):
        return False, gain
    told = f"{100 * gain.mean:+.1f} ± {100 * gain.ci95:.1f} points on {gain.episodes} episodes (paired, 95 %)"
    return gain.mean > gain.ci95, told
