"""The Kullback-Leibler divergence, by a table of pairs of distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.distributions.continuous import ContinuousBernoulli, Exponential, Uniform
from ingot.distributions.derived import Gumbel, LogNormal, Pareto
from ingot.distributions.discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from ingot.distributions.distribution import Distribution, ExponentialFamily
from ingot.distributions.gammas import Beta, Dirichlet, Gamma, InverseGamma
from ingot.distributions.locations import EULER, Cauchy, HalfCauchy, HalfNormal, Laplace, Normal
from ingot.distributions.multivariate import LowRankMultivariateNormal, MultivariateNormal
from ingot.distributions.transformed import Independent, TransformedDistribution
from ingot.distributions.utils import _sum_rightmost

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Callable], Callable]:
    """A decorator for a function of (p, q) that gives their divergence, for these classes and what is derived of them.

    TypeError unless both are classes.

    >>> class Mine(ingot.distributions.Normal):
    ...     pass
    >>> @ingot.distributions.register_kl(Mine, Mine)
    ... def divergence(p, q):
    ...     return ingot.zeros(())
    >>> ingot.distributions.kl_divergence(Mine(0.0, 1.0), Mine(1.0, 1.0))
    tensor(0.)
    """
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type):
            raise TypeError(f"Expected {name} to be a class of distributions but got {kind}")

    def decorator(fn: Callable) -> Callable:
        _KL_REGISTRY[type_p, type_q] = fn
        return fn

    return decorator


def _found(p: type, q: type) -> Callable | None:
    """The function of the nearest pair of classes: that whose distances in both orders of resolution are least."""
    best, rank = None, None
    for (a, b), fn in _KL_REGISTRY.items():
        if issubclass(p, a) and issubclass(q, b):
            distance = (p.__mro__.index(a), q.__mro__.index(b))
            key = (max(distance), sum(distance), distance)
            if rank is None or key < rank:
                best, rank = fn, key
    return best


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The divergence of q from p: the mean of log p(x) - log q(x) over p. NotImplementedError for a pair without a formula.

    >>> d = ingot.distributions
    >>> d.kl_divergence(d.Normal(0.0, 1.0), d.Normal(1.0, 1.0))
    tensor(0.5000)
    """
    fn = _found(type(p), type(q))
    if fn is None:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}")
    return fn(p, q)


def _all_infinite(t: Tensor) -> Tensor:
    return ingot.full_like(t, math.inf)


def _infinite(type_p: type, *types_q: type) -> None:
    """Pairs where p has mass outside of q's support."""
    for type_q in types_q:
        register_kl(type_p, type_q)(lambda p, q: _all_infinite(_first(p) + 0 * _first(q)))


