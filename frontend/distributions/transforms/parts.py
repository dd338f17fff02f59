"""Maps for parts of a tensor."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.distributions import constraints
from ingot.distributions.transforms.base import Transform
from ingot.distributions.utils import _sum_rightmost

__all__ = ["CatTransform", "StackTransform"]


class _Parts(Transform):
    """Maps for parts of a tensor along a dim."""

    def __init__(self, tseq: Sequence[Transform], dim: int, cache_size: int):
        super().__init__(cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq]
        self.dim = dim
        self.bijective = all(t.bijective for t in self.transforms)


class CatTransform(_Parts):
    """Maps for the parts along `dim`, of the given lengths."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0):
        super().__init__(tseq, dim, cache_size)
        self.lengths = list(lengths or [1] * len(self.transforms))

    @property
    def event_dim(self) -> int:
        return max(t.event_dim for t in self.transforms)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def _cut(self, x: Tensor) -> Any:
        return x.split(self.lengths, self.dim)

    def _call(self, x: Tensor) -> Tensor:
        return ingot.cat([t(v) for t, v in zip(self.transforms, self._cut(x))], self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return ingot.cat([t.inv(v) for t, v in zip(self.transforms, self._cut(y))], self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        parts = []
        for t, a, b in zip(self.transforms, self._cut(x), self._cut(y)):
            parts.append(_sum_rightmost(t.log_abs_det_jacobian(a, b), self.event_dim - t.event_dim))
        dim = (self.dim if self.dim < 0 else self.dim - x.ndim) + self.event_dim
        return ingot.cat(parts, dim) if dim < 0 else reduce(operator.add, parts)


class StackTransform(_Parts):
    """Maps for the slices along `dim`."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0):
        super().__init__(tseq, dim, cache_size)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def _call(self, x: Tensor) -> Tensor:
        return ingot.stack([t(v) for t, v in zip(self.transforms, x.unbind(self.dim))], self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return ingot.stack([t.inv(v) for t, v in zip(self.transforms, y.unbind(self.dim))], self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        pairs = zip(self.transforms, x.unbind(self.dim), y.unbind(self.dim))
        return ingot.stack([t.log_abs_det_jacobian(a, b) for t, a, b in pairs], self.dim)
