"""Distributions of one real number on intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.distributions import constraints
from ingot.distributions.distribution import Distribution, ExponentialFamily
from ingot.distributions.locations import open_unit
from ingot.distributions.utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs, probs_to_logits

__all__ = ["ContinuousBernoulli", "Exponential", "GeneralizedPareto", "Uniform"]


class Uniform(Distribution):
    """The uniform distribution on [low, high)."""

    arg_constraints = {"low": constraints.dependent, "high": constraints.dependent}
    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None):
        self.low, self.high = broadcast_all(low, high)
        super().__init__(tuple(self.low.shape), validate_args=validate_args)
        from ingot.runtime.recorder import here

        if self._validate_args and not here.recorder.tracing and not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low>= high")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        return self.high * math.nan

    @property
    def stddev(self) -> Tensor:
        return (self.high - self.low) / 12**0.5

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.low + ingot.rand(self._extended_shape(sample_shape), dtype=self.low.dtype) * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        inside = (self.low <= value) & (self.high > value)
        return ingot.log(inside.to(self.low.dtype)) - ingot.log(self.high - self.low)

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return ingot.log(self.high - self.low)


class Exponential(ExponentialFamily):
    """The exponential distribution of a rate: rate * exp(-rate * x)."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(tuple(self.rate.shape), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        return ingot.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = ingot.rand(self._extended_shape(sample_shape), dtype=self.rate.dtype)
        return -ingot.log1p(-u) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return 1 - ingot.exp(-self.rate * value)

    def icdf(self, value: Tensor) -> Tensor:
        return -ingot.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        return 1.0 - ingot.log(self.rate)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (-self.rate,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return -ingot.log(-x)


_FAR = 1e4  # from here on the survival of a flat tail is nothing: its series stays finite


class GeneralizedPareto(Distribution):
    """The generalized Pareto distribution of excesses over a threshold `loc`: scale and tail by `scale` and `concentration`."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(tuple(self.loc.shape), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        top = ingot.where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, top)

    def _z(self, x: Tensor) -> Tensor:
        return (x - self.loc) / self.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(ingot.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def _log_survival(self, z: Tensor) -> Tensor:
        flat = ingot.isclose(self.concentration, ingot.zeros_like(self.concentration))
        safe = ingot.where(flat, 1.0, self.concentration)
        return ingot.where(flat, -z + self.concentration * z.clamp(max=_FAR) ** 2 / 2, -ingot.log1p(safe * z) / safe)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        z = self._z(value)
        flat = ingot.isclose(self.concentration, ingot.zeros_like(self.concentration))
        safe = ingot.where(flat, 1.0, self.concentration)
        far = z.clamp(max=_FAR)
        near = -z + self.concentration * (far**2 / 2 - far)
        return ingot.where(flat, near, -(1 + 1 / safe) * ingot.log1p(safe * z)) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return -ingot.expm1(self._log_survival(self._z(value)))

    def icdf(self, value: Tensor) -> Tensor:
        flat = ingot.isclose(self.concentration, ingot.zeros_like(self.concentration))
        safe = ingot.where(flat, 1.0, self.concentration)
        tail = ingot.log1p(-value)
        near = -tail + self.concentration * tail.clamp(min=-_FAR) ** 2 / 2
        return self.loc + self.scale * ingot.where(flat, near, ingot.expm1(-safe * tail) / safe)

    @property
    def mean(self) -> Tensor:
        k = self.concentration
        return ingot.where(k < 1, self.loc + self.scale / (1 - ingot.where(k < 1, k, 0.0)), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        k = ingot.where(self.concentration < 0.5, self.concentration, 0.0)
        return ingot.where(self.concentration < 0.5, self.scale**2 / ((1 - k) ** 2 * (1 - 2 * k)), math.inf)

    def entropy(self) -> Tensor:
        return (self.scale.log() + self.concentration + 1).expand(self._batch_shape)


class ContinuousBernoulli(ExponentialFamily):
    """The continuous Bernoulli distribution on [0, 1], by `probs` or `logits`. Source: https://arxiv.org/abs/1907.06845.

    lims: where probs are near 1/2, the normalizing constant is taken from its Taylor expansion.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501), validate_args: bool | None = None
    ):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            (given,) = broadcast_all(probs)
            self.probs = clamp_probs(given)
        else:
            (self.logits,) = broadcast_all(logits)
        self._lims = lims
        super().__init__(tuple((self.probs if probs is not None else self.logits).shape), validate_args=validate_args)

    @lazy_property
    def probs(self) -> Tensor:  # type: ignore[no-redef]
        """The parameter as a probability."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    @lazy_property
    def logits(self) -> Tensor:  # type: ignore[no-redef]
        """The parameter as log odds."""
        return probs_to_logits(self.probs, is_binary=True)

    def _outside(self) -> Tensor:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> Tensor:
        return ingot.where(self._outside(), self.probs, self._lims[0])

    def _log_constant(self) -> Tensor:
        p = self._cut()
        x = (self.probs - 0.5) ** 2
        taylor = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x
        low, high = ingot.where(p <= 0.5, p, 0.0), ingot.where(p >= 0.5, p, 1.0)
        size = ingot.log(ingot.abs(ingot.log1p(-p) - ingot.log(p)))
        exact = size - ingot.where(p < 0.5, ingot.log1p(-2.0 * low), ingot.log(2.0 * high - 1.0))
        return ingot.where(self._outside(), exact, taylor)

    @property
    def mean(self) -> Tensor:
        p = self._cut()
        x = self.probs - 0.5
        exact = p / (2.0 * p - 1.0) + 1.0 / (ingot.log1p(-p) - ingot.log(p))
        return ingot.where(self._outside(), exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x**2) * x)

    @property
    def variance(self) -> Tensor:
        p = self._cut()
        x = (self.probs - 0.5) ** 2
        exact = p * (p - 1.0) / (1.0 - 2.0 * p) ** 2 + 1.0 / (ingot.log1p(-p) - ingot.log(p)) ** 2
        return ingot.where(self._outside(), exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return self.probs.shape

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(open_unit(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        loss = ingot.nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return -loss + self._log_constant()

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        p = self._cut()
        exact = (p**value * (1.0 - p) ** (1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = ingot.where(self._outside(), exact, value + 2 * (self.probs - 0.5) * (value**2 - value))
        return ingot.where(value <= 0.0, 0.0, ingot.where(value >= 1.0, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        p = self._cut()
        exact = (ingot.log1p(-p + value * (2.0 * p - 1.0)) - ingot.log1p(-p)) / (ingot.log(p) - ingot.log1p(-p))
        return ingot.where(self._outside(), exact, value - 2 * (self.probs - 0.5) * (value**2 - value))

    def entropy(self) -> Tensor:
        low, high = ingot.log1p(-self.probs), ingot.log(self.probs)
        return self.mean * (low - high) - self._log_constant() - low

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)
