"""Distributions made of others: mixed, and more of transformed values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.distributions import constraints
from ingot.distributions.continuous import Exponential, Uniform
from ingot.distributions.discrete import Categorical
from ingot.distributions.distribution import Distribution
from ingot.distributions.locations import EULER, Normal, open_unit
from ingot.distributions.transformed import TransformedDistribution
from ingot.distributions.transforms import (
    AffineTransform,
    ExpTransform,
    PowerTransform,
    StickBreakingTransform,
)
from ingot.distributions.utils import broadcast_all

__all__ = [
    "Gumbel", "Kumaraswamy", "LogNormal", "LogisticNormal", "MixtureSameFamily", "Pareto", "Weibull",
]  # fmt: skip


class Gumbel(TransformedDistribution):
    """The Gumbel distribution: of loc - scale * log(-log(u)), u uniform."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        limits = ingot.finfo(self.loc.dtype)
        base = Uniform(ingot.full_like(self.loc, limits.tiny), ingot.full_like(self.loc, 1 - limits.eps), validate_args=validate_args)
        log = ExpTransform().inv
        steps = [log, AffineTransform(0, -ingot.ones_like(self.scale)), log, AffineTransform(self.loc, -self.scale)]
        super().__init__(base, steps, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.loc, new.scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        return new

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * EULER

    @property
    def stddev(self) -> Tensor:
        return (math.pi / math.sqrt(6)) * self.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev.pow(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = open_unit(self._extended_shape(sample_shape), self.loc)
        return self.loc - self.scale * (-u.log()).log()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return y - y.exp() - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return ingot.exp(-ingot.exp(-(value - self.loc) / self.scale))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + EULER)


class LogNormal(TransformedDistribution):
    """The distribution of exp(x), x normal with mean `loc` and standard deviation `scale`."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        super().__init__(Normal(loc, scale, validate_args=validate_args), ExpTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """The mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Tensor:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        square = self.scale.pow(2)
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() + self.loc


class LogisticNormal(TransformedDistribution):
    """A normal vector, mapped to the simplex by stick breaking."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """The means of the normal numbers."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Their standard deviations."""
        return self.base_dist.base_dist.scale


class Pareto(TransformedDistribution):
    """The Pareto distribution from `scale` on, with tail exponent `alpha`."""

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        super().__init__(base, [ExpTransform(), AffineTransform(loc=0, scale=self.scale)], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        made = type(self)(self.scale.expand(tuple(batch_shape)), self.alpha.expand(tuple(batch_shape)), validate_args=False)
        return self._as_instance(made, _instance)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Weibull(TransformedDistribution):
    """The Weibull distribution of a scale and a shape `concentration`."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(ingot.ones_like(self.scale), validate_args=validate_args)
        power = PowerTransform(exponent=self.concentration.reciprocal())
        super().__init__(base, [power, AffineTransform(loc=0, scale=self.scale)], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        made = type(self)(self.scale.expand(tuple(batch_shape)), self.concentration.expand(tuple(batch_shape)), validate_args=False)
        return self._as_instance(made, _instance)

    def _moment(self, k: int) -> Tensor:
        return ingot.exp(ingot.lgamma(1 + k * self.concentration.reciprocal()))

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Tensor:
        c = self.concentration
        return self.scale * ((c - 1) / c) ** c.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (self._moment(2) - self._moment(1) ** 2)

    def entropy(self) -> Tensor:
        inverse = self.concentration.reciprocal()
        return EULER * (1 - inverse) + ingot.log(self.scale * inverse) + 1


class Kumaraswamy(TransformedDistribution):
    """The Kumaraswamy distribution on [0, 1]: the distribution function is 1 - (1 - x ** a) ** b, a and b the concentrations 1 and 0."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        base = Uniform(ingot.zeros_like(self.concentration0), ingot.ones_like(self.concentration0), validate_args=validate_args)
        transforms = [
            PowerTransform(exponent=self.concentration0.reciprocal()), AffineTransform(loc=1.0, scale=-1.0),
            PowerTransform(exponent=self.concentration1.reciprocal()),
        ]  # fmt: skip
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        a, b = (c.expand(tuple(batch_shape)) for c in (self.concentration1, self.concentration0))
        made = type(self)(a, b, validate_args=False)
        return self._as_instance(made, _instance)

    def _moment(self, k: int) -> Tensor:
        a, b = 1 + k / self.concentration1, self.concentration0
        return b * ingot.exp(ingot.lgamma(a) + ingot.lgamma(b) - ingot.lgamma(a + b))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._forward(open_unit(self._extended_shape(sample_shape), self.concentration0))

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        log = a.reciprocal() * (-b).log1p() - (-a * b).log1p()
        return ingot.where((b < 1) | (a < 1), math.nan, log.exp())

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).pow(2)

    def entropy(self) -> Tensor:
        a, b = self.concentration1.reciprocal(), self.concentration0.reciprocal()
        harmonic = ingot.digamma(self.concentration0 + 1) + EULER
        return (1 - b) + (1 - a) * harmonic - ingot.log(self.concentration1) - ingot.log(self.concentration0)


class MixtureSameFamily(Distribution):
    """A mixture of the distributions along the last batch dim of `component_distribution`, by a Categorical of as many classes.

    >>> d = ingot.distributions
    >>> mixture = d.MixtureSameFamily(d.Categorical(ingot.ones(2)), d.Normal(ingot.tensor([-1.0, 1.0]), 1.0))
    >>> mixture.mean, mixture.variance
    (tensor(0.), tensor(2.))
    """

    def __init__(self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution need to be an instance of torch.distributions.Distribution")
        mine, theirs = tuple(mixture_distribution.batch_shape), tuple(component_distribution.batch_shape)
        for a, b in zip(reversed(mine), reversed(theirs[:-1])):
            if a != 1 and b != 1 and a != b:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({mine}) is not compatible with `component_distribution.batch_shape`({theirs})"
                )
        count = mixture_distribution._num_events
        if theirs[-1] != count:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal `component_distribution.batch_shape[-1]` ({theirs[-1]})"
            )
        self._mixture, self._components, self._num_component = mixture_distribution, component_distribution, count
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(theirs[:-1], component_distribution.event_shape, validate_args=validate_args)

    def _expanded(self, new: Any, shape: Any) -> None:
        new._components = self._components.expand((*shape, self._num_component))
        new._mixture = self._mixture.expand(shape)

    @property
    def mixture_distribution(self) -> Any:
        """The Categorical."""
        return self._mixture

    @property
    def component_distribution(self) -> Any:
        """The components."""
        return self._components

    @constraints.dependent_property
    def support(self) -> Any:
        support = self._components.support
        if isinstance(support, constraints._Bounded):
            return support.with_bounds(lambda v: v[..., 0] if isinstance(v, Tensor) and v.ndim else v)
        return support

    def _weights(self) -> Tensor:
        probs = self._mixture.probs
        return probs.reshape((*probs.shape, *(1,) * self._event_ndims))

    @property
    def mean(self) -> Tensor:
        return (self._weights() * self._components.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self) -> Tensor:
        dim, weights = -1 - self._event_ndims, self._weights()
        within = (weights * self._components.variance).sum(dim)
        return within + (weights * (self._components.mean - self.mean.unsqueeze(dim)).pow(2.0)).sum(dim)

    def cdf(self, x: Tensor) -> Tensor:  # type: ignore[override]
        parts = self._components.cdf(x.unsqueeze(-1 - self._event_ndims))
        return (parts * self._mixture.probs).sum(-1)

    def log_prob(self, x: Tensor) -> Tensor:  # type: ignore[override]
        self._validate_sample(x)
        parts = self._components.log_prob(x.unsqueeze(-1 - self._event_ndims))
        return ingot.logsumexp(parts + ingot.log_softmax(self._mixture.logits, -1), -1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            which = self._mixture.expand(self._batch_shape).sample(sample_shape)
            drawn = self._components.sample(sample_shape)
            axis = drawn.ndim - self._event_ndims - 1
            index = which.reshape((*which.shape, 1, *(1,) * self._event_ndims))
            shape = [*drawn.shape]
            shape[axis] = 1
            return drawn.gather(axis, index.expand(shape)).squeeze(axis)

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self._mixture}, {self._components})"
