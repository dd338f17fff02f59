"""The base of all distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.distributions import constraints
from ingot.distributions.utils import _sum_rightmost, lazy_property
from ingot.runtime.recorder import here

__all__ = ["Distribution", "ExponentialFamily"]


class Distribution:
    """Base class. Samples have the shape sample_shape + batch_shape + event_shape.

    A subclass says its `arg_constraints` (sets that its parameters lie in), `support`, and defines `rsample` or `sample`, and `log_prob`.
    validate_args: check parameters, and the values given to `log_prob` and `cdf` (ValueError); the default is True. Inside a
    compiled function nothing is checked.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = True
    arg_constraints: Any = {}
    support: Any = constraints.dependent

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Set what `validate_args=None` means. ValueError unless a bool."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = (), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = ingot.Size(batch_shape), ingot.Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if not self._validate_args or here.recorder.tracing:
            return
        for name, constraint in self.arg_constraints.items():
            lazy = name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property)
            if lazy or constraints.is_dependent(constraint):
                continue
            value = getattr(self, name)
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution {self!r} to satisfy "
                    f"the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    # ---- shapes

    @property
    def batch_shape(self) -> Any:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> Any:
        """The shape of one sample."""
        return self._event_shape

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """What an `expand` of a subclass fills: `_instance`, or a new instance. NotImplementedError where __init__ is not that of `cls`."""
        if _instance is None and type(self).__init__ != cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also define a custom "
                ".expand() method."
            )
        return self.__new__(type(self)) if _instance is None else _instance

    @staticmethod
    def _as_instance(made: Any, instance: Any) -> Any:
        """What was made, as `instance` where a subclass gives one to be filled."""
        if instance is None:
            return made
        vars(instance).update(vars(made))
        return instance

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same distribution with its batch expanded to `batch_shape`."""
        new = self._copy()
        shape = ingot.Size(batch_shape)
        for name, events in self._parameters().items():
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                new.__dict__[name] = value.expand((*shape, *value.shape[value.ndim - events :]))
        self._expanded(new, shape)
        new._batch_shape = shape
        return self._as_instance(new, _instance)

    def _copy(self) -> Any:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def _parameters(self) -> dict[str, int]:
        """The tensors that `expand` expands, and how many of their dims are no batch."""
        return {name: getattr(c, "event_dim", 0) for name, c in self.arg_constraints.items()}

    def _expanded(self, new: Any, shape: Any) -> None:
        """What else `expand` changes in `new`."""

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        return (*sample_shape, *self._batch_shape, *self._event_shape)

    # ---- moments and samples: NotImplementedError, as in torch, for what a distribution does not have (a Cauchy variable has no mean)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The mode."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    # ---- samples

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Samples, without gradients."""
        with ingot.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Samples through which gradients flow to the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """`sample((n,))`."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or probability, at `value`."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function at `value`."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values that a discrete distribution takes, along dim 0."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        return ingot.exp(self.entropy())

    def _validate_sample(self, value: Tensor) -> None:
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        start = value.ndim - len(self._event_shape)
        if tuple(value.shape[start:]) != tuple(self._event_shape):
            raise ValueError(
                f"The right-most size of value must match event_shape: {tuple(value.shape)} vs {tuple(self._event_shape)}."
            )
        for i, j in zip(reversed(tuple(value.shape)), reversed((*self._batch_shape, *self._event_shape))):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {tuple(value.shape)} vs {self._extended_shape()}."
                )
        if here.recorder.tracing:
            return
        try:
            support = self.support
        except NotImplementedError:
            return
        if constraints.is_dependent(support):
            return
        if not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support ({support!r}) "
                f"of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        parts = []
        for name in self.arg_constraints:
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                parts.append(f"{name}: {value.item() if value.numel() == 1 and not here.recorder.tracing else value.shape}")
        return f"{type(self).__name__}({', '.join(parts)})"


class ExponentialFamily(Distribution):
    """A distribution whose density is h(x) exp(t(x) . n - A(n)): the entropy is computed from the log normalizer A by gradients.

    A subclass says its natural parameters n (`_natural_params`), A (`_log_normalizer`) and the mean of log h (`_mean_carrier_measure`).
    """

    _mean_carrier_measure: Any = 0

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        with ingot.enable_grad():
            params = [p.detach().requires_grad_() for p in self._natural_params]
            normalizer = self._log_normalizer(*params)
            gradients = ingot.autograd.grad(normalizer.sum(), params, create_graph=True)
        result = -self._mean_carrier_measure + normalizer
        for p, g in zip(params, gradients):
            result = result - _sum_rightmost(p * g, (p * g).ndim - len(self._batch_shape))
        return result


