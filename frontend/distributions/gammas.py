"""Distributions made of gamma numbers: gamma, beta, Dirichlet and their like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot import _draws
from ingot._tensor import Tensor
from ingot.distributions import constraints
from ingot.distributions.distribution import Distribution, ExponentialFamily
from ingot.distributions.transformed import TransformedDistribution
from ingot.distributions.transforms import PowerTransform
from ingot.distributions.utils import broadcast_all, stream

__all__ = ["Beta", "Chi2", "Dirichlet", "FisherSnedecor", "Gamma", "InverseGamma"]


def standard_gamma(alpha: Tensor, shape: Sequence[int]) -> Tensor:
    """Gamma numbers of rate 1, with gradients."""
    return _draws.gamma(alpha.expand(tuple(shape)), stream).to(alpha.dtype)


class Gamma(ExponentialFamily):
    """The gamma distribution of shape `concentration` and a rate; gradients of samples by implicit differentiation.

    >>> ingot.distributions.Gamma(2.0, 3.0).mean
    tensor(0.6667)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(tuple(self.concentration.shape), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = standard_gamma(self.concentration, self._extended_shape(sample_shape)) / self.rate
        return drawn.clamp(min=ingot.finfo(drawn.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        value = value if isinstance(value, Tensor) else ingot.tensor(value, dtype=self.rate.dtype)
        self._validate_sample(value)
        a, b = self.concentration, self.rate
        return ingot.xlogy(a, b) + ingot.xlogy(a - 1, value) - b * value - ingot.lgamma(a)

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return ingot.special.gammainc(self.concentration, self.rate * value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - ingot.log(self.rate) + ingot.lgamma(a) + (1.0 - a) * ingot.digamma(a)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return ingot.lgamma(x + 1) + (x + 1) * ingot.log(-y.reciprocal())


class Chi2(Gamma):
    """The chi-squared distribution with `df` degrees of freedom."""

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None):
        (half,) = broadcast_all(df)
        super().__init__(0.5 * half, 0.5, validate_args=validate_args)

    def _parameters(self) -> dict[str, int]:
        return {"concentration": 0, "rate": 0}

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return self.concentration * 2


class InverseGamma(TransformedDistribution):
    """The distribution of 1 / x, x of `Gamma(concentration, rate)`."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        super().__init__(Gamma(concentration, rate, validate_args=validate_args), PowerTransform(-1.0), validate_args=validate_args)

    @property
    def concentration(self) -> Tensor:
        """That of x."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Tensor:
        """That of x."""
        return self.base_dist.rate

    @property
    def mean(self) -> Tensor:
        a = self.concentration
        return ingot.where(a > 1, self.rate / (ingot.where(a > 1, a, 2.0) - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        a = ingot.where(self.concentration > 2, self.concentration, 3.0)
        return ingot.where(self.concentration > 2, self.rate.square() / ((a - 1).square() * (a - 2)), math.inf)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).reciprocal()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self.base_dist.log_prob(value.reciprocal()) - 2 * value.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return ingot.special.gammaincc(self.concentration, self.rate / value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a + self.rate.log() + ingot.lgamma(a) - (1 + a) * ingot.digamma(a)


class Dirichlet(ExponentialFamily):
    """The Dirichlet distribution on the simplex, of positive concentrations along the last dim."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None):
        if concentration.ndim < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(tuple(concentration.shape[:-1]), tuple(concentration.shape[-1:]), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        above = (self.concentration - 1).clamp(min=0.0)
        mode = above / above.sum(-1, True)
        flat = (self.concentration < 1).all(-1, keepdim=True)
        first = ingot.nn.functional.one_hot(mode.nan_to_num(0.0).argmax(-1), self.concentration.shape[-1]).to(mode.dtype)
        return ingot.where(flat, first, mode)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = _draws.gamma(self.concentration.expand(self._extended_shape(sample_shape)), stream)
        return (drawn / drawn.sum(-1, True)).to(self.concentration.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        a = self.concentration
        return ingot.xlogy(a - 1.0, value).sum(-1) + ingot.lgamma(a.sum(-1)) - ingot.lgamma(a).sum(-1)

    def entropy(self) -> Tensor:
        a, k = self.concentration, self.concentration.shape[-1]
        total = a.sum(-1)
        normal = ingot.lgamma(a).sum(-1) - ingot.lgamma(total)
        return normal - (k - total) * ingot.digamma(total) - ((a - 1.0) * ingot.digamma(a)).sum(-1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return x.lgamma().sum(-1) - ingot.lgamma(x.sum(-1))


class Beta(ExponentialFamily):
    """The beta distribution on [0, 1], of two concentrations.

    >>> ingot.distributions.Beta(2.0, 3.0).log_prob(ingot.tensor(0.5))
    tensor(0.4055)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        a, b = broadcast_all(concentration1, concentration0)
        self._dirichlet = Dirichlet(ingot.stack([a, b], -1), validate_args=False)
        super().__init__(self._dirichlet.batch_shape, validate_args=validate_args)

    def _expanded(self, new: Any, shape: Any) -> None:
        new._dirichlet = self._dirichlet.expand(shape)

    @property
    def concentration1(self) -> Tensor:
        """That of the numbers near 1."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Tensor:
        """That of the numbers near 0."""
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._dirichlet.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self._dirichlet.log_prob(ingot.stack([value, 1.0 - value], -1))

    def entropy(self) -> Tensor:
        return self._dirichlet.entropy()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return ingot.lgamma(x) + ingot.lgamma(y) - ingot.lgamma(x + y)


class FisherSnedecor(Distribution):
    """The F distribution: of the ratio of two chi-squared numbers, each divided by its degrees of freedom df1 and df2."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(tuple(self.df1.shape), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        df = ingot.where(self.df2 <= 2, math.nan, self.df2)
        return df / (df - 2)

    @property
    def mode(self) -> Tensor:
        value = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return ingot.where(self.df1 <= 2, math.nan, value)

    @property
    def variance(self) -> Tensor:
        df = ingot.where(self.df2 <= 4, math.nan, self.df2)
        return 2 * df.pow(2) * (self.df1 + df - 2) / (self.df1 * (df - 2).pow(2) * (df - 4))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        top, bottom = (Gamma(d * 0.5, d, validate_args=False).rsample(sample_shape) for d in (self.df1, self.df2))
        return (top / bottom).clamp(min=ingot.finfo(self.df1.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        a, b = self.df1 * 0.5, self.df2 * 0.5
        ratio = self.df1 / self.df2
        constant = (a + b).lgamma() - a.lgamma() - b.lgamma() + a * ratio.log()
        return constant + (a - 1) * value.log() - (a + b) * ingot.log1p(ratio * value)
