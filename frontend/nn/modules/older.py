"""Modules that newer ones have replaced, and batch normalisation across processes, of which there is one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn.modules.linear import Linear
from ingot.nn.modules.loss import NLLLoss
from ingot.nn.modules.module import Module
from ingot.nn.modules.normalization import _BatchNorm

__all__ = ["Container", "CrossMapLRN2d", "LinearCrossEntropyLoss", "LinearCrossEntropyOptions", "NLLLoss2d", "SyncBatchNorm"]


class Container(Module):
    """A Module with the modules that are given by name, with a FutureWarning: `nn.Sequential` and `nn.ModuleDict` are newer.

    >>> [name for name, child in nn.Container(first=nn.Linear(1, 1)).named_children()]
    ['first']
    """

    def __init__(self, **kwargs: Any):
        super().__init__()
        warnings.warn("nn.Container is deprecated. All of it's functionality is now implemented in nn.Module.", FutureWarning, stacklevel=3)
        for name, module in kwargs.items():
            self.add_module(name, module)


class NLLLoss2d(NLLLoss):
    """`nn.NLLLoss` by its old name, with a FutureWarning.

    >>> nn.NLLLoss2d()(ingot.ones(1, 2, 1, 1), ingot.tensor([[[1]]])).item()
    -1.0
    """

    def __init__(self, weight: Tensor | None = None, size_average: Any = None, ignore_index: int = -100, reduce: Any = None,
                 reduction: str = "mean"):  # fmt: skip
        warnings.warn("`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead.", FutureWarning, stacklevel=3)
        super().__init__(weight, size_average, ignore_index, reduce, reduction)


class CrossMapLRN2d(Module):
    """x / (k + alpha / size * s) ** beta, s the sum of the squares of `size` neighbouring channels: as `nn.LocalResponseNorm`.

    (torch's own keeps the first channel in the sum of all.)

    >>> nn.CrossMapLRN2d(3)(ingot.ones(1, 4, 2, 2)).shape
    ingot.Size([1, 4, 2, 2])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over all processes, of which there is one: `nn.BatchNorm2d` for any number of dims from two on.

    >>> nn.SyncBatchNorm(3)(ingot.ones(2, 3, 4)).shape
    ingot.Size([2, 3, 4])
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        process_group: Any = None, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """`module` with every BatchNorm layer in it replaced by a SyncBatchNorm of the same parameters and buffers."""
        made = module
        if isinstance(module, _BatchNorm):
            new = cls(
                module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats, process_group,
                bias=module.bias is not None,
            )  # fmt: skip
            new._parameters.update(module._parameters)
            new._buffers.update(module._buffers)
            new.train(module.training)
            made = new
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made


@dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How torch computes `nn.LinearCrossEntropyLoss` in pieces; accepted, and without effect: compiled code makes what it needs.

    >>> nn.LinearCrossEntropyOptions(batch_chunk_size=64).batch_chunk_size
    64
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None


class LinearCrossEntropyLoss(Module):
    """`F.linear_cross_entropy` as a module: a linear layer to `num_classes` logits (for each of out_features), and their cross entropy.

    Its other arguments are those of `nn.CrossEntropyLoss`.

    >>> nn.LinearCrossEntropyLoss(4, 3)(ingot.ones(2, 4), ingot.tensor([0, 2])).shape
    ingot.Size([])
    """

    def __init__(
        self, in_features: int, num_classes: int, *, out_features: tuple[int, ...] = (), bias: bool = False, device: Any = None,
        dtype: Any = None, reduction: str = "mean", weight: Tensor | None = None, ignore_index: int | None = None,
        label_smoothing: float = 0.0, options: LinearCrossEntropyOptions | None = None,
    ):  # fmt: skip
        super().__init__()
        self.in_features, self.num_classes, self.out_features = in_features, num_classes, tuple(out_features)
        count = num_classes
        for n in self.out_features:
            count *= n
        self.linear = Linear(in_features, count, bias=bias, device=device, dtype=dtype)
        self.register_buffer("weight", weight)
        self.reduction, self.ignore_index, self.label_smoothing, self.options = reduction, ignore_index, label_smoothing, options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        shape = (self.num_classes, *self.out_features)
        w, b = self.linear.weight.reshape((*shape, self.in_features)), self.linear.bias
        return F.linear_cross_entropy(
            input, w, target, linear_bias=None if b is None else b.reshape(shape), weight=self.weight, reduction=self.reduction,
            ignore_index=self.ignore_index, label_smoothing=self.label_smoothing, options=self.options,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, num_classes={self.num_classes}, out_features={self.out_features}"
