"""Softmax over many classes, in clusters by how often they occur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import ingot
from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn.modules.container import ModuleList, Sequential
from ingot.nn.modules.linear import Linear
from ingot.nn.modules.module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMoutput(NamedTuple):
    """What a call gives: the log-probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of `n_classes` classes, which are ordered by frequency: the head has the classes below cutoffs[0] and the clusters.

    cutoffs: where clusters begin, rising, below n_classes; the i-th cluster is computed from in_features / div_value ** (i + 1) features.
    A call with input (N, in_features) and target (N), or one sample, gives (output, loss). ValueError for cutoffs that do not rise.
    RuntimeError for shapes that do not fit; IndexError for a target that is no class. Source: https://arxiv.org/abs/1609.04309.

    >>> layer = nn.AdaptiveLogSoftmaxWithLoss(4, 10, cutoffs=[2, 5], div_value=2.0)
    >>> layer(ingot.ones(3, 4), ingot.tensor([0, 3, 9])).output.shape, layer.log_prob(ingot.ones(3, 4)).shape
    (ingot.Size([3]), ingot.Size([3, 10]))
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0, head_bias: bool = False,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if cutoffs != sorted(set(cutoffs)) or min(cutoffs) <= 0 or max(cutoffs) > n_classes - 1 or any(int(c) != c for c in cutoffs):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value is between 1 "
                "and n_classes-1"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = cutoffs + [n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden, size = int(in_features // div_value ** (i + 1)), self.cutoffs[i + 1] - self.cutoffs[i]
            first = Linear(in_features, hidden, bias=False, device=device, dtype=dtype)
            self.tail.append(Sequential(first, Linear(hidden, size, bias=False, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster.children():
                layer.reset_parameters()

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (N, in_features) -> (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            parts.append(F.log_softmax(cluster(input), 1) + head[:, self.shortlist_size + i : self.shortlist_size + i + 1])
        return ingot.cat(parts, 1)

    def forward(self, input: Tensor, target: Tensor) -> ASMoutput:
        if (target.ndim, input.ndim) not in ((1, 2), (0, 1)):
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.ndim and input.shape[0] != target.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        alone = target.ndim == 0
        if alone:
            input, target = input.unsqueeze(0), target.unsqueeze(0)
        output = self.log_prob(input).gather(1, target.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return ASMoutput(output.squeeze(0) if alone else output, loss)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each sample."""
        return self.log_prob(input).argmax(1)
