"""linear, bilinear, embedding and one_hot."""

from __future__ import annotations

from collections.abc import Callable

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import lower
from ingot._tensor.composites import composite
from ingot._tensor.recording import stop_gradient
from ingot.functions.common import as_index, emit_out
from ingot.ir.size import ShapeError
from ingot.nn.functional.sizes import same_dtype


@composite
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = ingot.matmul(input, weight.mT if weight.ndim == 2 else weight)
    return out if bias is None else out + bias


@lower
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias: input (..., in), weight (out, in), bias (out) -> (..., out). ShapeError where they do not fit.

    A weight of one dim (in) gives (...).

    >>> F.linear(ingot.tensor([[1.0, 2.0]]), ingot.tensor([[3.0, 4.0], [5.0, 6.0]]), ingot.tensor([0.0, 100.0]))
    tensor([[ 11., 117.]])
    """
    if input.is_nested:  # type: ignore[attr-defined]
        return input.mapped(linear, weight, bias)  # type: ignore[attr-defined]
    if input._sparse or weight._sparse:
        product = ingot.matmul(input, weight.t()) if input._sparse else ingot.matmul(weight, input.t()).t()
        return product if bias is None else product + bias
    if weight.ndim not in (1, 2) or input.ndim == 0 or input.size(-1) != weight.size(-1):
        raise ShapeError(f"linear: input {list(input.shape)} does not fit weight {list(weight.shape)}: the last dims must agree")
    if bias is not None and (bias.ndim > 1 or (bias.ndim == 1 and bias.size(0) not in (1, weight.size(0)))):
        raise ShapeError(f"linear: bias {list(bias.shape)} does not fit weight {list(weight.shape)}")
    same_dtype("linear", input, weight=weight, bias=bias)
    result = _linear(input, weight, bias)
    return result if out is None else emit_out(result, out)


@composite
def _bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = ingot.matmul(ingot.matmul(x1.unsqueeze(-2).unsqueeze(-2), weight), x2.unsqueeze(-2).unsqueeze(-1)).squeeze(-1).squeeze(-1)
    return out if bias is None else out + bias


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x1 @ weight[k] @ x2 + bias[k] for every output k: (..., in1), (..., in2), weight (out, in1, in2), bias (out) -> (..., out).

    ShapeError where they do not fit.

    >>> F.bilinear(ingot.tensor([[1.0, 2.0]]), ingot.tensor([[3.0, 4.0]]), ingot.eye(2).reshape(1, 2, 2))
    tensor([[11.]])
    """
    if input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(f"bilinear: leading dims differ: {list(input1.shape)} and {list(input2.shape)}")
    if weight.ndim != 3 or input1.shape[-1] != weight.shape[1] or input2.shape[-1] != weight.shape[2]:
        raise ShapeError(f"bilinear: inputs {list(input1.shape)} and {list(input2.shape)} do not fit weight {list(weight.shape)}")
    return _bilinear(input1, input2, weight, bias)


# ---- embedding


def _rows(weight: Tensor, input: Tensor, padding_idx: int | None) -> Tensor:
    """Rows of weight; the padding row gets no gradient."""
    safe = ingot.where(input < 0, input - weight.shape[0], input)  # ops count negative indices from the end; here they are errors
    rows = weight[safe]
    return rows if padding_idx is None else ingot.where((input == padding_idx).unsqueeze(-1), rows.detach(), rows)


@composite
def _lookup(weight: Tensor, input: Tensor, padding_idx: int | None) -> Tensor:
    return _rows(weight, input, padding_idx)


@composite
def _bag_lookup(weight: Tensor, input: Tensor, padding_idx: int | None) -> Tensor:
    return _rows(weight, input, padding_idx)  # by its own name in errors


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of weight (n, d) at integer input (...) -> (..., d). IndexError for an index outside [0, n).

    The row `padding_idx` gets no gradient; with `scale_grad_by_freq` a row's is divided by how often it is read.
    With `max_norm`, rows read are first scaled down in place to that norm. With `sparse`, `backward()` gives a weight that is a leaf a
    sparse gradient (`ingot.sparse`), for SGD, Adagrad and SparseAdam; not in compiled functions and transforms, where it is dense.

    >>> F.embedding(ingot.tensor([2, 0]), ingot.eye(3))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    return _embedding(_lookup, input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)


def _embedding(
    look: Callable[..., Tensor], input: Tensor, weight: Tensor, padding_idx: int | None, max_norm: float | None, norm_type: float,
    scale_grad_by_freq: bool, sparse: bool,
) -> Tensor:  # fmt: skip
    if not isinstance(input, Tensor) or input.dtype.kind not in "iu":
        got = repr(input.dtype) if isinstance(input, Tensor) else type(input).__name__
        raise RuntimeError(f"embedding: indices must be an integer Tensor, but got {got}")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight must be 2-D, but has shape {list(weight.shape)}")
    n = weight.shape[0]
    if padding_idx is not None:
        if not -n <= padding_idx < n:
            raise AssertionError(f"Padding_idx must be within num_embeddings: {padding_idx} of {n}")
        padding_idx %= n
    input = input.long()
    if max_norm is not None:
        with ingot.no_grad():
            rows = weight[input]
            norms = rows.norm(norm_type, -1, keepdim=True)
            weight[input] = ingot.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    if sparse:
        from ingot.sparse import gradients

        if gradients.possible(weight):
            if scale_grad_by_freq:
                raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
            return gradients.with_sparse_gradient(weight, input, look(weight.detach(), input, None), padding_idx)
    rows = look(weight, input, padding_idx)
    return _by_frequency(rows, input, n) if scale_grad_by_freq else rows


