import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from sweeps.search.belief import BEFORE, JITTER, WEIGHTS, Belief, LookKernel, Model

WEIGHED = {"main": 0.3, "joint": 0.2, "block": 0.5, "liking": 0.1, "noise": 0.4}
LENGTHS = np.array([0.2, 0.5, 1.5])


def kernel(length=LENGTHS, **changed):
    return LookKernel(**{**WEIGHED, **changed}, length=np.asarray(length, float))


def drawn(looks=30, columns=3, blocks=4, seed=0):
    """Points, blocks and episodes of looks."""
    rng = np.random.default_rng(seed)
    return rng.random((looks, columns)), rng.integers(0, blocks, looks), rng.choice([1, 2, 8], looks)


def table(points, blocks, episodes):
    return np.column_stack([blocks, episodes, points])


def covariance(one, other, same_look, of=None, length=LENGTHS):
    """The formula of belief.py's first lines, a number at a time, for (block, episodes, point) of two looks."""
    of = of or WEIGHED
    each = [np.exp(-(((a - b) / wide) ** 2) / 2) for a, b, wide in zip(one[2:], other[2:], length, strict=True)]
    found = of["main"] * sum(each) / len(each) + of["joint"] * np.prod(each)
    if one[0] == other[0]:
        found += of["block"] + of["liking"] * np.prod(each)
    return found + (of["noise"] / one[1] if same_look else 0.0)


def test_the_covariance_of_looks_is_what_the_formula_says():
    looks = table(*drawn(12))
    byhand = [[covariance(one, other, i == j) for j, other in enumerate(looks)] for i, one in enumerate(looks)]
    assert kernel()(looks) == pytest.approx(np.array(byhand))
    assert kernel().diag(looks) == pytest.approx(np.diag(byhand))
    others = table(*drawn(7, seed=1))
    assert kernel()(looks, others) == pytest.approx(
        np.array([[covariance(one, other, False) for other in others] for one in looks])
    )


@pytest.mark.parametrize("columns", [1, 3])
def test_the_gradient_is_what_small_steps_find(columns):
    looks, one = table(*drawn(9, columns)), kernel(LENGTHS[:columns])
    value, gradient = one(looks, eval_gradient=True)
    assert value == pytest.approx(one(looks))
    assert gradient.shape == (9, 9, 5 + columns) == (9, 9, len(one.theta))
    for place in range(len(one.theta)):
        step = np.zeros(len(one.theta))
        step[place] = 1e-5
        up, down = (one.clone_with_theta(one.theta + sign * step)(looks) for sign in (1, -1))
        assert gradient[..., place] == pytest.approx((up - down) / 2e-5, abs=1e-8)


def fixed(points, blocks, accuracies, episodes, one=None):
    """A model of which nothing is fitted."""
    one = one or kernel()
    return Model(points, np.asarray(blocks), np.asarray(accuracies, float), np.asarray(episodes), one, True)


def test_a_belief_is_what_the_textbook_says():
    """Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equations 2.23 and 2.24."""
    points, blocks, episodes = drawn()
    accuracies = np.random.default_rng(1).normal(0.6, 0.1, 30)
    asked = np.random.default_rng(2).random((8, 3))
    found = fixed(points, blocks, accuracies, episodes).belief(asked)

    looks = table(points, blocks, episodes)
    own = {**WEIGHED, "block": 0.0, "liking": 0.0, "noise": 0.0}
    settings = table(asked, np.zeros(8), np.ones(8))
    inverse = np.linalg.inv(kernel()(looks) + JITTER * np.eye(30))
    with_looks = np.array([[covariance(one, other, False, own) for other in looks] for one in settings])
    alone = np.array([[covariance(one, other, False, own) for other in settings] for one in settings])
    targets = (accuracies - accuracies.mean()) / accuracies.std()
    assert found.mean == pytest.approx(accuracies.mean() + accuracies.std() * (with_looks @ inverse @ targets))
    expected = accuracies.var() * (alone - with_looks @ inverse @ with_looks.T)
    assert found.covariance == pytest.approx(expected, abs=1e-9)
    assert found.spread == pytest.approx(np.sqrt(np.diag(expected)))


def test_a_covariance_has_no_negative_variance_even_of_equal_settings():
    points, blocks, episodes = drawn(40)
    asked = np.concatenate([points, points[:10], np.random.default_rng(3).random((10, 3))])
    found = fixed(points, blocks, np.random.default_rng(1).normal(size=40), 1000 * episodes).belief(asked)
    assert found.covariance == pytest.approx(found.covariance.T)
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-9
    assert np.isfinite(found.spread).all()


def test_drawn_surfaces_have_the_mean_and_the_covariance():
    root = np.array([[0.3, 0.0, 0.0], [0.1, 0.2, 0.0], [0.4, 0.2, 0.0]])  # the third is the sum of the others
    belief = Belief(np.array([0.5, 0.6, 0.1]), root @ root.T)
    surfaces = belief.draw(np.random.default_rng(0), 40_000)
    assert surfaces.mean(axis=0) == pytest.approx(belief.mean, abs=0.01)
    assert np.cov(surfaces.T) == pytest.approx(belief.covariance, abs=0.005)
    assert np.array_equal(surfaces[:5], belief.draw(np.random.default_rng(0), 40_000)[:5])


