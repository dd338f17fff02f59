"""Dropout modules."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn.modules.simple import Functional

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]


class _DropoutNd(Functional):
    settings = {"p": 0.5, "inplace": False}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not 0 <= self.p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {self.p}")

    def forward(self, input: Tensor) -> Tensor:
        return type(self).fn(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Zeroes elements with probability p in training and scales the others by 1 / (1 - p); the identity in `eval()`.

    inplace: overwrite the input. ValueError unless 0 <= p <= 1, here and in the other dropouts.

    >>> drop = nn.Dropout(0.5)
    >>> drop.eval()(ingot.ones(3))
    tensor([1., 1., 1.])
    >>> set(drop.train()(ingot.ones(8)).tolist()) <= {0.0, 2.0}
    True
    """

    fn = F.dropout


class Dropout1d(_DropoutNd):
    """`nn.Dropout` of whole channels of (N, C, L) or (C, L).

    >>> y = nn.Dropout1d(0.5)(ingot.ones(2, 3, 4))
    >>> (y == y[:, :, :1]).all()
    tensor(True)
    """

    fn = F.dropout1d


class Dropout2d(_DropoutNd):
    """`nn.Dropout` of whole channels of (N, C, H, W).

    >>> y = nn.Dropout2d(0.5)(ingot.ones(2, 3, 4, 4))
    >>> (y == y[:, :, :1, :1]).all()
    tensor(True)
    """

    fn = F.dropout2d


class Dropout3d(_DropoutNd):
    """`nn.Dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W).

    >>> y = nn.Dropout3d(0.5)(ingot.ones(2, 3, 2, 2, 2))
    >>> (y == y[:, :, :1, :1, :1]).all()
    tensor(True)
    """

    fn = F.dropout3d


class AlphaDropout(_DropoutNd):
    """Dropout that keeps mean and variance of `nn.SELU` activations: `F.alpha_dropout` as a module.

    >>> nn.AlphaDropout(0.5)(ingot.ones(2, 3)).unique().shape[0] <= 2
    True
    """

    fn = F.alpha_dropout


class FeatureAlphaDropout(_DropoutNd):
    """`nn.AlphaDropout` of whole channels of (N, C, *).

    >>> y = nn.FeatureAlphaDropout(0.5)(ingot.ones(2, 3, 4))
    >>> (y == y[:, :, :1]).all()
    tensor(True)
    """

    fn = F.feature_alpha_dropout