def _first(d: Any) -> Tensor:
    """A tensor of the shape of a distribution's batch, in the dtype of its parameters."""
    return ingot.zeros(tuple(d.batch_shape), dtype=getattr(d, next(iter(d.arg_constraints))).dtype)


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p: Any, q: Any) -> Tensor:
    if type(p) is not type(q):
        raise NotImplementedError("the divergence between different exponential families has no formula by their log normalizers")
    mine = [t.detach().requires_grad_() for t in p._natural_params]
    with ingot.enable_grad():
        normalizer = p._log_normalizer(*mine)
        gradients = ingot.autograd.grad(normalizer.sum(), mine, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    for a, b, g in zip(mine, q._natural_params, gradients):
        result = result - _sum_rightmost((b - a) * g, len(q.event_shape))
    return result


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    softplus = ingot.nn.functional.softplus
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = ingot.where(q.probs == 0, math.inf, one)
    one = ingot.where(p.probs == 0, 0.0, one)
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    zero = ingot.where(q.probs == 1, math.inf, zero)
    return one + ingot.where(p.probs == 1, 0.0, zero)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Tensor:
    total_p, total_q = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    t1 = q.concentration1.lgamma() + q.concentration0.lgamma() + total_p.lgamma()
    t2 = p.concentration1.lgamma() + p.concentration0.lgamma() + total_q.lgamma()
    t3 = (p.concentration1 - q.concentration1) * ingot.digamma(p.concentration1)
    t4 = (p.concentration0 - q.concentration0) * ingot.digamma(p.concentration0)
    return t1 - t2 + t3 + t4 + (total_q - total_p) * ingot.digamma(total_p)


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return ingot.where(p.total_count > q.total_count, math.inf, kl)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    t = ingot.where((q.probs == 0).expand(t.shape), math.inf, t)
    return ingot.where((p.probs == 0).expand(t.shape), 0.0, t).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Tensor:
    mine = p.mean * (p.logits - q.logits) + p._log_constant() + ingot.log1p(-p.probs)
    return mine - q._log_constant() - ingot.log1p(-q.probs)


@register_kl(ContinuousBernoulli, Exponential)
def _continuous_bernoulli_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(ContinuousBernoulli, Normal)
def _continuous_bernoulli_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _gauss_cross(p.mean, p.variance + p.mean.square(), q)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    normal = a.sum(-1).lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return normal + ((a - b) * (a.digamma() - a.sum(-1, True).digamma())).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    t = b * (p.rate / q.rate).log() + ingot.lgamma(b) - ingot.lgamma(a)
    return t + (a - b) * ingot.digamma(a) + (q.rate - p.rate) * (a / p.rate)


@register_kl(InverseGamma, InverseGamma)
def _inverse_gamma(p: Any, q: Any) -> Tensor:
    return _gamma(p, q)


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    a, b = q.loc / q.scale, p.loc / q.scale
    return -ratio.log() - a + b + ratio * EULER + ingot.exp(a + (1 + ratio).lgamma() - b) - (1 + EULER)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - ingot.log1p(-q.probs) / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(HalfCauchy, HalfCauchy)
def _half_cauchy(p: Any, q: Any) -> Tensor:
    return _cauchy(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    distance = (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * ingot.exp(-distance / p.scale) - 1


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _low_rank(p: Any, q: Any) -> Tensor:
    return _multivariate(p, q)


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _multivariate_low_rank(p: Any, q: Any) -> Tensor:
    return _multivariate(p, q)


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _low_rank_multivariate(p: Any, q: Any) -> Tensor:
    return _multivariate(p, q)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {type(p).__name__}s with different event shapes cannot be computed")
    low_p, low_q = p.scale_tril, q.scale_tril
    n = p.event_shape[0]
    half = low_q.diagonal(0, -2, -1).log().sum(-1) - low_p.diagonal(0, -2, -1).log().sum(-1)
    shape = ingot.broadcast_shapes(tuple(low_p.shape[:-2]), tuple(low_q.shape[:-2]))
    low_p, low_q = low_p.expand((*shape, n, n)), low_q.expand((*shape, n, n))
    trace = ingot.linalg.solve_triangular(low_q, low_p, upper=False).pow(2).sum((-2, -1))
    moved = (q.loc - p.loc).expand((*shape, n)).unsqueeze(-1)
    distance = ingot.linalg.solve_triangular(low_q, moved, upper=False).pow(2).sum((-2, -1))
    return half + 0.5 * (trace + distance - n)


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Tensor:
    scales, alphas = p.scale / q.scale, q.alpha / p.alpha
    result = q.alpha * scales.log() - alphas.log() + alphas - 1
    return ingot.where(p.scale < q.scale, math.inf, result)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(LogNormal, LogNormal)
def _log_normal(p: Any, q: Any) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return ingot.where((q.low > p.low) | (q.high < p.high), math.inf, result)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Tensor:
    t = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return t - (4 * p.scale * q.scale).log()


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


# ---- pairs of different kinds


@register_kl(Beta, Exponential)
def _beta_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * (p.concentration1 / (p.concentration1 + p.concentration0))


@register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Tensor:
    total = p.concentration1 + p.concentration0
    t = q.concentration.lgamma() - q.concentration * q.rate.log()
    t2 = (q.concentration - 1) * (p.concentration1.digamma() - total.digamma())
    return -p.entropy() + t - t2 + q.rate * p.concentration1 / total


@register_kl(Beta, Normal)
def _beta_normal(p: Any, q: Any) -> Tensor:
    mean, square = p.mean, p.variance + p.mean.pow(2)
    return -p.entropy() + _gauss_cross(mean, square, q)


def _gauss_cross(mean: Tensor, square: Tensor, q: Any) -> Tensor:
    """Minus the mean of log q, q normal, of a variable with this mean and mean square."""
    variance = q.scale.square()
    return 0.5 * (2 * math.pi * variance).log() + (square * 0.5 - mean * q.loc + 0.5 * q.loc.square()) / variance


@register_kl(Beta, Uniform)
@register_kl(ContinuousBernoulli, Uniform)
def _of_0_to_1_uniform(p: Any, q: Any) -> Tensor:
    result = -p.entropy() + (q.high - q.low).log()
    return ingot.where((q.low > 0) | (q.high < 1), math.inf, result)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return -q.concentration * ratio.log() + ratio + q.concentration.lgamma() + q.concentration * EULER - (1 + EULER)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Tensor:
    product = p.rate * q.scale
    ratio = q.loc / q.scale
    return product.log() - 1 - ratio + product.reciprocal() + ratio.exp() * product / (product + 1)


@register_kl(Exponential, Normal)
def _exponential_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _gauss_cross(p.mean, 2 * p.rate.pow(-2), q)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Tensor:
    product = p.rate * q.scale
    ratio = q.loc / q.scale
    t = (p.concentration - 1) * p.concentration.digamma() - p.concentration.lgamma() - p.concentration
    return t + product.log() + p.concentration / product + ratio.exp() * (1 + product.reciprocal()).pow(-p.concentration) - ratio


@register_kl(Gamma, Normal)
def _gamma_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _gauss_cross(p.mean, p.variance + p.mean.pow(2), q)


@register_kl(Gumbel, Normal)
def _gumbel_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _gauss_cross(p.mean, p.variance + p.mean.pow(2), q)


@register_kl(Laplace, Normal)
def _laplace_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _gauss_cross(p.mean, p.variance + p.mean.pow(2), q)


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Tensor:
    mean, variance = p.loc / q.scale, (p.scale / q.scale).pow(2)
    shift = q.loc / q.scale
    return mean - shift + ingot.exp(-mean + 0.5 * variance + shift) - 0.5 * (1 + (2 * math.pi * variance).log())


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Tensor:
    moved = p.loc - q.loc
    ratio = p.scale / q.scale
    z = moved / p.scale
    mean = math.sqrt(2 / math.pi) * p.scale * ingot.exp(-0.5 * z.pow(2)) + moved * ingot.erf(math.sqrt(0.5) * z)
    return -ratio.log() + mean / q.scale - 0.5 + 0.5 * math.log(2 / math.pi)


@register_kl(Pareto, Exponential)
def _pareto_exponential(p: Any, q: Any) -> Tensor:
    product = p.scale * q.rate
    result = (p.alpha / product).log() - p.alpha.reciprocal() + p.alpha * product / (p.alpha - 1) - 1
    return ingot.where(p.alpha <= 1, math.inf, result)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Tensor:
    common = p.scale.log() + p.alpha.reciprocal()
    t = p.alpha.log() - common + q.concentration.lgamma() - q.concentration * q.rate.log() + (1 - q.concentration) * common
    result = t + q.rate * p.alpha * p.scale / (p.alpha - 1) - 1
    return ingot.where(p.alpha <= 1, math.inf, result)


@register_kl(Pareto, Normal)
def _pareto_normal(p: Any, q: Any) -> Tensor:
    a = ingot.where(p.alpha > 2, p.alpha, 3.0)
    mean = a * p.scale / (a - 1)
    square = p.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2)) + mean.pow(2)
    return ingot.where(p.alpha <= 2, math.inf, -p.entropy() + _gauss_cross(mean, square, q))


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Tensor:
    xlogx = lambda t: ingot.special.xlogy(t, t)  # noqa: E731
    common = p.high - p.low
    normal = q.concentration1.lgamma() + q.concentration0.lgamma() - (q.concentration1 + q.concentration0).lgamma()
    t1 = (q.concentration1 - 1) * (xlogx(p.high) - xlogx(p.low) - common) / common
    t2 = (q.concentration0 - 1) * (xlogx(1 - p.high) - xlogx(1 - p.low) + common) / common
    return ingot.where((p.high > 1) | (p.low < 0), math.inf, t2 - common.log() + normal - t1)


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    result = -p.entropy() - p.mean * q.logits - ingot.log1p(-q.probs) - q._log_constant()
    return ingot.where((p.high > 1) | (p.low < 0), math.inf, result)


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Tensor:
    result = q.rate * (p.high + p.low) / 2 - ((p.high - p.low) * q.rate).log()
    return ingot.where(p.low < 0, math.inf, result)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Tensor:
    xlogx = lambda t: ingot.special.xlogy(t, t)  # noqa: E731
    common = p.high - p.low
    t = q.concentration.lgamma() - q.concentration * q.rate.log() - common.log()
    t2 = (1 - q.concentration) * (xlogx(p.high) - xlogx(p.low) - common) / common
    return ingot.where(p.low < 0, math.inf, t + t2 + q.rate * (p.high + p.low) / 2)


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Tensor:
    common = q.scale / (p.high - p.low)
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return common.log() + 0.5 * (high + low) - common * (ingot.exp(-high) - ingot.exp(-low))


@register_kl(Uniform, Normal)
def _uniform_normal(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _gauss_cross(p.mean, p.variance + p.mean.pow(2), q)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Tensor:
    xlogx = lambda t: ingot.special.xlogy(t, t)  # noqa: E731
    common = p.high - p.low
    t = (q.alpha * q.scale.pow(q.alpha) * common).log()
    result = (xlogx(p.high) - xlogx(p.low) - common) / common * (q.alpha + 1) - t
    return ingot.where(p.low < q.scale, math.inf, result)


for _p, _qs in (
    (Beta, (Pareto,)), (ContinuousBernoulli, (Pareto,)), (Exponential, (Beta, ContinuousBernoulli, Pareto, Uniform)),
    (Gamma, (Beta, ContinuousBernoulli, Pareto, Uniform)), (Gumbel, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Laplace, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Normal, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)), (Pareto, (Beta, ContinuousBernoulli, Uniform)),
    (Poisson, (Bernoulli, Binomial)),
):  # fmt: skip
    _infinite(_p, *_qs)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)
