"""Runs scikit-learn's own checks of estimators, as a program, for the test beside it: those that are listed here."""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_array

from fpt.classifier.calibration import Calibration, Promise
from fpt.classifier.estimator import FewShotClassifier

# Of scikit-learn's checks, those for which a picture is no obstacle; the others want rows of numbers to be fitted.
AS_IT_IS = (
    *("check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr"),
    *(
        "check_no_attributes_set_in_init",
        "check_estimators_unfitted",
        "check_mixin_order",
        "check_estimator_sparse_tag",
    ),
    *("check_do_not_raise_errors_in_init_or_set_params", "check_estimator_sparse_array", "check_supervised_y_no_nan"),
    *("check_estimator_sparse_matrix", "check_parameters_default_constructible", "check_get_params_invariance"),
    *("check_set_params", "check_fit1d", "check_requires_y_none", "check_decision_proba_consistency"),
    *("check_classifiers_regression_target", "check_non_transformer_estimators_n_iter"),
)
# And those that fit, on rows of numbers that are drawn as pictures.
AS_PICTURES = (
    *("check_fit_score_takes_y", "check_estimators_overwrite_params", "check_dont_overwrite_parameters"),
    *("check_estimators_fit_returns_self", "check_readonly_memmap_input", "check_estimators_dtypes"),
    *("check_f_contiguous_array_estimator", "check_classifiers_one_label", "check_classifiers_classes"),
    *("check_methods_sample_order_invariance", "check_dict_unchanged"),
    *("check_fit_idempotent", "check_fit_check_is_fitted", "check_estimators_pickle"),
)


# Of no episodes: what the tests of classifiers give to them.
CALIBRATION = Calibration(
    temperature=2.5,
    way=3,
    shot=2,
    episodes=40,
    coverage=0.9,
    in_set=0.125,
    promises=(Promise(0.75, 0.05, 0.25), Promise(0.5, 0.125, 0.5), Promise(0.0, 0.25, 1.0)),
    known=0.375,
    recognised=0.95,
)


class RowsDrawn(FewShotClassifier):
    """Takes rows of numbers, and draws a grey picture of each."""

    def fit(self, X, y):
        return super().fit(_drawn(X), y)

    def predict_proba(self, X):
        return super().predict_proba(_drawn(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def _drawn(X):
    rows = check_array(X)
    values = (25 * (rows[:, :8] + 5)).clip(0, 255).astype(np.uint8)
    return np.stack([np.resize(np.repeat(row, 4), (32, 32)).T for row in values])


def main():
    """Runs the checks of both lists, and names each on standard output; the first that fails is raised."""
    warnings.simplefilter("ignore")
    wanted, plain = AS_IT_IS + AS_PICTURES, FewShotClassifier(solver="protonet")
    drawing = RowsDrawn("test_vit", "protonet", weights=None, image_size=32, precision="float32", device="cpu")
    found = [(getattr(check, "func", check).__name__, check) for _, check in estimator_checks_generator(drawing)]
    names = [name for name, _ in found]
    assert set(wanted) <= set(names), sorted(set(wanted) - set(names))
    for name, check in found:
        if name in wanted:
            try:
                check(clone(plain if name in AS_IT_IS else drawing))
            except BaseException as error:
                raise AssertionError(name) from error
            print(name)


if __name__ == "__main__":
    main()
