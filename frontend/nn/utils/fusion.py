"""Batch normalisation folded into the layer before it, for inference."""

from __future__ import annotations

import copy
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _folded(w: Tensor, b: Tensor | None, mean: Tensor, var: Tensor, eps: float, weight: Any, bias: Any, shape: tuple) -> tuple:
    """Weight and bias of a layer that is followed by a normalisation; `shape`: of the scale beside the weight."""
    with ingot.no_grad():
        scale = ingot.rsqrt(var + eps) * (1.0 if weight is None else weight)
        start = ingot.zeros_like(mean) if b is None else b
        made = (start - mean) * scale + (0.0 if bias is None else bias)
        folded = (w * scale.reshape(shape)).to(w.dtype)
    requires = b is not None and b.requires_grad
    return Parameter(folded, w.requires_grad), Parameter(made.to(mean.dtype if b is None else b.dtype), requires)


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None, bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """Weight and bias of the convolution that computes what these and a batch norm with running mean bn_rm and variance bn_rv do.

    transpose: the weight is that of a transposed convolution.

    >>> w, b = nn.utils.fuse_conv_bn_weights(ingot.ones(1, 1, 1), None, ingot.ones(1), ingot.ones(1) * 4, 0.0, None, None)
    >>> w.item(), b.item()
    (0.5, -0.5)
    """
    shape = (1, -1) if transpose else (-1, 1)
    return _folded(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape + (1,) * (conv_w.ndim - 2))


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor, bn_b: Tensor
) -> tuple[Parameter, Parameter]:
    """`fuse_conv_bn_weights` of a linear layer.

    >>> one = ingot.ones(1)
    >>> w, b = nn.utils.fuse_linear_bn_weights(ingot.ones(1, 1), None, one, one * 4, 0.0, one, one)
    >>> w.item(), b.item()
    (0.5, 0.5)
    """
    return _folded(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, (-1, 1))


def _check_modes(first: Any, bn: Any, what: str) -> None:
    if first.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError(f"{what}: the batch norm has no running statistics")


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of a convolution that computes what it and the batch norm after it do. AssertionError unless both are in evaluation mode.

    >>> conv, norm = nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval()
    >>> x = ingot.ones(1, 1, 4, 4)
    >>> ingot.allclose(nn.utils.fuse_conv_bn_eval(conv, norm)(x), norm(conv(x)), atol=1e-6)
    True
    """
    _check_modes(conv, bn, "fuse_conv_bn_eval")
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """`fuse_conv_bn_eval` of a linear layer. AssertionError where the norm has another number of features.

    >>> linear, norm = nn.Linear(3, 2).eval(), nn.BatchNorm1d(2).eval()
    >>> ingot.allclose(nn.utils.fuse_linear_bn_eval(linear, norm)(ingot.ones(1, 3)), norm(linear(ingot.ones(1, 3))), atol=1e-6)
    True
    """
    _check_modes(linear, bn, "fuse_linear_bn_eval")
    if bn.num_features not in (linear.out_features, 1):
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
