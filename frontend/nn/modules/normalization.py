"""Normalisation modules."""

from __future__ import annotations

import numbers
from typing import Any

import ingot
from ingot._paths import also
from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn import init
from ingot.nn.modules.module import Module
from ingot.nn.modules.simple import REQUIRED, Functional
from ingot.nn.parameter import new_parameter

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
    "LocalResponseNorm",
]  # fmt: skip

__getattr__ = also(__name__, "ingot.nn.modules.older")


class _Affine(Module):
    """A norm with a weight and a bias, each of which may be None."""

    def reset_parameters(self) -> None:
        """weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _NormBase(_Affine):
    """Affine parameters and running statistics of batch and instance norms."""

    ranks: tuple[int, ...] = ()
    _version = 2  # since when `num_batches_tracked` is among the entries

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ):  # fmt: skip
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", new_parameter((num_features,), device, dtype) if affine else None)
        self.register_parameter("bias", new_parameter((num_features,), device, dtype) if affine and bias else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", ingot.zeros((num_features,), device=device, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", ingot.ones((num_features,), device=device, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", ingot.tensor(0, dtype=ingot.int64) if tracked else None)
        self.reset_parameters()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *rest: Any) -> None:
        key = prefix + "num_batches_tracked"
        if (local_metadata.get("version") or 1) < 2 and self.track_running_stats and key not in state_dict:
            state_dict = {**state_dict, key: self.num_batches_tracked}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """weight 1, bias 0, running statistics forgotten."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_input_dim(self, input: Tensor) -> None:
        """ValueError for an input of another rank. A layer that says no ranks has a check of its own (NotImplementedError)."""
        if not self.ranks:
            raise NotImplementedError(f"{type(self).__name__}: a norm of one's own has a method _check_input_dim")
        if input.ndim not in self.ranks:
            expected = " or ".join(f"{r}D" for r in self.ranks)
            raise ValueError(f"{type(self).__name__}: expected {expected} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            with ingot.no_grad():
                self.num_batches_tracked.add_(1)
                if self.momentum is None:  # a plain average of all batches
                    momentum = 1.0 / self.num_batches_tracked.to(self.running_mean.dtype)
        use_batch = self.training or self.running_mean is None
        update = self.training and self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if update or not use_batch else None,
            self.running_var if update or not use_batch else None,
            self.weight, self.bias, use_batch, momentum, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L), C = `num_features`: `F.batch_norm` with learned weight and bias (`affine`).

    In training it uses the batch's statistics and moves the running ones by `momentum` towards them (None: their plain average);
    in `eval()`, the running ones. track_running_stats=False: always the batch's. ValueError for other ranks, here and below.

    >>> norm = nn.BatchNorm1d(2)
    >>> norm(ingot.tensor([[1.0, 2.0], [3.0, 6.0]])).detach()
    tensor([[-1.0000, -1.0000],
            [ 1.0000,  1.0000]])
    >>> norm.running_mean
    tensor([0.2000, 0.4000])
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W); arguments and modes are those of `nn.BatchNorm1d`.

    >>> nn.BatchNorm2d(3)(ingot.randn(2, 3, 4, 4)).shape
    ingot.Size([2, 3, 4, 4])
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W); arguments and modes are those of `nn.BatchNorm1d`.

    >>> nn.BatchNorm3d(3)(ingot.randn(2, 3, 2, 2, 2)).shape
    ingot.Size([2, 3, 2, 2, 2])
    """

    ranks = (5,)


class _InstanceNorm(_NormBase):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False, track_running_stats: bool = False,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _get_no_batch_dim(self) -> int:
        """The rank of an input without a batch."""
        return self.ranks[0]

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        batched = input.ndim != self._get_no_batch_dim()
        x = input if batched else input.unsqueeze(0)
        if x.shape[1] != self.num_features and self.affine:
            raise ValueError(
                f"expected input's size at dim={1 if batched else 0} to match num_features ({self.num_features}), got: {x.shape[1]}."
            )
        own = self.training or not self.track_running_stats
        out = F.instance_norm(x, self.running_mean, self.running_var, self.weight, self.bias, own, self.momentum or 0.0, self.eps)
        return out if batched else out.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Normalisation of each channel of each sample of (N, C, L) or (C, L): `F.instance_norm` as a module.

    affine: learned weight and bias. track_running_stats: keep running statistics, and use them in `eval()`; otherwise the input's
    own always. ValueError for other ranks, or for channels that are not `num_features` with `affine`.

    >>> nn.InstanceNorm1d(2)(ingot.tensor([[[1.0, 3.0], [2.0, 6.0]]]))
    tensor([[[-1.0000,  1.0000],
             [-1.0000,  1.0000]]])
    """

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalisation of each channel of each sample of (N, C, H, W) or (C, H, W); arguments are those of `nn.InstanceNorm1d`.

    >>> nn.InstanceNorm2d(3)(ingot.randn(2, 3, 4, 4)).shape
    ingot.Size([2, 3, 4, 4])
    """

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalisation of each channel of each sample of (N, C, D, H, W) or (C, D, H, W); arguments as of `nn.InstanceNorm1d`.

    >>> nn.InstanceNorm3d(3)(ingot.randn(2, 3, 2, 2, 2)).shape
    ingot.Size([2, 3, 2, 2, 2])
    """

    ranks = (4, 5)


def _shape(normalized_shape: Any) -> tuple[int, ...]:
    return (int(normalized_shape),) if isinstance(normalized_shape, numbers.Integral) else tuple(normalized_shape)


class LayerNorm(_Affine):
    """Zero mean and unit variance over the trailing dims `normalized_shape` (an int: the last dim), then weight and bias.

    elementwise_affine=False: without both, `bias=False`: without the bias. ShapeError where the input's dims are others.

    >>> nn.LayerNorm(2)(ingot.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.0000,  1.0000]])
    """

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ):  # fmt: skip
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", new_parameter(self.normalized_shape, device, dtype) if elementwise_affine else None)
        self.register_parameter("bias", new_parameter(self.normalized_shape, device, dtype) if elementwise_affine and bias else None)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={bias}"


class RMSNorm(Module):
    """x / sqrt(mean(x ** 2) + eps) over the trailing dims `normalized_shape`, then weight. eps=None: the dtype's epsilon.

    >>> nn.RMSNorm(2)(ingot.tensor([[1.0, 7.0]])).detach()
    tensor([[0.2000, 1.4000]])
    """

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True, device: Any = None, dtype: Any = None
    ):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", new_parameter(self.normalized_shape, device, dtype) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):  # fmt: skip
    """Zero mean and unit variance over each of `num_groups` groups of channels of (N, C, *), then weight and bias (C).

    ValueError unless `num_groups` divides `num_channels`.

    >>> nn.GroupNorm(2, 4)(ingot.randn(2, 4, 3, 3)).shape
    ingot.Size([2, 4, 3, 3])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError("num_channels must be divisible by num_groups")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.register_parameter("weight", new_parameter((num_channels,), device, dtype) if affine else None)
        self.register_parameter("bias", new_parameter((num_channels,), device, dtype) if affine and bias else None)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class LocalResponseNorm(Functional):
    """x / (k + alpha * mean(x ** 2)) ** beta, the mean over `size` neighbouring channels: `F.local_response_norm` as a module.

    >>> nn.LocalResponseNorm(3, alpha=3.0)(ingot.ones(1, 3, 1))
    tensor([[[0.4387],
             [0.3536],
             [0.4387]]])
    """

    fn = F.local_response_norm
    settings = {"size": REQUIRED, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
    positional = ("size",)
