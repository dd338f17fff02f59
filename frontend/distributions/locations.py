"""Distributions of one real number by location and scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.distributions import constraints
from ingot.distributions.distribution import Distribution, ExponentialFamily
from ingot.distributions.transformed import TransformedDistribution
from ingot.distributions.transforms import AbsTransform
from ingot.distributions.utils import broadcast_all

__all__ = ["Cauchy", "HalfCauchy", "HalfNormal", "Laplace", "Normal", "StudentT"]

_HALF_LOG_2PI = math.log(2 * math.pi) / 2
EULER = 0.57721566490153286060


def open_unit(shape: Sequence[int], like: Tensor) -> Tensor:
    """Uniform numbers in (0, 1), neither end included."""
    info = ingot.finfo(like.dtype)
    return ingot.rand(tuple(shape), dtype=like.dtype).clamp(min=info.tiny, max=1 - info.eps / 2)


class _LocScale(Distribution):
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(tuple(self.loc.shape), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc


class Normal(_LocScale, ExponentialFamily):
    """The normal distribution of mean `loc` and standard deviation `scale`.

    >>> normal = ingot.distributions.Normal(ingot.tensor([0.0, 1.0]), ingot.tensor([1.0, 2.0]))
    >>> normal.log_prob(ingot.tensor([0.0, 1.0])), normal.rsample((3,)).shape
    (tensor([-0.9189, -1.6121]), ingot.Size([3, 2]))
    """

    _mean_carrier_measure = 0

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            shape = self._extended_shape(sample_shape)
            return ingot.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.loc + ingot.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype) * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return -((value - self.loc) ** 2) / (2 * self.scale**2) - self.scale.log() - _HALF_LOG_2PI

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return 0.5 * (1 + ingot.erf((value - self.loc) / self.scale / math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * ingot.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        return 0.5 + _HALF_LOG_2PI + ingot.log(self.scale)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.loc / self.scale.pow(2), -0.5 * self.scale.pow(2).reciprocal()

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return -0.25 * x.pow(2) / y + 0.5 * ingot.log(-math.pi / y)


class Laplace(_LocScale):
    """The Laplace distribution: exp(-|x - loc| / scale) / (2 scale)."""

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        return 2**0.5 * self.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        eps = ingot.finfo(self.loc.dtype).eps
        u = ingot.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype) * (2 - eps) + (eps - 1)
        return self.loc - self.scale * u.sign() * ingot.log1p(-u.abs())

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return -ingot.log(2 * self.scale) - ingot.abs(value - self.loc) / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return 0.5 - 0.5 * (value - self.loc).sign() * ingot.expm1(-(value - self.loc).abs() / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * ingot.log1p(-2 * term.abs())

    def entropy(self) -> Tensor:
        return 1 + ingot.log(2 * self.scale)


class Cauchy(_LocScale):
    """The Cauchy distribution of median `loc` and half width `scale`; it has no moments."""

    @property
    def mean(self) -> Tensor:
        return ingot.full(self._extended_shape(), math.nan, dtype=self.loc.dtype)

    @property
    def variance(self) -> Tensor:
        return ingot.full(self._extended_shape(), math.inf, dtype=self.loc.dtype)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = open_unit(self._extended_shape(sample_shape), self.loc)
        return self.loc + ingot.tan(math.pi * (u - 0.5)) * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return ingot.atan((value - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return ingot.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()


class _Half(TransformedDistribution):
    """The distribution of |x|, x of another one around 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    base: Any

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(self.base(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """The scale."""
        return self.base_dist.scale

    @property
    def mode(self) -> Tensor:
        return ingot.zeros_like(self.scale)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return ingot.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, prob: Tensor) -> Tensor:  # type: ignore[override]
        return self.base_dist.icdf((prob + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """The distribution of |x|, x normal around 0 with standard deviation `scale`."""

    base = Normal

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """The distribution of |x|, x of the Cauchy distribution around 0 with half width `scale`."""

    base = Cauchy

    @property
    def mean(self) -> Tensor:
        return ingot.full(self._extended_shape(), math.inf, dtype=self.scale.dtype)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance


class StudentT(Distribution):
    """Student's t distribution with `df` degrees of freedom, moved by `loc` and scaled by `scale`."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(tuple(self.df.shape), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return ingot.where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        df = self.df
        finite = self.scale.pow(2) * df / (ingot.where(df > 2, df, 3.0) - 2)
        return ingot.where(df > 2, finite, ingot.where(df > 1, math.inf, math.nan))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        from ingot.distributions.gammas import Chi2

        shape = self._extended_shape(sample_shape)
        z = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * ingot.randn(shape, dtype=self.df.dtype) * ingot.rsqrt(z / self.df)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        y = (value - self.loc) / self.scale
        half = 0.5 * self.df
        z = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + ingot.lgamma(half) - ingot.lgamma(half + 0.5)
        return -0.5 * (self.df + 1) * ingot.log1p(y**2 / self.df) - z

    def entropy(self) -> Tensor:
        half = 0.5 * self.df
        beta = ingot.lgamma(half) + math.lgamma(0.5) - ingot.lgamma(half + 0.5)
        return self.scale.log() + (half + 0.5) * (ingot.digamma(half + 0.5) - ingot.digamma(half)) + 0.5 * self.df.log() + beta
