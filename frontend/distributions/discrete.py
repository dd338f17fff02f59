"""Distributions of integers, bits and classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot import _draws
from ingot._tensor import Tensor
from ingot.distributions import constraints
from ingot.distributions.distribution import Distribution, ExponentialFamily
from ingot.distributions.gammas import Gamma
from ingot.distributions.utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits, stream
from ingot.runtime.recorder import here

__all__ = [
    "Bernoulli", "Binomial", "Categorical", "Geometric", "Multinomial", "NegativeBinomial", "OneHotCategorical",
    "OneHotCategoricalStraightThrough", "Poisson",
]  # fmt: skip


class _Bits(Distribution):
    """What is parametrized by `probs` of success or their `logits`."""

    arg_constraints: Any = {"probs": constraints.unit_interval, "logits": constraints.real}

    def _set(self, probs: Any, logits: Any, *others: Any) -> tuple[Tensor, ...]:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        given, *rest = broadcast_all(logits if probs is None else probs, *others)
        if probs is None:
            self.logits = given
        else:
            self.probs = given
        return given, *rest

    @lazy_property
    def logits(self) -> Tensor:  # type: ignore[no-redef]
        """The parameter as log odds."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:  # type: ignore[no-redef]
        """The parameter as a probability."""
        return logits_to_probs(self.logits, is_binary=True)

    def _parameters(self) -> dict[str, int]:
        return {"probs": 0, "logits": 0}

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return (self.__dict__["probs"] if "probs" in self.__dict__ else self.logits).shape


class Bernoulli(_Bits, ExponentialFamily):
    """0 or 1, by the probability `probs` of 1 or its log odds `logits`.

    >>> ingot.distributions.Bernoulli(ingot.tensor([0.25, 0.5])).log_prob(ingot.tensor([1.0, 0.0]))
    tensor([-1.3863, -0.6931])
    """

    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        (given,) = self._set(probs, logits)
        super().__init__(tuple(given.shape), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        mode = (self.probs >= 0.5).to(self.probs.dtype)
        return ingot.where(self.probs == 0.5, math.nan, mode)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            return ingot.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -ingot.nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return ingot.nn.functional.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = ingot.arange(2, dtype=self.probs.dtype).reshape((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1, *self._batch_shape)) if expand else values

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (ingot.logit(self.probs),)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return ingot.log1p(ingot.exp(x))


class Geometric(_Bits):
    """The number of failures before the first success of probability `probs`, or log odds `logits`."""

    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        (given,) = self._set(probs, logits)
        super().__init__(tuple(given.shape), validate_args=validate_args)
        if self._validate_args and probs is not None and not here.recorder.tracing and not bool((given > 0).all()):
            raise ValueError(f"Expected parameter probs of distribution {self!r} to be positive but found invalid values:\n{given}")

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return ingot.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            u = ingot.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype).clamp(min=ingot.finfo(self.probs.dtype).tiny)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        probs = ingot.where((probs == 1) & (value == 0), 0.0, probs)
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return ingot.nn.functional.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


class Binomial(_Bits):
    """The number of successes in `total_count` trials of probability `probs`, or log odds `logits`."""

    arg_constraints = {"total_count": constraints.nonnegative_integer, **_Bits.arg_constraints}
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        given, count = self._set(probs, logits, total_count)
        self.total_count = count.to(given.dtype)
        super().__init__(tuple(given.shape), validate_args=validate_args)

    def _parameters(self) -> dict[str, int]:
        return {"probs": 0, "logits": 0, "total_count": 0}

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            shape = self._extended_shape(sample_shape)
            return _draws.binomial(self.total_count.expand(shape), self.probs.expand(shape), stream).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        n, x = self.total_count, self.logits
        choices = ingot.lgamma(n + 1) - ingot.lgamma(value + 1) - ingot.lgamma(n - value + 1)
        return value * x + choices - n * (x.clamp(min=0) + ingot.log1p(ingot.exp(-ingot.abs(x))))

    def entropy(self) -> Tensor:
        n = ingot.arange(int(self.total_count.max()) + 1, dtype=self.total_count.dtype).reshape((-1,) + (1,) * len(self._batch_shape))
        p = self.log_prob(ingot.minimum(n, self.total_count))
        return -ingot.where(n <= self.total_count, ingot.exp(p) * p, 0.0).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = int(self.total_count.max())
        if not bool((self.total_count == n).all()):
            raise NotImplementedError("Inhomogeneous total count not supported by `enumerate_support`.")
        values = ingot.arange(n + 1, dtype=self.total_count.dtype).reshape((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1, *self._batch_shape)) if expand else values


