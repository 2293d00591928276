import numpy as np
import pytest
import torch
from scipy.optimize import LinearConstraint, lsq_linear, minimize, nnls

from fpt.heads import svm_dual as metaoptnet
from fpt.heads.svm_dual import COST, _inverse, dual_variables


def by_sequential_programming(gram, labels, way, cost=COST):
    """A general solver of SciPy, for small problems."""
    support = len(labels)
    targets, hessian = np.eye(way)[labels], gram + np.eye(support)

    def objective(flat):
        dual = flat.reshape(support, way)
        pull = hessian @ dual
        return 1e3 * np.sum((pull / 2 - targets) * dual), 1e3 * (pull - targets).ravel()

    found = np.zeros(support * way)
    for _ in range(3):  # it stops a little early, how early hangs on the last bits of products; so it begins anew
        found = minimize(
            objective,
            found,
            jac=True,
            method="SLSQP",
            bounds=[(None, bound) for bound in cost * targets.ravel()],
            constraints=LinearConstraint(np.kron(np.eye(support), np.ones(way)), 0, 0),
            options={"ftol": 1e-15, "maxiter": 1000},
        ).x
    return found.reshape(support, way)


def relative_gap(gram, labels, dual, cost=COST):
    """What the objective can still fall by, over itself: the Frank-Wolfe gap.

    The feasible rows are the hull of 0 and cost (e_own - e_other) for every other class, so the least inner product
    with a gradient is that of a corner.
    """
    targets = np.eye(dual.shape[1])[labels]
    pull = dual + gram @ dual
    gradient = pull - targets
    to_corners = (gradient * targets).sum(1, keepdims=True) - gradient
    gap = (gradient * dual).sum() - cost * np.minimum(to_corners.min(1), 0).sum()
    return gap / abs(((pull / 2 - targets) * dual).sum())


def assert_feasible(labels, dual, cost=COST):
    assert np.abs(dual.sum(1)).max() <= 1e-9 * np.abs(dual).max()
    assert (dual <= cost * np.eye(dual.shape[1])[labels] + 1e-15).all()


def drawn(way, shot, kind, norm, stack=2):
    """Features of a norm, and labels in another order for every problem."""
    random = np.random.default_rng(0)
    labels = np.stack([random.permutation(np.arange(way * shot) % way) for _ in range(stack)])
    features = random.standard_normal((stack, way * shot, 96))
    if kind == "classes":
        features = 0.5 * features + random.standard_normal((stack, way, 96))[np.arange(stack)[:, None], labels]
    elif kind == "offset":
        features = 0.1 * features + random.standard_normal((stack, 1, 96))
    elif kind == "duplicates":
        features = features[:, :1] + 1e-4 * features
    elif kind == "plane":
        features[..., 2:] *= 1e-4
    features *= norm / np.linalg.norm(features, axis=2, keepdims=True)
    return features @ features.transpose(0, 2, 1), labels


def solved(grams, labels, way):
    return dual_variables(torch.from_numpy(grams), torch.from_numpy(labels), way).numpy()


@pytest.mark.parametrize("kind", ["apart", "classes", "offset", "plane"])
@pytest.mark.parametrize("norm", [0.5, 3.0, 8.0])
def test_small_problems_against_a_general_solver(kind, norm):
    grams, labels = drawn(3, 3, kind, norm)
    found = solved(grams, labels, 3)
    for gram, own, dual in zip(grams, labels, found, strict=True):
        np.testing.assert_allclose(dual, by_sequential_programming(gram, own, 3), rtol=0, atol=3e-4 * COST)


@pytest.mark.parametrize("kind", ["apart", "classes", "offset", "duplicates", "plane"])
@pytest.mark.parametrize("norm", [1.0, 12.0, 50.0])
def test_two_classes_against_bounded_least_squares(kind, norm):
    """One number t from 0 to the cost is left of each row: t S (gram + I) S t - 1 t, S the signs."""
    grams, labels = drawn(2, 5, kind, norm)
    found = solved(grams, labels, 2)
    for gram, own, dual in zip(grams, labels, found, strict=True):
        signs = 1 - 2 * own
        factor = np.linalg.cholesky(signs[:, None] * (gram + np.eye(10)) * signs)
        best = lsq_linear(factor.T, np.linalg.solve(factor, np.ones(10)) / 2, (0, COST), method="bvls", tol=1e-15).x
        np.testing.assert_allclose(dual, (signs * best)[:, None] * [1, -1], rtol=0, atol=1e-7 * best.max())


