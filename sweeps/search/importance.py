"""How much each hyper-parameter matters, from an Optuna study."""

import warnings
from collections import defaultdict

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from sweeps.search.record import LEAST_TRIALS


def importances(study: optuna.Study) -> dict[str, float] | None:
    """Returns shares by PED-ANOVA (Watanabe et al., IJCAI 2023, arXiv:2304.10255; for conditional spaces 2601.20800).

    A hyper-parameter has a share, the largest first, in the variance of being among the best quarter that they explain
    each alone, over the sampled settings that have it; what Optuna samples apart (`alpha is zero`, `lr of lora`) is
    added up. Nothing is random. Returns None for fewer than LEAST_TRIALS complete trials, and where too many score the
    same.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < LEAST_TRIALS:
        return None
    sampled = {label: kind for trial in complete for label, kind in trial.distributions.items()}
    explained: dict[str, float] = defaultdict(float)
    with warnings.catch_warnings():  # of ties, and of what a single trial has
        warnings.simplefilter("ignore")
        for label, kind in sorted(sampled.items()):
            evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)  # a tenth of 16 trials would be one or two
            if isinstance(kind, CategoricalDistribution):
                evaluator._prior_weight = 0.0  # any hides most of what choices explain, however many the trials
            found = get_param_importances(study, evaluator=evaluator, params=[label], normalize=False)
            explained[label.removesuffix(" is zero").split(" of ")[0]] += found[label]
    total, largest_first = sum(explained.values()), sorted(explained, key=lambda name: (-explained[name], name))
    return {name: explained[name] / total for name in largest_first} if total > 0 else None
