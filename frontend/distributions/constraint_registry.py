"""Transforms from unconstrained tensors to the sets that constraints describe: `biject_to(constraint)`, `transform_to(constraint)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot._tensor import Tensor
from ingot.distributions import constraints, transforms

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, Tensor) and x.ndim == 0 else x


def _kind(constraint: Any) -> type:
    """What a constraint is registered by."""
    return constraint if isinstance(constraint, type) else type(constraint)


class ConstraintRegistry:
    """From constraints to transforms. `register(constraint)` is a decorator for a function that gives the transform for one of its kind."""

    def __init__(self) -> None:
        self._made: dict[Any, Callable[[Any], Any]] = {}

    def register(self, constraint: Any, factory: Callable | None = None) -> Any:
        """Register the function `factory`, or be a decorator for it."""
        if factory is None:
            return lambda f: self.register(constraint, f)
        self._made[_kind(constraint)] = factory
        return factory

    def __call__(self, constraint: Any) -> Any:
        """The transform of a constraint. NotImplementedError where there is none."""
        factory = self._made.get(_kind(constraint))
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _both(*which: Any) -> Callable:
    def decorate(factory: Callable) -> Callable:
        for constraint in which:
            biject_to.register(constraint, factory)
            transform_to.register(constraint, factory)
        return factory

    return decorate


@_both(constraints.real)
def _real(constraint: Any) -> Any:
    return transforms.identity_transform


@biject_to.register(constraints.real_vector)
def _independent(constraint: Any) -> Any:
    return transforms.IndependentTransform(biject_to(constraint.base_constraint), constraint.reinterpreted_batch_ndims)


@transform_to.register(constraints.real_vector)
def _independent_to(constraint: Any) -> Any:
    return transforms.IndependentTransform(transform_to(constraint.base_constraint), constraint.reinterpreted_batch_ndims)


@_both(constraints.greater_than(0), constraints.greater_than_eq(0))
def _above(constraint: Any) -> Any:
    if _number(constraint.lower_bound) == 0 and not (isinstance(constraint.lower_bound, Tensor) and constraint.lower_bound.ndim):
        return transforms.ExpTransform()
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(constraint.lower_bound, 1)])


@_both(constraints.less_than(0))
def _below(constraint: Any) -> Any:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(constraint.upper_bound, -1)])


@_both(constraints.interval(0, 1), constraints.half_open_interval(0, 1))
def _between(constraint: Any) -> Any:
    low, high = _number(constraint.lower_bound), _number(constraint.upper_bound)
    if not isinstance(low, Tensor) and not isinstance(high, Tensor) and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform([transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)])


@biject_to.register(constraints.simplex)
def _simplex(constraint: Any) -> Any:
    return transforms.StickBreakingTransform()


@transform_to.register(constraints.simplex)
def _simplex_to(constraint: Any) -> Any:
    return transforms.SoftmaxTransform()


@transform_to.register(constraints.lower_cholesky)
def _lower_cholesky(constraint: Any) -> Any:
    return transforms.LowerCholeskyTransform()


@transform_to.register(constraints.positive_semidefinite)
@transform_to.register(constraints.positive_definite)
def _positive_definite(constraint: Any) -> Any:
    return transforms.PositiveDefiniteTransform()


@_both(constraints.corr_cholesky)
def _corr_cholesky(constraint: Any) -> Any:
    return transforms.CorrCholeskyTransform()


@biject_to.register(constraints.cat([constraints.real]))
def _cat(constraint: Any) -> Any:
    return transforms.CatTransform([biject_to(c) for c in constraint.cseq], constraint.dim, constraint.lengths)


@transform_to.register(constraints.cat([constraints.real]))
def _cat_to(constraint: Any) -> Any:
    return transforms.CatTransform([transform_to(c) for c in constraint.cseq], constraint.dim, constraint.lengths)


@biject_to.register(constraints.stack([constraints.real]))
def _stack(constraint: Any) -> Any:
    return transforms.StackTransform([biject_to(c) for c in constraint.cseq], constraint.dim)


@transform_to.register(constraints.stack([constraints.real]))
def _stack_to(constraint: Any) -> Any:
    return transforms.StackTransform([transform_to(c) for c in constraint.cseq], constraint.dim)
