"""Findings made by hand."""

from scipy import stats

from pipeline.config import plain_run, with_hyper_parameters
from sweeps.schema.loading import load
from sweeps.statistics.estimates import Estimate
from sweeps.verdict.judge import BASELINE, Compared, Finding
from tests.sweeps.tiny import CONFIG, TINY

SWEEP = load(CONFIG, TINY)
WON = {"lambda": 0.5, "alpha": 2.0, "tau": 1.0, "patches": 4, "lr": 0.01}
LOCATED = {
    "prompt_precision": 0.4,
    "prompt_chance": 0.1,
    "attention_on_key_before": 0.3,
    "attention_on_key_after": 0.55,
}
NOT_LOCATED = dict.fromkeys(LOCATED)


def compared(name, values, mean, difference=None, located=NOT_LOCATED, p=None):
    return Compared(
        name=name,
        run=with_hyper_parameters(plain_run(SWEEP), values),
        config_hash=f"hash of {name}",
        estimate=None if mean is None else Estimate(mean, 0.015, 200),
        difference=difference,
        localisation=located,
        p=p,
        p_holm=None if p is None else min(1.0, 2 * p),
    )


def p_of(gain):
    """What belongs to an interval."""
    if gain is None or gain.episodes < 2:
        return None
    error = gain.ci95 / stats.t.ppf(0.975, gain.episodes - 1)
    return float(2 * stats.t.sf(abs(gain.mean) / error, gain.episodes - 1)) if error else 1.0


def finding(values=WON, gain=Estimate(0.021, 0.009, 200), mean=0.723, baseline=0.702, **more):  # noqa: B008
    """A winner that gains `gain` over the baseline; `mean` None where one of its episodes failed."""
    return Finding(
        values=values,
        validation=Estimate(0.81, 0.02, 64),
        compared={
            "best": compared("best", values, mean, gain, LOCATED, p_of(gain)),
            BASELINE: compared(BASELINE, {"alpha": 0.0, "lr": 0.02}, baseline),
        },
        trials=16,
        stopped=12,
        spent=1234,
        hashes=["hash of best"],
        **more,
    )
