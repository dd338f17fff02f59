"""Dropout modules."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn.modules.simple import Functional

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]


class _Dropout(Functional):
    settings = {"p": 0.5, "inplace": False}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not 0 <= self.p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {self.p}")

    def forward(self, input: Tensor) -> Tensor:
        return type(self).fn(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeroes elements with probability p in training and scales the others by 1 / (1 - p)."""

    fn = F.dropout


class Dropout1d(_Dropout):
    """Zeroes whole channels of (N, C, L)."""

    fn = F.dropout1d


class Dropout2d(_Dropout):
    """Zeroes whole channels of (N, C, H, W)."""

    fn = F.dropout2d


class Dropout3d(_Dropout):
    """Zeroes whole channels of (N, C, D, H, W)."""

    fn = F.dropout3d


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of self-normalising activations."""

    fn = F.alpha_dropout


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels."""

    fn = F.feature_alpha_dropout
