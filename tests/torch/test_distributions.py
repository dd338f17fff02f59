"""Distributions against torch: densities and their gradients, moments, entropies, divergences; samples by their own moments."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ingot
from tests.support.interpreter import interpreter  # noqa: F401  (these are semantics: nothing needs to be compiled)
from tests.torch.against import close

# name -> constructor's arguments, an expression over m (ingot or torch); V is float64, W float32
CASES = {
    "Normal": "V([0.5, -1]), V([1.5, 0.3])", "Laplace": "V([0.5, -1]), V([1.5, 0.3])", "Cauchy": "V([0.5, -1]), V([1.5, 0.3])",
    "Gumbel": "V([0.5, -1]), V([1.5, 0.3])", "HalfNormal": "V([1.5, 0.3])", "HalfCauchy": "V([1.5, 0.3])",
    "StudentT": "V([5.0, 1.5]), V([0.5, -1]), V([1.5, 0.3])", "Uniform": "V([0.5, -1]), V([1.5, 0.3])", "Exponential": "V([0.5, 2])",
    "GeneralizedPareto": "W([0.5, -1, 0]), W([1.5, 0.3, 1]), W([0.2, 0.0, -0.3])", "ContinuousBernoulli": "V([0.2, 0.5, 0.9])",
    "Gamma": "V([0.5, 3]), V([1.5, 0.3])", "Chi2": "V([1.5, 4])", "InverseGamma": "V([2.5, 3]), V([1.5, 0.3])",
    "Beta": "V([0.5, 3]), V([1.5, 2])", "Dirichlet": "V([[0.5, 3, 1], [2, 2, 2]])", "FisherSnedecor": "V([3.0, 5]), V([6.0, 9])",
    "Bernoulli": "V([0.2, 0.7])", "Geometric": "V([0.2, 0.7])", "Binomial": "7, V([0.2, 0.7])",
    "NegativeBinomial": "V([3.0, 5]), V([0.2, 0.7])",
    "Poisson": "V([0.5, 20])", "Categorical": "V([[0.2, 0.3, 0.5], [1, 1, 2]])", "OneHotCategorical": "V([[0.2, 0.3, 0.5], [1, 1, 2]])",
    "OneHotCategoricalStraightThrough": "V([0.2, 0.3, 0.5])", "Multinomial": "6, V([0.2, 0.3, 0.5])",
    "LogNormal": "V([0.5, -1]), V([0.5, 0.3])", "LogisticNormal": "V([0.5, -1]), V([1.5, 0.3])", "Pareto": "V([0.5, 1]), V([3.5, 2.5])",
    "Weibull": "V([0.5, 1]), V([3.5, 2.5])", "Kumaraswamy": "V([0.5, 2]), V([3.5, 2.5])", "RelaxedBernoulli": "V(0.7), V([0.2, 0.7])",
    "RelaxedOneHotCategorical": "V(0.7), V([0.2, 0.3, 0.5])", "VonMises": "V([0.5, -1]), V([0.4, 7.0])",
    "MultivariateNormal": "V([0.5, -1]), V([[2.0, 0.5], [0.5, 1]])",
    "MultivariateNormal by precision": "V([[0.5, -1], [0, 0]]), precision_matrix=V([[2.0, 0.5], [0.5, 1]])",
    "LowRankMultivariateNormal": "V([0.5, -1, 0]), V([[2.0], [0.5], [0.1]]), V([0.3, 0.2, 1])",
    "LKJCholesky": "3, V([0.5, 2.0])", "Wishart": "V([3.5, 5.0]), V([[2.0, 0.5], [0.5, 1]])",
    "Bernoulli by logits": "logits=V([0.2, -0.7])", "Categorical by logits": "logits=V([0.2, -0.7, 1])",
}  # fmt: skip
NESTED = {
    "Independent": "D.Independent(D.Normal(V([0.5, -1]), V([1.5, 0.3])), 1)",
    "Mixture": "D.MixtureSameFamily(D.Categorical(V([0.3, 0.7])), D.Normal(V([0.5, -1]), V([1.5, 0.3])))",
    "Mixture of vectors": "D.MixtureSameFamily(D.Categorical(V([0.3, 0.7])), D.Independent(D.Normal(V([[0.5, -1], [1, 1]]), V(1.5)), 1))",
    "Transformed": "D.TransformedDistribution(D.Normal(V([0.5, -1]), V([1.5, 0.3])), [D.TanhTransform(), D.AffineTransform(1.0, 2.0)])",
    "Transformed vectors": "D.TransformedDistribution(D.Independent(D.Normal(V([0.5, -1]), V(1.5)), 1), D.ExpTransform())",
}  # fmt: skip


def make(m, name):
    names = {"D": m.distributions, "m": m, "V": lambda x: m.tensor(x, dtype=m.float64), "W": m.tensor}
    return eval(NESTED.get(name) or f"D.{name.split()[0]}({CASES[name]})", names)


def tensor(t):
    return ingot.tensor(t.detach().numpy())


def same(mine, theirs, what, rtol=1e-6):
    single = theirs.dtype is torch.float32
    close(mine, theirs, rtol=max(rtol, 2e-5) if single else rtol, atol=1e-5 if single else 1e-8, what=what)


@pytest.mark.parametrize("name", [*CASES, *NESTED])
def test_densities_and_moments(name):
    mine, theirs = make(ingot, name), make(torch, name)
    assert tuple(mine.batch_shape) == tuple(theirs.batch_shape) and tuple(mine.event_shape) == tuple(theirs.event_shape)
    assert mine.has_rsample == theirs.has_rsample and mine.has_enumerate_support == theirs.has_enumerate_support
    torch.manual_seed(0)
    x = theirs.sample((4,))
    log_prob = mine.log_prob(tensor(x))
    same(log_prob, theirs.log_prob(x), "log_prob")
    for what in ("mean", "variance", "stddev", "mode"):
        try:
            wanted = getattr(theirs, what)
        except NotImplementedError:
            continue
        same(getattr(mine, what), wanted, what)
    for what, arguments in (("entropy", ()), ("perplexity", ()), ("cdf", (x,)), ("icdf", ("half",)), ("enumerate_support", ())):
        if arguments == ("half",):
            arguments = (torch.full(tuple(theirs.batch_shape), 0.3, dtype=torch.float64),)
        try:
            wanted = getattr(theirs, what)(*arguments)
        except (NotImplementedError, RuntimeError):
            continue
        same(getattr(mine, what)(*map(tensor, arguments)), wanted, what, 1e-5)
    drawn = mine.sample((3,))
    assert tuple(drawn.shape) == tuple(theirs.sample((3,)).shape) and not drawn.requires_grad
    try:
        inside = mine.support.check(drawn)
        assert inside.all() and tuple(inside.shape) == tuple(theirs.support.check(theirs.sample((3,))).shape)
    except NotImplementedError:
        pass
    wide = mine.expand((5, *mine.batch_shape))
    assert tuple(wide.sample().shape) == (5, *mine.batch_shape, *mine.event_shape)
    same(wide.log_prob(tensor(x[0])), theirs.expand((5, *theirs.batch_shape)).log_prob(x[0]), "expanded")
    assert repr(mine).startswith(type(mine).__name__)


GRADIENTS = [n for n in CASES if n not in ("Uniform", "GeneralizedPareto", "Wishart", "LKJCholesky", "OneHotCategoricalStraightThrough")]


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_densities(name):
    torch.manual_seed(1)
    x = make(torch, name).sample((2,))
    grads = []
    for m, value in ((ingot, tensor(x)), (torch, x)):
        leaves = []

        def leaf(v, m=m, leaves=leaves):
            leaves.append(m.tensor(v, dtype=m.float64, requires_grad=True))
            return leaves[-1]

        eval(f"D.{name.split()[0]}({CASES[name]})", {"D": m.distributions, "V": leaf, "W": leaf}).log_prob(value).sum().backward()
        grads.append([t.grad for t in leaves])
    for a, b in zip(*grads):
        same(a, b, "gradient", 1e-5)


MOMENTS = ["Laplace", "Gumbel", "Beta", "Dirichlet", "FisherSnedecor", "Geometric", "NegativeBinomial", "Multinomial",
           "Weibull", "Kumaraswamy",
           "LowRankMultivariateNormal", "Wishart"]  # fmt: skip


@pytest.mark.parametrize("name", MOMENTS)
def test_samples_have_the_moments(name):
    ingot.manual_seed(3)
    d = make(ingot, name)
    n = 20_000
    x = d.sample((n,)).numpy()
    mean, variance = d.mean.numpy(), d.variance.numpy()
    np.testing.assert_allclose(x.mean(0), mean, atol=float(6 * np.sqrt(variance.max() / n)))
    np.testing.assert_allclose(x.var(0), variance, rtol=0.25)


REPARAMETRIZED = ["Gamma", "Beta", "Weibull", "Kumaraswamy", "ContinuousBernoulli", "GeneralizedPareto"]


@pytest.mark.parametrize("name", REPARAMETRIZED)
def test_gradients_of_samples_are_those_of_the_mean(name):
    ingot.manual_seed(5)
    leaves = []

    def leaf(v):
        leaves.append(ingot.tensor(v, dtype=ingot.float64, requires_grad=True))
        return leaves[-1]

    d = eval(f"D.{name}({CASES[name]})", {"D": ingot.distributions, "V": leaf, "W": leaf})
    d.mean.sum().backward()
    wanted = [np.zeros(tuple(t.shape)) if t.grad is None else t.grad.numpy() for t in leaves]
    for t in leaves:
        t.grad = None
    d = eval(f"D.{name}(*leaves)", {"D": ingot.distributions, "leaves": leaves})
    d.rsample((20_000,)).mean(0).sum().backward()
    for t, w in zip(leaves, wanted):
        np.testing.assert_allclose(t.grad.numpy(), w, rtol=0.1, atol=0.06)


@pytest.mark.compiled
def test_gradients_of_gamma_samples_are_torch_s():
    for alpha in (0.3, 1.0, 5.0, 80.0):
        a = ingot.full((50,), alpha, dtype=ingot.float64, requires_grad=True)
        x = ingot.distributions.Gamma(a, 1.0).rsample()
        x.sum().backward()
        wanted = torch._standard_gamma_grad(torch.full((50,), alpha, dtype=torch.float64), torch.tensor(x.detach().numpy()))
        np.testing.assert_allclose(a.grad.numpy(), wanted.numpy(), rtol=2e-3)


def test_divergences():
    names = [n for n in (*CASES, *NESTED) if n not in ("NegativeBinomial", "Wishart")]
    pairs = 0
    made = {n: (make(ingot, n), make(torch, n)) for n in names}
    for n, (p, tp) in made.items():
        for k, (q, tq) in made.items():
            if tuple(tp.event_shape) != tuple(tq.event_shape) or tuple(tp.batch_shape) != tuple(tq.batch_shape):
                continue
            try:
                wanted = torch.distributions.kl_divergence(tp, tq)
            except NotImplementedError:
                continue
            pairs += 1
            mine = ingot.distributions.kl_divergence(p, q)
            np.testing.assert_allclose(mine.detach().numpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=f"{n} {k}")
    assert pairs > 80
    with pytest.raises(NotImplementedError):
        ingot.distributions.kl_divergence(made["Normal"][0], made["Categorical"][0])


TRANSFORMS = [
    "ExpTransform()", "PowerTransform(V(2.5))", "SigmoidTransform()", "SoftplusTransform()", "TanhTransform()",
    "AffineTransform(V(1.0), V([-2.0, 3]))",
    "AffineTransform(1.0, -2.0)", "AffineTransform(V(1.0), V([-2.0, 3]), event_dim=1)", "StickBreakingTransform()", "SoftmaxTransform()",
    "CorrCholeskyTransform()", "ComposeTransform([ExpTransform(), AffineTransform(0.0, 2.0)])", "IndependentTransform(ExpTransform(), 1)",
    "ReshapeTransform((2,), (1, 2))", "CumulativeDistributionTransform(Normal(V(0.0), V(1.0)))", "ExpTransform().inv",
    "StackTransform([ExpTransform(), TanhTransform()], -1)", "CatTransform([ExpTransform(), TanhTransform()], -1)", "identity_transform",
    "LowerCholeskyTransform()", "PositiveDefiniteTransform()", "ComposeTransform([StickBreakingTransform(), ExpTransform()])",
]  # fmt: skip


@pytest.mark.parametrize("text", TRANSFORMS)
def test_transforms(text):
    x = np.array([[0.3, -0.8], [0.1, 0.5], [1.2, 0.2]])
    if "Corr" in text:
        x = np.array([[0.3, -0.8, 0.4], [0.1, 0.5, -1]])
    if "LowerCholesky" in text or "PositiveDefinite" in text:
        x = np.array([[[0.3, -0.8], [0.1, 0.5]]])
    if "Power" in text or ".inv" in text:
        x = np.abs(x)
    results = []
    for m in (ingot, torch):
        names = {**{k: getattr(m.distributions.transforms, k) for k in m.distributions.transforms.__all__},
                 "V": lambda v, m=m: m.tensor(v, dtype=m.float64), "Normal": m.distributions.Normal}  # fmt: skip
        t = eval(text, names)
        v = m.tensor(x)
        y = t(v)
        out = [y]
        if "Softmax" not in text and "Cholesky" not in text.replace("CorrCholesky", "") and "Definite" not in text:
            out.append(t.log_abs_det_jacobian(v, y))
        out.append(t.inv(y))
        results.append((out, t.bijective, tuple(t.forward_shape(x.shape)), t.domain.event_dim, t.codomain.event_dim, t.codomain.check(y)))
    for a, b in zip(results[0][0], results[1][0]):
        same(a, b, text)
    assert results[0][1:5] == results[1][1:5]
    assert bool(results[0][5].all()) == bool(results[1][5].all())


REGISTRY = [
    "real", "positive", "nonnegative", "greater_than(2.0)", "less_than(-1.0)", "interval(-1.0, 3.0)", "unit_interval", "simplex",
    "lower_cholesky", "positive_definite", "corr_cholesky", "real_vector", "half_open_interval(0.0, 2.0)", "independent(positive, 1)",
]  # fmt: skip


@pytest.mark.parametrize("text", REGISTRY)
@pytest.mark.parametrize("which", ["biject_to", "transform_to"])
def test_transforms_of_constraints(text, which):
    x = np.array([[[0.3, -0.8], [0.1, 0.5]]]) if "cholesky" in text or "definite" in text else np.array([[0.3, -0.8, 0.4]])
    x = np.array([[0.3, -0.8, 0.4]]) if "corr" in text else x
    out = []
    for m in (ingot, torch):
        constraint = eval(text, {k: getattr(m.distributions.constraints, k) for k in m.distributions.constraints.__all__})
        try:
            out.append((getattr(m.distributions, which)(constraint)(m.tensor(x)), constraint))
        except NotImplementedError:
            out.append(None)
    if out[1] is None:
        assert out[0] is None
        return
    same(out[0][0], out[1][0], text)
    assert out[0][1].check(out[0][0]).all() and out[0][1].event_dim == out[1][1].event_dim


def test_errors():
    d = ingot.distributions
    for bad in (
        lambda: d.Normal(0.0, -1.0), lambda: d.Uniform(2.0, 1.0), lambda: d.Categorical(), lambda: d.Bernoulli(0.5, 0.5),
        lambda: d.Bernoulli(1.5), lambda: d.Exponential(1.0).log_prob(ingot.tensor(-1.0)), lambda: d.Normal(0.0, 1.0).log_prob(1.0),
        lambda: d.Normal(ingot.zeros(2), 1.0).log_prob(ingot.zeros(3)), lambda: d.Categorical(ingot.ones(3)).log_prob(ingot.tensor(3)),
        lambda: d.MultivariateNormal(ingot.zeros(2)), lambda: d.Independent(d.Normal(0.0, 1.0), 1), lambda: d.ReshapeTransform((2,), (3,)),
        lambda: d.LKJCholesky(1), lambda: d.Normal("a", 1.0), lambda: d.Dirichlet(ingot.tensor(1.0)),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            bad()
    d.Normal(0.0, -1.0, validate_args=False)
    with pytest.raises(TypeError):
        d.register_kl(1, d.Normal)


@pytest.mark.compiled
def test_in_a_compiled_function():
    @ingot.compile
    def loss(mean, x):
        d = ingot.distributions.Normal(mean, 1.0)
        divergence = ingot.distributions.kl_divergence(d, ingot.distributions.Normal(0.0, 1.0))
        return -d.log_prob(x).sum() + divergence.sum() + 0 * d.rsample().sum()

    mean = ingot.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        value = loss(mean, ingot.zeros(2))
    assert value.item() == pytest.approx(5 / 2 + math.log(2 * math.pi) + 5 / 2, rel=1e-5)


SPECIAL = [
    ("m.igamma(a, x)", 1e-6), ("m.igammac(a, x)", 1e-6), ("m.special.gammainc(a, x)", 1e-6), ("a.igammac(x)", 1e-6),
    ("m.special.zeta(a + 1.01, x)", 1e-6), ("m.special.zeta(m.tensor([2.0, 3.0]), m.tensor([-1.5, -9.5]))", 1e-5),
    ("m.igamma(a * 1e12, a * 1e12 + (x - a) * 5e5)", 1e-6), ("m.igammac(a * 1e35, a * 1e35)", 1e-6),
    ("m.special.zeta(m.tensor([1e20, float('inf'), 1e20]), m.tensor([1.0, 1.0, 0.5]))", 0),
]  # fmt: skip


@pytest.mark.parametrize("text, rtol", SPECIAL)
def test_incomplete_gamma_and_zeta(text, rtol):
    rng = np.random.default_rng(0)
    a = np.concatenate([rng.uniform(0.05, 60, 60), 10 ** rng.uniform(2, 4, 20), [1.0, 2.0]])
    x = np.concatenate([a[:60] * rng.uniform(0.05, 2, 60), a[60:80] + rng.normal(size=20) * np.sqrt(a[60:80]), [0.5, 3.0]])
    values = {"a": a, "x": x}
    mine, theirs = (eval(text, {"m": m, **{k: m.tensor(v) for k, v in values.items()}}) for m in (ingot, torch))
    close(mine, theirs, rtol=rtol, atol=1e-30 if "zeta" in text else 1e-12)


@pytest.mark.compiled
def test_incomplete_gamma_at_the_edges_and_its_gradient():
    a, x = [0.0, 0, 1, 1, -1, math.inf, 2, math.inf, math.nan], [0.0, 1, 0, math.inf, 1, 1, -1, math.inf, 1]
    for name in ("igamma", "igammac"):
        close(getattr(ingot, name)(ingot.tensor(a), ingot.tensor(x)), getattr(torch, name)(torch.tensor(a), torch.tensor(x)))
    grads = []
    for m in (ingot, torch):
        x = m.tensor([0.5, 3.0, 12.0, 100.0], dtype=m.float64, requires_grad=True)
        m.igamma(m.tensor([0.7, 3.5, 40.0, 99.0], dtype=m.float64), x).sum().backward()
        grads.append(x.grad)
    close(*grads, rtol=1e-6, atol=1e-12)
    step = 1e-5  # of finite differences
    b = ingot.tensor([0.7, 3.5, 40.0], dtype=ingot.float64, requires_grad=True)  # torch has none by the first argument
    y = ingot.tensor([0.5, 3.0, 42.0], dtype=ingot.float64)
    ingot.igamma(b, y).sum().backward()
    numeric = (ingot.igamma(b.detach() + step, y) - ingot.igamma(b.detach() - step, y)) / (2 * step)
    np.testing.assert_allclose(b.grad.numpy(), numeric.numpy(), rtol=1e-5)


def test_counts_and_angles_have_the_right_moments():
    ingot.manual_seed(1)
    n = 20_000
    for rate in (0.0, 0.5, 9.9, 10.0, 30.0, 1e4):
        x = ingot.poisson(ingot.full((n,), rate)).numpy().astype(np.float64)
        assert abs(x.mean() - rate) <= 6 * math.sqrt(rate / n) and abs(x.var() - rate) <= 0.1 * rate
    for count, p in ((5, 0.3), (40, 0.5), (100, 0.9), (1000, 0.02), (10, 1.0), (7, 0.0)):
        x = ingot.binomial(ingot.full((n,), float(count)), ingot.full((n,), p)).numpy().astype(np.float64)
        variance = count * p * (1 - p)
        assert abs(x.mean() - count * p) <= 6 * math.sqrt(variance / n) and abs(x.var() - variance) <= 0.1 * variance
        assert x.min() >= 0 and x.max() <= count
    for k in (0.01, 1.0, 10.0):
        x = ingot.distributions.VonMises(0.5, k).sample((n,)).numpy() - 0.5
        wanted = (torch.special.i1(torch.tensor(k)) / torch.special.i0(torch.tensor(k))).item()
        assert abs(np.cos(x).mean() - wanted) < 0.03 and abs(np.sin(x).mean()) < 0.03


def test_entropy_of_binomials_of_different_counts():
    counts, p = [0.0, 3.0, 7.0], 0.3
    got = ingot.distributions.Binomial(ingot.tensor(counts), ingot.tensor(p)).entropy().tolist()
    want = [torch.distributions.Binomial(torch.tensor(n), torch.tensor(p)).entropy().item() for n in counts]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_sets_between_bounds_are_classes_that_can_be_extended():
    for m in (ingot, torch):
        c, transforms = m.distributions.constraints, m.distributions.transforms
        assert isinstance(c.positive, c.greater_than) and not isinstance(c.half_open_interval(0.0, 1.0), c.interval)
        assert not isinstance(c.nonnegative_integer, c.greater_than_eq) and repr(type(c.unit_interval)(0, 2)).startswith("Interval(")

        class Softplus(type(c.positive)):
            def __init__(self):
                super().__init__(lower_bound=0.0)

        m.distributions.transform_to.register(Softplus, lambda constraint, t=transforms: t.SoftplusTransform())
        assert Softplus().check(m.tensor([-1.0, 2.0])).tolist() == [False, True]
        assert m.distributions.transform_to(Softplus())(m.tensor(0.0)).item() == pytest.approx(math.log(2))


BOUNDED = ["Normal(V(0.2), V(1.5))", "Exponential(V(1.3))", "Uniform(V(-0.5), V(2.0))", "Uniform(V(0.2), V(0.6))"]


@pytest.mark.parametrize("text", BOUNDED)
def test_divergences_of_continuous_bernoullis(text):
    mine, theirs = (
        m.distributions.kl_divergence(p, q)
        for m in (ingot, torch)
        for D, V in [(m.distributions, lambda x, m=m: m.tensor(x, dtype=m.float64))]
        for p, q in [(D.ContinuousBernoulli(V([0.3, 0.5, 0.9])), eval(f"D.{text}", {"D": D, "V": V}))]
    )
    same(mine, theirs, text)


def test_divergences_between_0_and_1_are_finite():
    # torch gives infinity where the bounds are the same
    D = ingot.distributions
    p, q = D.ContinuousBernoulli(ingot.tensor(0.3, dtype=ingot.float64)), D.Uniform(0.0, 1.0)
    x = (ingot.arange(100000, dtype=ingot.float64) + 0.5) / 100000
    density = p.log_prob(x)
    np.testing.assert_allclose(D.kl_divergence(p, q).item(), (density.exp() * density).mean().item(), rtol=1e-6)
    np.testing.assert_allclose(D.kl_divergence(D.Uniform(x[0] * 0, x[0] * 0 + 1), p).item(), -density.mean().item(), rtol=1e-6)


def test_infinite_divergences_have_the_dtype_of_the_parameters():
    V = lambda x: ingot.tensor(x, dtype=ingot.float64)  # noqa: E731
    D = ingot.distributions
    found = D.kl_divergence(D.Exponential(V(2.0)), D.Uniform(V(0.0), V(1.0)))
    assert found.dtype is ingot.float64 and found.item() == math.inf


def test_the_bounds_of_a_generalized_pareto_without_curvature():
    for x in (0.0, 1.0):
        mine, theirs = (m.distributions.GeneralizedPareto(m.tensor([0.5]), m.tensor(1.5), m.tensor([0.0])) for m in (ingot, torch))
        same(mine.icdf(ingot.tensor(x)), theirs.icdf(torch.tensor(x)), f"icdf {x}")
    same(mine.cdf(ingot.tensor(math.inf)), torch.tensor([1.0]), "cdf")
    same(mine.log_prob(ingot.tensor(math.inf)), torch.tensor([-math.inf]), "log_prob")


@pytest.mark.parametrize(
    ("name", "args"), [("HalfNormal", (2.0,)), ("HalfCauchy", (2.0,)), ("Gumbel", (1.0, 2.0)), ("InverseGamma", (1.0, 2.0))]
)
def test_what_is_transformed_says_so(name, args):
    for lib in (ingot, torch):
        d = getattr(lib.distributions, name)(*args)
        assert isinstance(d, lib.distributions.TransformedDistribution) and d.expand((3, 2)).sample().shape == (3, 2)
        if not d.transforms[0].bijective:
            continue
        again = lib.distributions.TransformedDistribution(d.base_dist, d.transforms)
        value = lib.tensor([0.5, 3.0])
        np.testing.assert_allclose(again.log_prob(value).numpy(), d.log_prob(value).numpy(), rtol=1e-4)