@pytest.mark.parametrize("kind", ["apart", "classes"])
@pytest.mark.parametrize("norm", [15.0, 50.0, 300.0])
def test_far_from_the_cost_against_non_negative_least_squares(kind, norm):
    """A row is a sum of non-negative multiples of e_own - e_other, one for every other class."""
    way, shot = 4, 3
    support = way * shot
    grams, labels = drawn(way, shot, kind, norm)
    for gram, own, dual in zip(grams, labels, solved(grams, labels, way), strict=True):
        spread = np.zeros((support, way, support, way - 1))
        for image, label in enumerate(own):
            spread[image, :, image] = (np.eye(way)[label] - np.delete(np.eye(way), label, 0)).T
        spread = spread.reshape(support * way, support * (way - 1))
        factor = np.linalg.cholesky(spread.T @ np.kron(gram + np.eye(support), np.eye(way)) @ spread)
        best = nnls(factor.T, np.linalg.solve(factor, np.ones(spread.shape[1])))[0]
        expected = (spread @ best).reshape(support, way)
        assert expected.max() < COST
        np.testing.assert_allclose(dual, expected, rtol=0, atol=1e-7 * expected.max())


@pytest.mark.parametrize(("way", "shot"), [(5, 1), (20, 1), (20, 5)])
@pytest.mark.parametrize("kind", ["apart", "classes", "offset", "duplicates", "plane"])
@pytest.mark.parametrize("norm", [1.0, 50.0, 300.0])
def test_nothing_is_left_to_gain_however_ill_conditioned(way, shot, kind, norm):
    """Condition numbers up to ten million."""
    grams, labels = drawn(way, shot, kind, norm)
    for gram, own, dual in zip(grams, labels, solved(grams, labels, way), strict=True):
        assert_feasible(own, dual)
        assert relative_gap(gram, own, dual) < 1e-9


def test_without_features_every_image_pulls_alone():
    """Z of a row minimises |Z|^2 / 2 - its own entry, which the cost stops at once."""
    found = solved(np.zeros((1, 4, 4)), np.array([[0, 1, 2, 2]]), 3)
    shares = np.eye(3)[[0, 1, 2, 2]] - (1 - np.eye(3)[[0, 1, 2, 2]]) / 2
    np.testing.assert_allclose(found[0], COST * shares, atol=1e-9)


def test_a_stacked_problem_has_the_solution_it_has_alone():
    (easy, own), (hard, other) = drawn(5, 2, "apart", 1.0, 1), drawn(5, 2, "plane", 50.0, 1)
    together = solved(np.concatenate([easy, hard]), np.concatenate([own, other]), 5)
    for dual, gram, labels in zip(together, (easy, hard), (own, other), strict=True):
        np.testing.assert_allclose(dual, solved(gram, labels, 5)[0], rtol=0, atol=1e-12)


def test_a_problem_that_fails_is_nan_and_its_neighbours_are_not():
    grams, labels = drawn(5, 1, "classes", 12.0, stack=3)
    broken = grams.copy()
    broken[1] = np.nan
    found = solved(broken, labels, 5)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], solved(grams, labels, 5)[[0, 2]])


def test_a_problem_that_needs_more_steps_is_nan(monkeypatch):
    monkeypatch.setattr(metaoptnet, "STEPS", 3)
    assert np.isnan(solved(*drawn(5, 1, "classes", 12.0), 5)).all()


def test_an_inverse_by_triangles_is_the_inverse():
    random = torch.Generator().manual_seed(0)
    root = torch.randn(2, 3, 6, 6, generator=random, dtype=torch.float64)
    matrix = root @ root.mT + torch.eye(6, dtype=torch.float64)
    factor = torch.linalg.cholesky(matrix)
    for by_triangles in (False, True):
        found = _inverse(factor, by_triangles)
        torch.testing.assert_close(found, torch.linalg.inv(matrix), rtol=1e-10, atol=1e-12)
