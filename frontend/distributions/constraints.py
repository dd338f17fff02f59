"""Sets that parameters and samples lie in: `constraint.check(value)` says of each event whether it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor

__all__ = [
    "Constraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property", "greater_than", "greater_than_eq",
    "half_open_interval", "independent", "integer_interval", "interval", "is_dependent", "less_than", "lower_cholesky",
    "lower_triangular", "multinomial", "nonnegative", "nonnegative_integer", "one_hot", "positive", "positive_definite",
    "positive_integer", "positive_semidefinite", "real", "real_vector", "simplex", "square", "stack", "symmetric", "unit_interval",
]  # fmt: skip


class Constraint:
    """A set of tensors. `event_dim`: how many trailing dims make one event; `is_discrete`: whether it is a set of integers."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Whether each event lies in the set, a bool tensor of the leading dims. Each set defines it; of none: NotImplementedError."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__.strip("_") + "()"


def _plain(title: str, check: Callable[[Tensor], Tensor], event_dim: int = 0, discrete: bool = False) -> Constraint:
    """The set by a function, without parameters; it has a class of its own, which others may extend."""
    name = f"_{title}"
    members = {"check": lambda self, value: check(value), "event_dim": event_dim, "is_discrete": discrete, "__module__": __name__}
    cls = globals()[name] = type(name, (Constraint,), members)
    return cls()


class _Dependent(Constraint):
    """A set that depends on other values."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0):
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool | None = None, event_dim: int | None = None) -> _Dependent:
        discrete = self.is_discrete if is_discrete is None else is_discrete
        return _Dependent(is_discrete=discrete, event_dim=self.event_dim if event_dim is None else event_dim)

    def check(self, value: Tensor) -> Tensor:
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint: Any) -> bool:
    """Whether a set depends on other values, so that it cannot be checked by itself."""
    return isinstance(constraint, _Dependent)


class dependent_property(property, _Dependent):
    """A property that is a set, dependent where it is read from the class: a decorator for `support`."""

    def __init__(self, fn: Callable | None = None, *, is_discrete: bool = False, event_dim: int = 0):
        property.__init__(self, fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable) -> dependent_property:  # type: ignore[override]
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _Bounded(Constraint):
    """A set between bounds, numbers or tensors. `title`: its name for people."""

    title = ""

    def __init__(self, **bounds: Any):
        self._bounds = bounds
        for key, value in bounds.items():
            setattr(self, key, value)

    def with_bounds(self, change: Callable[[Any], Any]) -> Constraint:
        """The set of this kind between `change` of each bound."""
        return type(self)(**{key: change(value) for key, value in self._bounds.items()})

    def __repr__(self) -> str:
        return f"{self.title or type(self).__name__.strip('_')}({', '.join(f'{k}={v}' for k, v in self._bounds.items())})"


def _whole(value: Tensor) -> Tensor:
    return value % 1 == 0


class greater_than(_Bounded):
    """x > lower_bound."""

    title = "GreaterThan"

    def __init__(self, lower_bound: Any):
        super().__init__(lower_bound=lower_bound)

    def check(self, value: Tensor) -> Tensor:
        return self.lower_bound < value  # type: ignore[attr-defined]


class greater_than_eq(_Bounded):
    """x >= lower_bound."""

    title = "GreaterThanEq"

    def __init__(self, lower_bound: Any):
        super().__init__(lower_bound=lower_bound)

    def check(self, value: Tensor) -> Tensor:
        return self.lower_bound <= value  # type: ignore[attr-defined]


class less_than(_Bounded):
    """x < upper_bound."""

    title = "LessThan"

    def __init__(self, upper_bound: Any):
        super().__init__(upper_bound=upper_bound)

    def check(self, value: Tensor) -> Tensor:
        return value < self.upper_bound  # type: ignore[attr-defined]


class _Between(_Bounded):
    def __init__(self, lower_bound: Any, upper_bound: Any):
        super().__init__(lower_bound=lower_bound, upper_bound=upper_bound)


class interval(_Between):
    """lower_bound <= x <= upper_bound."""

    title = "Interval"

    def check(self, value: Tensor) -> Tensor:
        return (self.lower_bound <= value) & (value <= self.upper_bound)  # type: ignore[attr-defined]


class half_open_interval(_Between):
    """lower_bound <= x < upper_bound."""

    title = "HalfOpenInterval"

    def check(self, value: Tensor) -> Tensor:
        return (self.lower_bound <= value) & (value < self.upper_bound)  # type: ignore[attr-defined]


class integer_interval(_Between):
    """Integers from lower_bound to upper_bound."""

    title = "IntegerInterval"
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return _whole(value) & (self.lower_bound <= value) & (value <= self.upper_bound)  # type: ignore[attr-defined]


class _IntegersFrom(_Bounded):
    """Integers from lower_bound on."""

    title = "IntegerGreaterThan"
    is_discrete = True

    def __init__(self, lower_bound: Any):
        super().__init__(lower_bound=lower_bound)

    def check(self, value: Tensor) -> Tensor:
        return _whole(value) & (value >= self.lower_bound)  # type: ignore[attr-defined]


class independent(Constraint):
    """`base_constraint` with `reinterpreted_batch_ndims` batch dims made part of the event."""

    def __init__(self, base_constraint: Any, reinterpreted_batch_ndims: int):
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        found = self.base_constraint.check(value)
        n = self.reinterpreted_batch_ndims
        if found.ndim < n:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.ndim}")
        return found.flatten(found.ndim - n).all(-1) if n else found

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class cat(Constraint):
    """Sets for the parts along `dim`, of the given lengths."""

    def __init__(self, cseq: Sequence[Any], dim: int = 0, lengths: Sequence[int] | None = None):
        self.cseq, self.dim, self.lengths = list(cseq), dim, list(lengths or [1] * len(cseq))
        self.is_discrete, self.event_dim = any(c.is_discrete for c in cseq), max(c.event_dim for c in cseq)

    def check(self, value: Tensor) -> Tensor:
        parts = value.split(self.lengths, self.dim)
        return ingot.cat([c.check(v) for c, v in zip(self.cseq, parts)], self.dim)


class stack(Constraint):
    """Sets for the slices along `dim`."""

    def __init__(self, cseq: Sequence[Any], dim: int = 0):
        self.cseq, self.dim = list(cseq), dim
        self.is_discrete = any(c.is_discrete for c in cseq)
        events = max(c.event_dim for c in cseq)
        self.event_dim = events + 1 if self.dim + events < 0 else events

    def check(self, value: Tensor) -> Tensor:
        return ingot.stack([c.check(v) for c, v in zip(self.cseq, value.unbind(self.dim))], self.dim)


class multinomial(Constraint):
    """Counts that are at most `upper_bound` together."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, x: Tensor) -> Tensor:
        return (x >= 0).all(-1) & (x.sum(-1) <= self.upper_bound)

    def __repr__(self) -> str:
        return "Multinomial()"