@composite
def _by_frequency(rows: Tensor, index: Tensor, n: int) -> Tensor:
    """`rows`, whose gradient is divided by how often their index occurs."""
    flat = index.reshape(-1)
    counts = ingot.zeros((n,), dtype=rows.dtype).index_add(0, flat, ingot.ones_like(flat, dtype=rows.dtype))
    fixed = stop_gradient(rows)
    return ingot.where(ingot.isfinite(rows), fixed + (rows - fixed) / counts[index].unsqueeze(-1), rows)


@composite
def _bag(rows: Tensor, weights: Tensor | None, keep: Tensor | None, bags: Tensor | None, count: int, mode: str) -> Tensor:
    """rows (n, d) by bag numbers (n), or (bags, k, d) without them; `keep` leaves entries out."""
    if weights is not None:
        rows = rows * weights.unsqueeze(-1)
    kept = ingot.ones_like(rows[..., 0]) if keep is None else keep.to(rows.dtype)
    if mode == "max":
        if keep is not None:
            rows = ingot.where(keep.unsqueeze(-1), rows, float("-inf"))
        if bags is None:
            best, number = rows.amax(-2), kept.sum(-1, keepdim=True)
        else:
            lowest = ingot.full((count, rows.shape[-1]), float("-inf"), dtype=rows.dtype)
            best = lowest.scatter_reduce(0, bags.unsqueeze(-1).expand(rows.shape), rows, "amax")
            number = ingot.zeros((count,), dtype=rows.dtype).index_add(0, bags, kept).unsqueeze(-1)
        return ingot.where(number == 0, 0.0, best)
    if keep is not None:
        rows = rows * kept.unsqueeze(-1)
    if bags is None:
        total = rows.sum(-2)
    else:
        total = ingot.zeros((count, rows.shape[-1]), dtype=rows.dtype).index_add(0, bags, rows)
    if mode == "sum":
        return total
    number = kept.sum(-1) if bags is None else ingot.zeros((count,), dtype=rows.dtype).index_add(0, bags, kept)
    return total / number.clamp_min(1).unsqueeze(-1)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sum, mean or max of the rows of weight (n, d) at each bag of indices -> (bags, d).

    input: (bags, k), or one dim with `offsets` (bags), where each bag begins; `include_last_offset`: a last offset says where
    the last bag ends. Entries that are `padding_idx` count in no bag; an empty bag gives zeros. `per_sample_weights` scale the
    rows (mode="sum" only). ValueError for other shapes. `sparse`: see `embedding`.

    >>> F.embedding_bag(ingot.tensor([1, 2, 4]), ingot.eye(5), ingot.tensor([0, 2]), mode="sum")
    tensor([[0., 1., 1., 0., 0.],
            [0., 0., 0., 0., 1.]])
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"mode has to be one of sum, mean or max, not {mode!r}")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(f"embedding_bag: per_sample_weights is only supported with mode='sum', not {mode!r}")
        if tuple(per_sample_weights.shape) != tuple(input.shape):
            raise ValueError(f"embedding_bag: per_sample_weights must have the input's shape {list(input.shape)}, "
                             f"but has {list(per_sample_weights.shape)}")  # fmt: skip
    if scale_grad_by_freq and mode == "max":
        raise RuntimeError("embedding_bag: scaling gradient by frequency is not supported with mode='max'")
    bags, count = None, 0
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated as a mini-batch of fixed length sequences")
    elif input.ndim == 1:
        if offsets is None or offsets.ndim != 1:
            raise ValueError("embedding_bag: 1-D input needs 1-D offsets, where each bag begins")
        count = offsets.shape[0] - bool(include_last_offset)
        if count < 0:
            raise ValueError("include_last_offset: number of offsets should be at least 1")
        at = ingot.arange(input.shape[0], dtype=ingot.int64)
        bags = ingot.searchsorted(offsets[:count].long(), at, right=True) - 1
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise RuntimeError(f"padding_idx must be within the number of embeddings, but got {padding_idx} of {weight.shape[0]}")
        padding_idx %= weight.shape[0]
    keep = None if padding_idx is None else input != padding_idx
    rows = _embedding(_bag_lookup, input, weight, None, max_norm, norm_type, scale_grad_by_freq, sparse)
    return _bag(rows, per_sample_weights, keep, bags, count, mode)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 classes (...) as int64 (..., num_classes), 1 at the class and 0 elsewhere.

    Without num_classes it is the largest class + 1: the values are read. RuntimeError for other dtypes, and for a class outside
    [0, num_classes).

    >>> F.one_hot(ingot.tensor([2, 0]))
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    if tensor.dtype is not ingot.int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type int64, not {tensor.dtype!r}")
    num_classes = as_index(num_classes)
    if num_classes == -1:
        if tensor.numel() == 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(tensor.max()) + 1
    if num_classes < 1:
        raise RuntimeError(f"num_classes should be positive, not {num_classes}")
    return _one_hot(tensor, num_classes)


@composite
def _one_hot(classes: Tensor, count: int) -> Tensor:
    none = ingot.zeros((*classes.shape, count), dtype=ingot.int64)
    return none.scatter(-1, classes.unsqueeze(-1), ingot.ones_like(classes).unsqueeze(-1))
