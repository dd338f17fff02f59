"""Identity, Linear, Bilinear, Flatten, Unflatten, embeddings, distances."""

from __future__ import annotations

import math
from typing import Any

import ingot
from ingot._paths import also
from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn import init
from ingot.nn.modules.module import Module
from ingot.nn.parameter import Parameter, new_parameter

__all__ = [
    "Identity", "Linear", "Bilinear", "Flatten", "Unflatten", "Embedding", "EmbeddingBag", "CosineSimilarity", "PairwiseDistance",
]  # fmt: skip

__getattr__ = also(__name__, "ingot.nn.modules.lazy")


class Identity(Module):
    """Returns its input; its constructor takes and ignores any arguments.

    >>> nn.Identity(54, unused=True)(ingot.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """y = x @ weight.T + bias; input (..., in_features), output (..., out_features), weight (out_features, in_features).

    Both are drawn from U(-b, b) with b = 1 / sqrt(in_features). ShapeError for inputs of another width.

    >>> layer = nn.Linear(3, 2)
    >>> layer(ingot.randn(4, 3)).shape
    ingot.Size([4, 2])
    >>> layer.weight.shape, layer.bias.shape
    (ingot.Size([2, 3]), ingot.Size([2]))
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in_features), device, dtype)
        if bias:
            self.bias = new_parameter((out_features,), device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias from U(-1/sqrt(in), 1/sqrt(in))."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y[k] = x1 @ weight[k] @ x2 + bias[k]: (..., in1_features), (..., in2_features) -> (..., out_features).

    weight (out_features, in1_features, in2_features) and bias are drawn from U(-b, b) with b = 1 / sqrt(in1_features).

    >>> nn.Bilinear(3, 4, 2)(ingot.randn(5, 3), ingot.randn(5, 4)).shape
    ingot.Size([5, 2])
    """

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in1_features, in2_features), device, dtype)
        if bias:
            self.bias = new_parameter((out_features,), device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias from U(-1/sqrt(in1), 1/sqrt(in1))."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Flatten(Module):
    """Flattens dims start_dim to end_dim into one.

    >>> nn.Flatten()(ingot.zeros(2, 3, 4)).shape
    ingot.Size([2, 12])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits dim `dim` into the shape `unflattened_size`, of which one extent may be -1. TypeError unless they are ints.

    >>> nn.Unflatten(1, (2, 3))(ingot.zeros(2, 6)).shape
    ingot.Size([2, 2, 3])
    """

    def __init__(self, dim: int, unflattened_size: Any):
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"dim must be an integer, but found type {type(dim).__name__}")
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)
        if not all(isinstance(d, int) for d in self.unflattened_size):
            raise TypeError(f"unflattened_size must be a tuple of integers, but found {unflattened_size}")

    def forward(self, input: Tensor) -> Tensor:
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class _Table(Module):
    """A table of vectors, `weight`."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None

    def _fill(self, given: Tensor | None, freeze: bool, device: Any, dtype: Any) -> None:
        shape = (self.num_embeddings, self.embedding_dim)
        if given is None:
            self.weight = new_parameter(shape, device, dtype).requires_grad_(not freeze)
            self.reset_parameters()
        else:
            if tuple(given.shape) != shape:
                raise AssertionError("Shape of weight does not match num_embeddings and embedding_dim")
            self.weight = Parameter(given, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Draw the table from N(0, 1); the padding row is 0."""
        init.normal_(self.weight)
        self._fill_padding_idx_with_zero()

    def _fill_padding_idx_with_zero(self) -> None:
        if self.padding_idx is not None:
            with ingot.no_grad():
                self.weight[self.padding_idx] = 0


class Embedding(_Table):
    """A table of `num_embeddings` vectors read by index: integers (...) -> (..., embedding_dim). IndexError beyond its ends.

    padding_idx: a row that is 0 at first and never learns. max_norm: rows that are read are first scaled down to it.
    scale_grad_by_freq: a row's gradient is divided by how often it was read. Drawn from N(0, 1).

    >>> nn.Embedding(10, 3, padding_idx=0)(ingot.tensor([[0, 2]]))[0, 0].detach()
    tensor([0., 0., 0.])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError("Padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self._fill(_weight, _freeze, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An Embedding with the given (n, d) table, frozen unless freeze=False. AssertionError for another rank.

        >>> nn.Embedding.from_pretrained(ingot.eye(3))(ingot.tensor([2, 0]))
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
        """
        if embeddings.ndim != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        rows, cols = embeddings.shape
        return cls(rows, cols, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        text += _norm_text(self)
        return text + ", sparse=True" if self.sparse else text


def _norm_text(m: Any) -> str:
    """The settings that both embeddings show where they are not the default."""
    text = "" if m.max_norm is None else f", max_norm={m.max_norm}"
    if m.norm_type != 2:
        text += f", norm_type={m.norm_type}"
    return text + f", scale_grad_by_freq={m.scale_grad_by_freq}" if m.scale_grad_by_freq else text


class EmbeddingBag(_Table):
    """Sum, mean or max of embeddings over bags of indices: (bags, k), or one dim and `offsets` -> (bags, embedding_dim).

    Arguments as of `nn.Embedding` and `F.embedding_bag`; entries that are `padding_idx` count in no bag.

    >>> bag = nn.EmbeddingBag(10, 3, mode="sum")
    >>> bag(ingot.tensor([1, 2, 4]), ingot.tensor([0, 2])).shape
    ingot.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError(f"padding_idx must be within num_embeddings: {padding_idx} of {num_embeddings}")
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self._fill(_weight, False, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """An EmbeddingBag with the given (n, d) table, frozen unless freeze=False. AssertionError for another rank.

        >>> nn.EmbeddingBag.from_pretrained(ingot.eye(3), mode="sum")(ingot.tensor([[2, 0]]))
        tensor([[1., 0., 1.]])
        """
        if embeddings.ndim != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        rows, cols = embeddings.shape
        made = cls(rows, cols, max_norm, norm_type, scale_grad_by_freq, mode, sparse, embeddings, include_last_offset, padding_idx)
        made.weight.requires_grad = not freeze
        return made

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}{_norm_text(self)}, mode={self.mode!r}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"


class CosineSimilarity(Module):
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along `dim`.

    >>> nn.CosineSimilarity()(ingot.tensor([[1.0, 0.0]]), ingot.tensor([[3.0, 4.0]]))
    tensor([0.6000])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """|x1 - x2 + eps|_p along the last dim, which stays as 1 with `keepdim`.

    >>> nn.PairwiseDistance()(ingot.tensor([[3.0, 4.0]]), ingot.zeros(1, 2))
    tensor([5.0000])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