def _one_hot(x: Tensor) -> Tensor:
    return ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1)


def _simplex(x: Tensor) -> Tensor:
    return (x >= 0).all(-1) & ((x.sum(-1) - 1).abs() < 1e-6)


def _lower(x: Tensor) -> Tensor:
    return (x.tril() == x).flatten(-2).all(-1)


def _lower_cholesky(x: Tensor) -> Tensor:
    return _lower(x) & (x.diagonal(0, -2, -1) > 0).all(-1)


def _corr_cholesky(x: Tensor) -> Tensor:
    tolerance = ingot.finfo(x.dtype).eps * x.shape[-1] * 10
    return _lower_cholesky(x) & ((x.detach().norm(dim=-1) - 1).abs() < tolerance).all(-1)


def _square(x: Tensor) -> Tensor:
    return ingot.full(tuple(x.shape[:-2]), x.shape[-2] == x.shape[-1], dtype=ingot.bool)


def _symmetric(x: Tensor) -> Tensor:
    square = _square(x)
    return square if x.shape[-2] != x.shape[-1] else ingot.isclose(x, x.mT, atol=1e-6).all(-2).all(-1)


def _semidefinite(x: Tensor) -> Tensor:
    if x.shape[-2] != x.shape[-1]:
        return _square(x)
    return _symmetric(x) & (ingot.linalg.eigvalsh(x) >= 0).all(-1)


def _definite(x: Tensor) -> Tensor:
    if x.shape[-2] != x.shape[-1]:
        return _square(x)
    return _symmetric(x) & (ingot.linalg.cholesky_ex(x).info == 0)


dependent = _Dependent()
boolean = _plain("Boolean", lambda x: (x == 0) | (x == 1), discrete=True)
one_hot = _plain("OneHot", _one_hot, 1, True)
nonnegative_integer = _IntegersFrom(0)
positive_integer = _IntegersFrom(1)
real = _plain("Real", lambda x: x == x)
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = _plain("Simplex", _simplex, 1)
lower_triangular = _plain("LowerTriangular", _lower, 2)
lower_cholesky = _plain("LowerCholesky", _lower_cholesky, 2)
corr_cholesky = _plain("CorrCholesky", _corr_cholesky, 2)
square = _plain("Square", _square, 2)
symmetric = _plain("Symmetric", _symmetric, 2)
positive_semidefinite = _plain("PositiveSemidefinite", _semidefinite, 2)
positive_definite = _plain("PositiveDefinite", _definite, 2)
