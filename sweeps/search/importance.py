"""How much each hyper-parameter matters, from an Optuna study."""

import warnings
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from sweeps.schema.space import IS_ZERO, Dimension, as_optuna, distributions_of
from sweeps.search.record import LEAST_TRIALS, SearchRecord


def importances(record: SearchRecord, space: Mapping[str, Dimension], solver: str) -> SearchRecord:
    """Returns the record with shares by PED-ANOVA (Watanabe et al., IJCAI 2023, arXiv:2304.10255; for conditional
    spaces 2601.20800).

    A hyper-parameter has a share, the largest first, in the variance of being among the best quarter that they explain
    each alone, over the settings that have it; what Optuna samples apart (`alpha is zero`, `lr of lora`) is added up.
    Nothing is random. There are none for fewer than LEAST_TRIALS trials with a score, and where too many score the
    same.
    """
    complete = [trial for trial in record.trials if trial.score is not None]
    if len(complete) < LEAST_TRIALS:
        return record
    study = optuna.create_study(direction="maximize")
    for trial in complete:
        values = as_optuna(trial.values, space, solver)
        known = distributions_of(space, solver, trial.values)
        kinds = {label: known[label] for label in values}
        with suppress(ValueError):  # what is named may lie outside the space
            study.add_trial(optuna.trial.create_trial(params=values, distributions=kinds, value=trial.score))
    sampled = {label: kind for trial in study.get_trials(deepcopy=False) for label, kind in trial.distributions.items()}
    explained: dict[str, float] = defaultdict(float)
    with warnings.catch_warnings():  # of ties, and of what a single trial has
        warnings.simplefilter("ignore")
        for label, kind in sorted(sampled.items()):
            evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)  # a tenth of 16 trials would be one or two
            if isinstance(kind, CategoricalDistribution):
                evaluator._prior_weight = 0.0  # any hides most of what choices explain, however many the trials
            found = get_param_importances(study, evaluator=evaluator, params=[label], normalize=False)
            explained[label.removesuffix(IS_ZERO).split(" of ")[0]] += found[label]
    total, largest_first = sum(explained.values()), sorted(explained, key=lambda name: (-explained[name], name))
    shares = {name: explained[name] / total for name in largest_first} if total > 0 else None
    return replace(record, importances=shares)
