"""Records of searches and findings, made by hand."""

from dataclasses import replace

from scipy import stats

from fpt.classifier.calibration import Calibration, Promise
from pipeline.config import plain_run, with_hyper_parameters
from sweeps.schema.loading import load
from sweeps.search.record import Report, SearchRecord, Trial
from sweeps.statistics.estimates import Estimate
from sweeps.statistics.reliability import Bin
from sweeps.verdict.confidence import Confidence, Kept, Unknown
from sweeps.verdict.finding import BASELINE, Compared, Finding
from sweeps.verdict.mistakes import Mistake, Mistakes, OfClass, Pair
from tests.sweeps.tiny import CONFIG, TINY

SWEEP = load(CONFIG, TINY)
WON = {"lambda": 0.5, "alpha": 2.0, "tau": 1.0, "patches": 4, "lr": 0.01}
LOCATED = {
    "prompt_precision": 0.4,
    "prompt_chance": 0.1,
    "attention_on_key_before": 0.3,
    "attention_on_key_after": 0.55,
}
GAIN = Estimate(0.021, 0.009, 200)
CALIBRATION = Calibration(
    temperature=1.25,
    way=3,
    shot=1,
    episodes=60,
    coverage=0.9,
    in_set=0.125,
    promises=(Promise(0.75, 0.05, 0.5), Promise(0.0, 0.375, 1.0)),
    known=0.375,
    recognised=0.95,
)
CONFIDENCE = Confidence(
    calibration=CALIBRATION,
    error=(Estimate(0.125, 0.0125, 60), Estimate(0.025, 0.0125, 60)),
    loss=(Estimate(1.0, 0.0625, 60), Estimate(0.75, 0.0625, 60)),
    covered=Estimate(0.9, 0.0125, 60),
    covered_elsewhere=Estimate(0.9, 0.025, 60),
    size=Estimate(1.5, 0.125, 60),
    sizes=(0.0, 0.625, 0.25, 0.125),
    kept=(
        Kept(CALIBRATION.promises[0], Estimate(0.03125, 0.0125, 60), Estimate(0.5, 0.025, 60)),
        Kept(CALIBRATION.promises[1], Estimate(0.25, 0.0125, 60), Estimate(1.0, 0.0125, 60)),
    ),
    bins=((Bin(0.5, 0.25, 0.5), Bin(0.875, 0.75, 0.5)), (Bin(0.375, 0.375, 0.25), Bin(0.75, 0.75, 0.75))),
    unknown=Unknown(Estimate(0.75, 0.025, 60), Estimate(0.25, 0.0125, 60), Estimate(0.05, 0.0125, 60)),
)
NOT_LOCATED = dict.fromkeys(LOCATED)

MISTAKES = Mistakes(
    pairs=(Pair("a | b", "c", 3, 12),),
    classes=(OfClass("a | b", Estimate(0.5, 0.125, 6)),),
    surest=(Mistake(17, 2, "c", "a | b", 0.9375),),
)


def reported(episodes, accuracy, ci95=0.02, seconds=0.5):
    """A trial's report; accuracy is None where an episode failed."""
    failed, known = int(accuracy is None), None if accuracy is None else ci95
    return Report(episodes, failed, accuracy, known, seconds, NOT_LOCATED)


def searched(name, values, accuracies, rungs=(2, 4), stopped_by="racing", score=None, looks=(0.5,)):
    """A trial that raced, with these accuracies after its first rungs; its score is the last unless told otherwise."""
    seen = looked_at(name, values, looks, score)
    reports = tuple(reported(episodes, own) for episodes, own in zip(rungs, accuracies, strict=False))
    stopped_by = None if len(reports) == len(rungs) else stopped_by
    scored = accuracies[-1] if score is None and accuracies else score
    return replace(seen, reports=reports, score=scored, stopped_by=stopped_by)


def looked_at(name, values, looks=(0.5,), score=None, to_winner=None):
    """A trial that did not race, with these accuracies on an episode each, and what the model of all looks expects."""
    seen = tuple(reported(1, accuracy, float("inf")) for accuracy in looks)
    return Trial(name, int(name.split(".")[0]), values, seen, score=score, to_winner=to_winner)


def record_of(values, trials=16, racers=8, whole=1, importances=None):
    """A search whose first `racers` trials raced and first `whole` of these did all rungs; the very first, of these
    values, was the best.
    """
    first = [searched(f"0.{i}", values if i == 0 else {"lr": 0.1 + i}, [0.5, 0.81 - i / 100]) for i in range(whole)]
    others = [searched(f"0.{i}", {"lr": 0.1 + i}, [0.4]) for i in range(whole, racers)]
    rest = [looked_at(f"1.{i}", {"lr": 0.1 + i}, score=0.3) for i in range(racers, trials)]
    return SearchRecord((*first, *others, *rest), (2, 4), importances)


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
    """Returns the p-value that belongs to an interval."""
    if gain is None or gain.episodes < 2:
        return None
    error = gain.ci95 / stats.t.ppf(0.975, gain.episodes - 1)
    return float(2 * stats.t.sf(abs(gain.mean) / error, gain.episodes - 1)) if error else 1.0


def finding(values=WON, gain=GAIN, mean=0.723, baseline=0.702, whole=1, importances=None, **more):
    """A winner that gains `gain` over the baseline; `mean` None where one of its episodes failed."""
    return Finding(
        record=record_of(values, whole=whole, importances=importances),
        validation=Estimate(0.81, 0.02, 64),
        compared={
            "best": compared("best", values, mean, gain, LOCATED, p_of(gain)),
            BASELINE: compared(BASELINE, {"alpha": 0.0, "lr": 0.02}, baseline),
        },
        spent=1234,
        hashes=["hash of best"],
        **more,
    )
