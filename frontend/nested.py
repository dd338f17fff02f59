"""Nested tensors: a batch of tensors that differ in one dim, kept one after another, without padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot._tensor.recording import from_array
from ingot.functions import constants
from ingot.functions.common import dtypes, is_number

__all__ = ["NestedTensor", "as_nested_tensor", "masked_select", "narrow", "nested_tensor", "nested_tensor_from_jagged", "to_padded_tensor"]

# functions of elements, and of the dims behind the ragged one
_UNARY = (
    "abs acos asin atan ceil clamp cos cosh erf exp expm1 floor log log10 log1p log2 logical_not neg reciprocal relu round rsqrt sigmoid "
    "sign sin sinh sqrt square tan tanh trunc to float double half bfloat16 int long bool clone detach contiguous type_as"
)
_BINARY = "add sub mul div pow eq ne lt le gt ge maximum minimum remainder floor_divide"
_OPERATORS = {"truediv": "div", "floordiv": "floor_divide", "mod": "remainder"}


class NestedTensor:
    """Tensors (length, *rest) one after another: `values` (sum of lengths, *rest), row i from `offsets[i]` to `offsets[i + 1]`.

    Functions of elements, `@` with a matrix, `ingot.nn.functional.linear` and what else works on the dims behind the ragged one apply to
    the values; two of them go together if they have the same offsets (RuntimeError). Gradients flow to the values. It is no Tensor:
    `to_padded_tensor` and `unbind` give some.

        >>> x = ingot.nested.nested_tensor([ingot.ones(2, 3), ingot.zeros(1, 3)])
        >>> x.to_padded_tensor(0.0).shape
        ingot.Size([2, 2, 3])
        >>> (x + 1).values().sum()
        tensor(15.)
    """

    is_nested = True
    __hash__ = object.__hash__

    def __init__(self, values: Tensor, offsets: Tensor, layout: Any = constants.jagged):
        self._values, self._offsets, self.layout, self._ragged = values, offsets, layout, 1
        self._bounds = offsets._value().tolist()

    dtype = property(lambda self: self._values.dtype, doc="The dtype.")
    device = property(lambda self: self._values.device, doc="Where it lives.")
    ndim = property(lambda self: self._values.ndim + 1, doc="The number of dims: of the batch, the ragged one, the rest.")
    requires_grad = property(lambda self: self._values.requires_grad, doc="Whether the values do.")
    is_leaf = property(lambda self: self._values.is_leaf, doc="Whether no operation made the values.")

    @property
    def grad(self) -> NestedTensor | None:
        """The gradient, in the same rows; None if there is none."""
        g = self._values.grad
        return None if g is None else self._with(g)

    def requires_grad_(self, requires_grad: bool = True) -> NestedTensor:
        """Start (or stop) recording operations on the values."""
        self._values.requires_grad_(requires_grad)
        return self

    def _with(self, values: Tensor) -> NestedTensor:
        out = object.__new__(NestedTensor)
        out._values, out._offsets, out._bounds = values, self._offsets, self._bounds
        out.layout, out._ragged = self.layout, self._ragged
        return out

    def values(self) -> Tensor:
        """All rows one after another: (sum of lengths, *rest)."""
        return self._values

    def offsets(self) -> Tensor:
        """Where each row begins among the values, and where the last ends."""
        return self._offsets

    def lengths(self) -> Tensor:
        """How long each row is."""
        return self._offsets.diff()

    def dim(self) -> int:
        """The number of dims."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements of all rows."""
        return self._values.numel()

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def size(self, dim: int | None = None) -> Any:
        """The extent of `dim`. RuntimeError for the ragged one, and without `dim`: rows differ there."""
        if dim is None:
            raise RuntimeError("a nested tensor has no shape: its rows differ in length; ask for size(dim), or use to_padded_tensor()")
        d = dim % self.ndim if -self.ndim <= dim < self.ndim else self.ndim
        if d == self._ragged:
            raise RuntimeError(f"size({dim}): the rows of a nested tensor differ in length: see lengths()")
        if d == self.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-self.ndim}, {self.ndim - 1}], but got {dim})")
        if not d:
            return len(self)
        return self._values.shape[1 if d == 1 else d - 1]  # 1: where the ragged dim is the one behind it

    def unbind(self, dim: int = 0) -> list[Tensor]:
        """The rows, as views of the values. RuntimeError for another dim."""
        if dim not in (0, -self.ndim):
            raise RuntimeError("unbind of a nested tensor is along dim 0")
        rows = [self._values[a:b] for a, b in zip(self._bounds, self._bounds[1:])]
        return rows if self._ragged == 1 else [t.transpose(0, 1) for t in rows]

    def __iter__(self) -> Any:
        return iter(self.unbind())

    def __getitem__(self, i: int) -> Tensor:
        if not isinstance(i, int):
            raise RuntimeError("a nested tensor takes the number of a row for an index")
        return self.unbind()[i]

    def tolist(self) -> Any:
        """The rows as nested lists."""
        return [t.tolist() for t in self.unbind()]

    def to_padded_tensor(self, padding: float, output_size: Sequence[int] | None = None) -> Tensor:
        """(rows, longest, *rest) with `padding` behind the ends. output_size: larger extents. RuntimeError for smaller ones."""
        if self._ragged != 1:
            return self.transpose(1, 2).to_padded_tensor(padding).transpose(1, 2)
        rest = tuple(self._values.shape[1:])
        longest = max((b - a for a, b in zip(self._bounds, self._bounds[1:])), default=0)
        size = (len(self), longest, *rest)
        if output_size is not None:
            size = tuple(output_size)
            if len(size) != self.ndim or any(n < m for n, m in zip(size, (len(self), longest, *rest))):
                raise RuntimeError(f"to_padded_tensor: output_size {list(size)} is less than {[len(self), longest, *rest]}")
        out = ingot.full((size[0] * size[1], *rest), padding, dtype=self.dtype)
        at = np.concatenate([np.arange(b - a) + i * size[1] for i, (a, b) in enumerate(zip(self._bounds, self._bounds[1:]))] or [[]])
        out = out.index_copy(0, from_array(at.astype(np.int64)), self._values).reshape((size[0], size[1], *rest))
        more = [n for d in range(len(rest) - 1, -1, -1) for n in (0, size[d + 2] - rest[d])]
        return ingot.nn.functional.pad(out, more, value=padding) if any(more) else out

    def mapped(self, fn: Callable[..., Tensor], *args: Any, **kwargs: Any) -> NestedTensor:
        """`fn` of the values, which keeps their first dim: a layer that works on the last dims of a tensor."""
        return self._with(fn(self._values, *args, **kwargs))

    def attended(self, key: NestedTensor, value: NestedTensor, attention: Callable[..., Tensor], **options: Any) -> NestedTensor:
        """Attention of (rows, heads, ragged, E), each row by itself: `attention` of what is padded, with a mask. RuntimeError else."""
        for t in (self, key, value):
            if not isinstance(t, NestedTensor) or t.ndim != 4 or t._ragged != 2:
                raise RuntimeError("attention of nested tensors is of (rows, heads, ragged, E): unflatten(-1, ...) and transpose(1, 2)")
        if options.pop("attn_mask", None) is not None:
            raise RuntimeError("attention of nested tensors takes no attn_mask: rows are masked by their lengths")
        q, k, v = (ingot.transpose(t.transpose(1, 2).to_padded_tensor(0.0), 1, 2) for t in (self, key, value))
        causal = options.pop("is_causal", False)
        place = ingot.arange(k.shape[2])
        seen = (place < key.lengths().unsqueeze(1))[:, None, None, :]
        if causal:
            seen = seen.logical_and(place <= ingot.arange(q.shape[2]).unsqueeze(1))
        out = attention(q, k, v, attn_mask=seen, **options).transpose(1, 2)
        rows = ingot.arange(q.shape[2]) < self.lengths().unsqueeze(1)
        return self._with(out[rows])

    def _along(self, dim: int, name: str) -> int:
        d = dim % self.ndim
        if d <= self._ragged:
            raise RuntimeError(f"{name} of a nested tensor is along a dim behind the ragged one, got dim {dim}")
        return d - 1

    def softmax(self, dim: int, dtype: Any = None) -> NestedTensor:
        """`softmax` along a dim behind the ragged one."""
        return self._with(self._values.softmax(self._along(dim, "softmax"), dtype=dtype))

    def sum(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The sum of all elements; over dim 1, of each row: (rows, *rest); over a dim behind it, a nested tensor."""
        if dim is None:
            return self._values.sum()
        if dim % self.ndim != 1:
            return self._with(self._values.sum(self._along(dim, "sum"), keepdim))
        row = from_array(np.repeat(np.arange(len(self)), np.diff(self._bounds)))
        out = self._values.new_zeros((len(self), *self._values.shape[1:])).index_add(0, row, self._values)
        return out.unsqueeze(1) if keepdim else out

    def mean(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The mean, of what `sum` adds up."""
        if dim is None:
            return self._values.mean()
        if dim % self.ndim != 1:
            return self._with(self._values.mean(self._along(dim, "mean"), keepdim))
        total = self.sum(1, keepdim)
        return total / self.lengths().reshape((-1, *(1 for _ in range(total.ndim - 1))))

    def transpose(self, dim0: int, dim1: int) -> NestedTensor:
        """Two dims behind the ragged one exchanged; or 1 and 2, which moves the ragged one. RuntimeError for others."""
        if sorted((dim0 % self.ndim, dim1 % self.ndim)) == [1, 2] and self._values.ndim > 1:
            out = self._with(self._values)
            out._ragged = 3 - self._ragged
            return out
        return self._with(self._values.transpose(self._along(dim0, "transpose"), self._along(dim1, "transpose")))

    def unflatten(self, dim: int, sizes: Sequence[int]) -> NestedTensor:
        """A dim behind the ragged one as several."""
        return self._with(self._values.unflatten(self._along(dim, "unflatten"), sizes))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> NestedTensor:
        """Dims behind the ragged one as one."""
        return self._with(self._values.flatten(self._along(start_dim, "flatten"), self._along(end_dim, "flatten")))

    def __matmul__(self, other: Any) -> NestedTensor:
        return self._with(self._values @ other) if isinstance(other, Tensor) and other.ndim == 2 else NotImplemented

    matmul = __matmul__

    def __repr__(self) -> str:
        rows = ",\n".join("  " + repr(t).replace("\n", "\n  ") for t in self.unbind())
        return f"nested_tensor([\n{rows}\n])"


def _unary(name: str) -> Callable[..., NestedTensor]:
    def method(self: NestedTensor, *args: Any, **kwargs: Any) -> NestedTensor:
        return self._with(getattr(self._values, name)(*args, **kwargs))

    return method


def _binary(name: str, swapped: bool = False) -> Callable[..., NestedTensor]:
    def method(self: NestedTensor, other: Any, **kwargs: Any) -> NestedTensor:
        if isinstance(other, NestedTensor):
            if other._bounds != self._bounds:
                raise RuntimeError(f"{name}: the rows of two nested tensors must have the same lengths, in the same order")
            other = other._values
        elif isinstance(other, Tensor) and other.ndim >= self.ndim - 1 and other.ndim and other.shape[-self._values.ndim] != 1:
            raise RuntimeError(f"{name}: a tensor beside a nested one must broadcast along its rows, got {list(other.shape)}")
        elif not isinstance(other, Tensor) and not is_number(other):
            return NotImplemented
        pair = (other, self._values) if swapped else (self._values, other)
        return self._with(getattr(ingot, name)(*pair, **kwargs))

    return method


def _install() -> None:
    for names, make in ((_UNARY, _unary), (_BINARY, _binary)):
        for name in names.split():
            method = make(name)
            method.__name__ = method.__qualname__ = name
            method.__doc__ = f"`{name}` of the values."
            setattr(NestedTensor, name, method)
    for name in ("add", "sub", "mul", "pow", "eq", "ne", "lt", "le", "gt", "ge", *_OPERATORS):
        function = _OPERATORS.get(name, name)
        setattr(NestedTensor, f"__{name}__", _binary(function))
        if name in ("add", "sub", "mul", "pow", "truediv"):
            setattr(NestedTensor, f"__r{name}__", _binary(function, True))
    for name in ("neg", "abs"):
        setattr(NestedTensor, f"__{name}__", _unary(name))


_install()


def _joined(name: str, items: Sequence[Tensor], layout: Any) -> NestedTensor:
    if not items:
        return NestedTensor(ingot.zeros(0), ingot.zeros(1, dtype=dtypes.i64), layout or constants.strided)
    first = items[0]
    if not first.ndim:
        raise RuntimeError(f"{name}: rows must have at least one dim")
    for t in items:
        if t.dtype is not first.dtype or tuple(t.shape[1:]) != tuple(first.shape[1:]):
            raise RuntimeError(
                f"{name}: rows may differ in their first dim alone, got {first.dtype} {list(first.shape)} and {t.dtype} {list(t.shape)}"
            )
    offsets = np.cumsum([0, *(t.shape[0] for t in items)])
    return NestedTensor(ingot.cat(list(items)), from_array(offsets.astype(np.int64)), layout or constants.strided)


def nested_tensor(
    tensor_list: Sequence[Any], *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> NestedTensor:  # fmt: skip
    """A nested tensor of rows (length, *rest): tensors, arrays or lists, copied. RuntimeError where the rest or the dtypes differ.

    >>> ingot.nested.nested_tensor([[1.0, 2.0], [3.0]]).lengths()
    tensor([2, 1])
    """
    rows = [t.detach() if isinstance(t, Tensor) else ingot.tensor(t) for t in tensor_list]
    made = _joined("nested_tensor", [t if dtype is None else t.to(dtype) for t in rows], layout)
    return made.requires_grad_() if requires_grad else made


def as_nested_tensor(ts: Any, dtype: Any = None, device: Any = None, layout: Any = None) -> NestedTensor:
    """A nested tensor of rows, through which gradients flow to them: a list, or a tensor, whose rows are along dim 0."""
    if isinstance(ts, NestedTensor):
        return ts
    rows = list(ts) if not isinstance(ts, Tensor) else list(ts.unbind(0))
    return _joined("as_nested_tensor", [t if dtype is None else t.to(dtype) for t in rows], layout)


def nested_tensor_from_jagged(
    values: Tensor, offsets: Tensor | None = None, lengths: Tensor | None = None, jagged_dim: int | None = None,
    min_seqlen: int | None = None, max_seqlen: int | None = None,
) -> NestedTensor:  # fmt: skip
    """A nested tensor of `values` (sum of lengths, *rest) without a copy: `offsets` (rows + 1), or `lengths` (rows).

    RuntimeError without both, for offsets that do not rise from 0 to the number of values, and for another jagged_dim than 1.

        >>> ingot.nested.nested_tensor_from_jagged(ingot.arange(5.0), ingot.tensor([0, 2, 5])).tolist()
        [[0.0, 1.0], [2.0, 3.0, 4.0]]
    """
    if jagged_dim not in (None, 1):
        raise RuntimeError(f"nested_tensor_from_jagged: jagged_dim must be 1, got {jagged_dim}")
    if offsets is None:
        if lengths is None:
            raise RuntimeError("nested_tensor_from_jagged(): At least one of offsets or lengths is required.")
        offsets = ingot.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    at = offsets._value()
    if lengths is not None and not np.array_equal(np.diff(at), lengths._value()):
        rows = [values[a : a + n] for a, n in zip(at.tolist(), lengths.tolist())]
        return _joined("nested_tensor_from_jagged", rows, constants.jagged)
    if not len(at) or at[0] != 0 or at[-1] != values.shape[0] or (np.diff(at) < 0).any():
        raise RuntimeError(f"nested_tensor_from_jagged: offsets must rise from 0 to the number of values, {values.shape[0]}")
    return NestedTensor(values, offsets)


def to_padded_tensor(input: NestedTensor, padding: float, output_size: Sequence[int] | None = None) -> Tensor:
    """`NestedTensor.to_padded_tensor`."""
    return input.to_padded_tensor(padding, output_size)


def narrow(tensor: Tensor, dim: int, start: Any, length: Any, layout: Any = constants.strided) -> NestedTensor:
    """Of each row i of a tensor (rows, n, *rest), `length[i]` elements from `start[i]` on. RuntimeError for another dim than 1."""
    if dim != 1:
        raise RuntimeError("nested.narrow: dim must be 1")
    n = tensor.shape[0]
    starts, lengths = (x.tolist() if isinstance(x, Tensor) else [x] * n for x in (start, length))
    return _joined("narrow", [tensor[i, a : a + k] for i, (a, k) in enumerate(zip(starts, lengths))], layout)


def masked_select(tensor: Tensor, mask: Tensor) -> NestedTensor:
    """What of each row of a tensor (rows, n) `mask` keeps, as a nested tensor."""
    mask = mask.expand(*tensor.shape)
    return nested_tensor_from_jagged(tensor[mask], lengths=mask.to(dtypes.i64).sum(tuple(range(1, mask.ndim))))