def moved(block):
    """How far belief moves where all looks of a block have 0.2 more, by what a kernel thinks of blocks."""
    rng = np.random.default_rng(4)
    points, blocks = rng.random((32, 3)), np.repeat(np.arange(4), 8)
    accuracies = 0.6 + 0.1 * points[:, 0] + rng.normal(0, 0.05, 32)
    easier = accuracies + 0.2 * (blocks == 2)
    asked = np.random.default_rng(5).random((20, 3))
    one = kernel(block=block)
    before, after = (fixed(points, blocks, of, np.ones(32), one).belief(asked).mean for of in (accuracies, easier))
    return after - before


def test_easier_episodes_of_a_block_say_little_of_its_settings():
    knowing, unknowing = moved(block=5.0), moved(block=1e-6)
    assert np.ptp(unknowing) > 0.03
    assert np.ptp(knowing) < 0.2 * np.ptp(unknowing)


def test_a_look_at_more_episodes_says_more():
    points = np.array([[0.2, 0.5, 0.5], [0.2, 0.5, 0.5], [0.9, 0.5, 0.5]])
    more, fewer = (fixed(points, [0, 0, 0], [0.9, 0.5, 0.7], [n, 10 - n, 5]).belief(points) for n in (9, 1))
    assert more.mean[0] == pytest.approx(more.mean[1])
    assert more.mean[0] > 0.7 > fewer.mean[0]
    assert more.mean[0] - 0.7 == pytest.approx(0.7 - fewer.mean[0], rel=0.2)
    few, many = (fixed(points, [0, 1, 2], [0.9, 0.5, 0.7], [n] * 3).belief(points) for n in (1, 100))
    assert (many.spread < few.spread).all()


def simulated(of, length, looks=144, blocks=12, seed=0):
    """Looks whose accuracies are drawn from a kernel, of mean 0.5."""
    rng = np.random.default_rng(seed)
    points, episodes = rng.random((looks, len(length))), np.ones(looks, int)
    block = np.repeat(np.arange(blocks), looks // blocks)
    surface = LookKernel(**of, length=np.array(length))(table(points, block, episodes))
    values = np.linalg.cholesky(surface + 1e-10 * np.eye(looks)) @ rng.standard_normal(looks)
    return points, block, 0.5 + 0.1 * values, episodes


def test_what_looks_were_drawn_with_is_found_more_or_less():
    of = {"main": 0.05, "joint": 0.6, "block": 0.5, "liking": 0.02, "noise": 0.25}
    model = Model(*simulated(of, [0.25, 2.0]))
    found, unit = model.kernel, (0.1 / model.scale) ** 2  # of what is standardised, the variance of 1 as drawn
    assert found.noise == pytest.approx(0.25 * unit, rel=0.35)
    assert 0.3 < (found.main + found.joint) / (0.65 * unit) < 2
    assert 0.3 < found.block / (0.5 * unit) < 3
    assert found.length[1] > 1.5 * found.length[0]
    assert Model(*simulated({**of, "noise": 0.02}, [0.25, 2.0])).kernel.noise < found.noise / 4


def posterior(theta, one, looks, targets):
    """The logarithm of likelihood times prior, by scipy."""
    likelihood = multivariate_normal.logpdf(
        targets, cov=one.clone_with_theta(theta)(looks) + JITTER * np.eye(len(targets))
    )
    names = ["block", "joint", *["length"] * len(one.length), "liking", "main", "noise"]  # as scikit-learn orders them
    medians, spreads = zip(*(BEFORE[name] for name in names), strict=True)
    return likelihood + norm.logpdf(theta, np.log(medians), spreads).sum()


def test_what_is_fitted_is_the_most_probable():
    points, block, accuracies, episodes = simulated(WEIGHED, [0.3, 0.8], looks=60, blocks=6)
    model = Model(points, block, accuracies, episodes)
    targets = (accuracies - accuracies.mean()) / accuracies.std()
    looks, found = table(points, block, episodes), model.kernel.theta
    best = posterior(found, model.kernel, looks, targets)
    for place in range(len(found)):
        for step in (-0.1, 0.1):
            other = found.copy()
            other[place] += step
            assert posterior(other, model.kernel, looks, targets) < best
    start = LookKernel(**{name: BEFORE[name][0] for name in WEIGHTS}, length=np.full(2, BEFORE["length"][0]))
    assert posterior(start.theta, model.kernel, looks, targets) < best - 1


def test_what_an_earlier_model_found_is_kept_or_where_fitting_begins():
    looks = simulated(WEIGHED, [0.3, 0.8], looks=32, blocks=4)
    earlier = Model(*(part[:16] for part in looks))
    kept, fitted, anew = Model(*looks, earlier.kernel, True), Model(*looks, earlier.kernel), Model(*looks)
    assert kept.kernel is earlier.kernel
    assert not np.allclose(fitted.kernel.theta, earlier.kernel.theta)
    assert fitted.kernel.theta == pytest.approx(anew.kernel.theta, abs=0.05)  # the same hill
    assert fitted.fitted_to == 32


@pytest.mark.parametrize("looks", [1, 5])
def test_looks_that_are_equal_are_believed(looks):
    points, blocks, episodes = drawn(looks)
    belief = Model(points, blocks, np.full(looks, 0.25), episodes).belief(points)
    assert belief.mean == pytest.approx(np.full(looks, 0.25))
    assert (belief.spread > 0).all()


def test_a_space_may_have_a_single_column():
    points = np.linspace(0, 1, 20)[:, None]
    accuracies = 0.5 + 0.3 * points[:, 0]
    mean = Model(points, np.zeros(20, int), accuracies, np.ones(20, int)).belief(points).mean
    assert (np.diff(mean) > 0).all()