class NegativeBinomial(_Bits):
    """The number of successes of probability `probs`, or log odds `logits`, before `total_count` failures."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0), "probs": constraints.half_open_interval(0.0, 1.0), "logits": constraints.real,
    }  # fmt: skip
    support = constraints.nonnegative_integer

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        given, count = self._set(probs, logits, total_count)
        self.total_count = count.to(given.dtype)
        super().__init__(tuple(given.shape), validate_args=validate_args)

    def _parameters(self) -> dict[str, int]:
        return {"probs": 0, "logits": 0, "total_count": 0}

    @property
    def mean(self) -> Tensor:
        return self.total_count * ingot.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / ingot.sigmoid(-self.logits)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            rate = Gamma(self.total_count, ingot.exp(-self.logits), validate_args=False).sample(sample_shape)
            return _draws.poisson(rate, stream).to(rate.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        n = self.total_count
        F = ingot.nn.functional
        weights = n * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        normal = -ingot.lgamma(n + value) + ingot.lgamma(1.0 + value) + ingot.lgamma(n)
        return weights - ingot.where(n + value == 0.0, 0.0, normal)


class Poisson(ExponentialFamily):
    """The Poisson distribution of a rate."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(tuple(self.rate.shape), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            return _draws.poisson(self.rate.expand(self._extended_shape(sample_shape)), stream).to(self.rate.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (ingot.log(self.rate),)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return ingot.exp(x)


class Categorical(Distribution):
    """A class 0 to K - 1 by `probs` along the last dim, which are normalized, or unnormalized log-probabilities `logits`.

    >>> ingot.distributions.Categorical(ingot.tensor([1.0, 3.0])).log_prob(ingot.tensor([0, 1]))
    tensor([-1.3863, -0.2877])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        given = logits if probs is None else probs
        assert given is not None
        if given.ndim < 1:
            raise ValueError(f"`{'logits' if probs is None else 'probs'}` parameter must be at least one-dimensional.")
        if probs is None:
            self.logits = given - given.logsumexp(-1, keepdim=True)
        else:
            self.probs = given / given.sum(-1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(tuple(given.shape[:-1]), validate_args=validate_args)

    @lazy_property
    def logits(self) -> Tensor:  # type: ignore[no-redef]
        """Log-probabilities."""
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:  # type: ignore[no-redef]
        """Probabilities."""
        return logits_to_probs(self.logits)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return (self.__dict__["probs"] if "probs" in self.__dict__ else self.logits).shape

    @property
    def mean(self) -> Tensor:
        return ingot.full(self._extended_shape(), math.nan, dtype=self.probs.dtype)

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        return self.mean

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        rows = self.probs.detach().reshape((-1, self._num_events))
        count = math.prod(sample_shape)
        drawn = ingot.multinomial(rows, count, True).T
        return drawn.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        index = value.long().unsqueeze(-1)
        shape = ingot.broadcast_shapes(tuple(index.shape[:-1]), tuple(self.logits.shape[:-1]))
        return self.logits.expand((*shape, self._num_events)).gather(-1, index.expand((*shape, 1))).squeeze(-1)

    def entropy(self) -> Tensor:
        low = ingot.finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=low) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = ingot.arange(self._num_events).reshape((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1, *self._batch_shape)) if expand else values


class OfCategorical(Distribution):
    """What keeps its probabilities in a `Categorical`."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    _categorical: Categorical

    def _expanded(self, new: Any, shape: Any) -> None:
        new._categorical = self._categorical.expand(shape)

    @property
    def probs(self) -> Tensor:
        """Probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Log-probabilities."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return self._categorical.param_shape


class OneHotCategorical(OfCategorical):
    """`Categorical` as vectors with a single 1."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._categorical = Categorical(probs, logits, validate_args=False)
        shape = tuple(self._categorical.param_shape)
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def _hot(self, index: Tensor) -> Tensor:
        return ingot.nn.functional.one_hot(index, self._categorical._num_events).to(self.probs.dtype)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._hot(self.probs.argmax(-1))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = self._categorical._num_events
        values = ingot.eye(n, dtype=self.probs.dtype).reshape((n, *(1,) * len(self._batch_shape), n))
        return values.expand((n, *self._batch_shape, n)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples pass gradients to `probs` unchanged. Source: https://arxiv.org/abs/1308.3432."""

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Multinomial(OfCategorical):
    """Counts of the classes in `total_count` draws by `probs` along the last dim, or log-probabilities `logits`."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args=False)
        shape = tuple(self._categorical.param_shape)
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        return ingot.nn.functional.one_hot(drawn, self._categorical._num_events).sum(0).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        logits = ingot.where((value == 0) & (logits == -math.inf), 0.0, logits)
        return ingot.lgamma(value.sum(-1) + 1) - ingot.lgamma(value + 1).sum(-1) + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        n = ingot.tensor(float(self.total_count), dtype=self.probs.dtype)
        own = self._categorical.entropy()
        p = Binomial(self.total_count, probs=self.probs)
        values = p.enumerate_support(expand=False)[1:]
        weights = ingot.exp(p.log_prob(values))
        return n * own - ingot.lgamma(n + 1) + (weights * ingot.lgamma(values + 1)).sum((0, -1))


