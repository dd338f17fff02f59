"""Matrix products, all on the `dot` op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor.autocast import full, lower
from ingot._tensor.composites import composite
from ingot.functions import numpy_names
from ingot.functions.common import (
    ShapeError,
    Tensor,
    apply,
    broadcast_shapes,
    cast_out,
    check_tensor,
    dtype_name,
    emit_out,
    named,
    one_dim,
    operand,
    operands,
    refuse,
    scalar,
)

__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "chain_matmul", "cross", "dot", "ger", "inner", "kron", "matmul",
    "mm", "mv", "outer", "tensordot", "trace", "vdot",
]  # fmt: skip


def dot_general(a: Tensor, b: Tensor, batch: tuple = ((), ()), contract: tuple = ((), ())) -> Tensor:
    """Record the `dot` op: batch dims, then the free dims of `a`, then those of `b`."""
    return apply("dot", a, b, attrs=(batch, contract))


def _pair(name: str, a: Any, b: Any, arguments: tuple[str, str] = ("input", "other")) -> None:
    check_tensor(name, a, arguments[0])
    check_tensor(name, b, arguments[1], 2)
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{name}: expected both inputs to have the same dtype, but got: {dtype_name(a.dtype)} != {dtype_name(b.dtype)}")
    if a.dtype.kind == "b":
        raise refuse(name, a.dtype)


def _need_rank(name: str, x: Tensor, rank: int, what: str) -> None:
    if x.ndim != rank:
        raise ShapeError(f"{name}: {what} must be a {'vector' if rank == 1 else 'matrix' if rank == 2 else '3D tensor'}, got {x.ndim}D")


def _shape(x: Tensor) -> str:
    return "x".join(map(str, x.shape))


@lower
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product of the last two dims, the dims before broadcast; 1-D operands are vectors.

    Both of one number dtype. RuntimeError where the inner dims differ, or for 0-d operands.

        >>> ingot.matmul(ingot.ones(2, 3), ingot.ones(3, 4)).shape
        ingot.Size([2, 4])
    """
    _pair("matmul", input, other)
    if input._sparse or other._sparse:
        return emit_out(input @ other, out)
    return _matmul(input, other, out)


def _matmul(input: Tensor, other: Tensor, out: Tensor | None) -> Tensor:
    ra, rb = input.ndim, other.ndim
    if not ra or not rb:
        raise ShapeError(f"both arguments to matmul need to be at least 1D, but they are {ra}D and {rb}D")
    inner, against = input.shape[-1], other.shape[-2] if rb > 1 else other.shape[0]
    if inner != against:
        if ra == 1 and rb == 1:
            raise ShapeError(f"inconsistent tensor size, expected tensor [{inner}] and src [{against}] to have the same number of elements")
        if rb == 1:
            raise ShapeError(
                f"size mismatch, got input ({_shape(input)}), vec ({against}): matmul's inner dimensions differ ({inner} vs {against})"
            )
        raise ShapeError(f"mat1 and mat2 shapes cannot be multiplied ({_shape(input)} and {_shape(other)}): {inner} is not {against}")
    if rb <= 2:  # the rows of `a`, however many dims they have, against one matrix
        return emit_out(dot_general(input, other, contract=((ra - 1,), (0,))), out)
    return emit_out(_batched(input, other), out)


@composite
def _batched(a: Tensor, b: Tensor) -> Tensor:
    ra, rb = a.ndim, b.ndim
    if ra == 1:
        return dot_general(b, a, contract=((rb - 2,), (0,)))
    lead_a, lead_b = tuple(a.shape[:-2]), tuple(b.shape[:-2])
    lead = broadcast_shapes(lead_a, lead_b)
    if lead_a != lead:
        a = apply("broadcast", a, attrs=((*lead, *a.shape[-2:]),))
    if lead_b != lead:
        b = apply("broadcast", b, attrs=((*lead, *b.shape[-2:]),))
    n = len(lead)
    return dot_general(a, b, (tuple(range(n)), tuple(range(n))), ((n + 1,), (n,)))


@lower
def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of two matrices: (n, m) by (m, p). RuntimeError for other shapes.

    >>> ingot.mm(ingot.ones(2, 3), ingot.ones(3, 4)).shape
    ingot.Size([2, 4])
    """
    _pair("mm", input, mat2, ("input", "mat2"))
    if input._sparse or mat2._sparse:
        return emit_out(input @ mat2, out)
    _need_rank("mm", input, 2, "input")
    _need_rank("mm", mat2, 2, "mat2")
    return _matmul(input, mat2, out)


@lower
def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of a batch of matrices: (b, n, m) by (b, m, p). RuntimeError for other shapes."""
    _pair("bmm", input, mat2, ("input", "mat2"))
    if input._sparse or mat2._sparse:
        return emit_out(input @ mat2, out)
    _need_rank("bmm", input, 3, "batch1")
    _need_rank("bmm", mat2, 3, "batch2")
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        want = [input.shape[0], input.shape[2]]
        raise ShapeError(f"Expected size for first two dimensions of batch2 tensor to be: {want} but got: {list(mat2.shape[:2])}.")
    return emit_out(dot_general(input, mat2, ((0,), (0,)), ((2,), (1,))), out)


def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of a matrix (n, m) and a vector (m). RuntimeError for other shapes."""
    _pair("mv", input, vec, ("input", "vec"))
    if input._sparse:
        return emit_out(input @ vec, out)
    _need_rank("mv", input, 2, "input")
    _need_rank("mv", vec, 1, "vec")
    return _matmul(input, vec, out)


def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inner product of two vectors of one length. RuntimeError for other shapes.

    >>> ingot.dot(ingot.tensor([2, 3]), ingot.tensor([2, 1]))
    tensor(7)
    """
    _pair("dot", input, tensor, ("input", "tensor"))
    if input.ndim != 1 or tensor.ndim != 1:
        raise ShapeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    return _matmul(input, tensor, out)


def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`dot`, of the conjugate of `input`.

    >>> ingot.vdot(ingot.tensor([1j, 2.0]), ingot.tensor([1j, 3.0]))
    tensor(7.+0.j)
    """
    check_tensor("vdot", input)
    return dot(apply("conj", input) if input.dtype.kind == "c" else input, other, out=out)


@lower
def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Sums of products over the last dims of both; with a 0-d operand, the product. RuntimeError where those differ."""
    check_tensor("inner", input)
    check_tensor("inner", other, "other", 2)
    if not input.ndim or not other.ndim:
        return cast_out(input * other, out)
    _pair("inner", input, other)
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} and {list(other.shape)}"
        )
    return emit_out(dot_general(input, other, contract=((input.ndim - 1,), (other.ndim - 1,))), out)


def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """All products of two vectors: (n,) and (m,) to (n, m). RuntimeError for other ranks."""
    check_tensor("outer", input)
    check_tensor("outer", vec2, "vec2", 2)
    _need_rank("outer", input, 1, "self")
    _need_rank("outer", vec2, 1, "vec2")
    a, b = operands("outer", input, vec2)
    product = apply("logical_and" if a.dtype.kind == "b" else "mul", apply("reshape", a, attrs=((a.shape[0], 1),)), b)
    return cast_out(product, out)


ger = outer


_TRUNCATING = ("addbmm", "addmv", "baddbmm")  # torch takes their float factors of integers without the fraction


def _fractional(v: Any) -> bool:
    return v.dtype.kind == "f" if isinstance(v, Tensor) else isinstance(v, float)


def _added(name: str, input: Any, product: Tensor, beta: Any, alpha: Any, out: Any) -> Tensor:
    """beta * input + alpha * product; with beta 0, `input` is not read, so its NaN do not spread."""
    check_tensor(name, input)
    if input.dtype is not product.dtype:
        raise RuntimeError(
            f"{name}: input must have the dtype of the product, but got: {dtype_name(input.dtype)} != {dtype_name(product.dtype)}"
        )
    try:
        fits = broadcast_shapes(tuple(input.shape), tuple(product.shape)) == tuple(product.shape)
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: the input of shape {list(input.shape)} cannot be expanded to the shape {list(product.shape)} of the product"
        )
    if product.dtype.kind not in "fc" and any(_fractional(v) for v in (beta, alpha)):
        if name not in _TRUNCATING:
            raise RuntimeError(f"{name}: for integral input tensors, beta and alpha must not be floating point numbers")
        beta, alpha = int(beta), int(alpha)
    if product.dtype.kind == "b":
        product = apply("logical_and", product, scalar(bool(alpha), product.dtype))
        if beta:
            product = apply("logical_or", input, product)
        return emit_out(product, out)
    if isinstance(alpha, Tensor) or alpha != 1:
        product = product * alpha
    if isinstance(beta, Tensor):  # the float argument of a compiled function
        return emit_out(apply("select", beta == 0, product, input * beta + product), out)
    if beta == 0:
        return emit_out(product, out)
    return emit_out((input if beta == 1 else input * beta) + product, out)


@lower
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: complex = 1, alpha: complex = 1, out: Tensor | None = None
) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2), `input` broadcast to the product.

    >>> ingot.addmm(ingot.ones(4), ingot.ones(2, 3), ingot.ones(3, 4)).shape
    ingot.Size([2, 4])
    """
    product = mm(mat1, mat2)
    if input._sparse or product._sparse:
        return emit_out(input * beta + product * alpha, out)
    return _added("addmm", input, product, beta, alpha, out)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: complex = 1, alpha: complex = 1, out: Tensor | None = None) -> Tensor:
    """beta * input + alpha * (mat @ vec)."""
    return _added("addmv", input, mv(mat, vec), beta, alpha, out)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: complex = 1, alpha: complex = 1, out: Tensor | None = None) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
    return cast_out(_added("addr", input, outer(vec1, vec2), beta, alpha, None), out)


@lower
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: complex = 1, alpha: complex = 1, out: Tensor | None = None
) -> Tensor:
    """beta * input + alpha * bmm(batch1, batch2)."""
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha, out)


@lower
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: complex = 1, alpha: complex = 1, out: Tensor | None = None
) -> Tensor:
    """beta * input + alpha * the sum over the batch of bmm(batch1, batch2)."""
    return _added("addbmm", input, bmm(batch1, batch2).sum(0, dtype=batch1.dtype), beta, alpha, out)


def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of all matrices, left to right."""
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    result = matrices[0]
    for m in matrices[1:]:
        result = mm(result, m)
    return emit_out(result, out)


@lower
def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] = 2, out: Tensor | None = None) -> Tensor:
    """Sums of products over `dims`: the last n of `a` with the first n of `b`, or two lists of dims.

    RuntimeError where they differ in extent (and neither is 1).

        >>> ingot.tensordot(ingot.ones(2, 3, 4), ingot.ones(3, 4, 5)).shape
        ingot.Size([2, 5])
    """
    _pair("tensordot", a, b, ("a", "b"))
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0 or dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims >= 0 and at most the rank of both, but got dims={dims}")
        left, right = tuple(range(a.ndim - dims, a.ndim)), tuple(range(dims))
    else:
        left, right = (tuple(one_dim(d, t.ndim) for d in ([side] if isinstance(side, int) else side)) for side, t in zip(dims, (a, b)))
    if len(left) != len(right):
        raise RuntimeError(f"both dimension lists should have same length, got {len(left)} and {len(right)}")
    for i, j in zip(left, right):  # an extent of 1 stands for any
        if a.shape[i] != b.shape[j] and 1 in (a.shape[i], b.shape[j]):
            a, b = (a, b.sum(j, True, dtype=b.dtype)) if a.shape[i] == 1 else (a.sum(i, True, dtype=a.dtype), b)
    if any(a.shape[i] != b.shape[j] for i, j in zip(left, right)):
        raise ShapeError(f"contracted dimensions need to match, but {list(a.shape)} over {left} and {list(b.shape)} over {right} do not")
    return emit_out(dot_general(a, b, contract=(left, right)), out)


def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The Kronecker product; the shorter operand gets leading dims of 1.

    >>> ingot.kron(ingot.eye(2), ingot.ones(2, 2)).shape
    ingot.Size([4, 4])
    """
    a, b = (v[None] if isinstance(v, Tensor) and v.ndim == 0 else v for v in (input, other))  # neither's dtype yields to the other's
    rank = max(v.ndim if isinstance(v, Tensor) else 0 for v in (input, other))
    product = _kron(*operands("kron", a, b))
    return cast_out(product if rank else product.reshape(()), out)


@composite
def _kron(a: Tensor, b: Tensor) -> Tensor:
    rank = max(a.ndim, b.ndim)
    sa = (1,) * (rank - a.ndim) + tuple(a.shape)
    sb = (1,) * (rank - b.ndim) + tuple(b.shape)
    wide_a = tuple(n for d in sa for n in (d, 1))
    wide_b = tuple(n for d in sb for n in (1, d))
    op = "logical_and" if a.dtype.kind == "b" else "mul"
    product = apply(op, apply("reshape", a, attrs=(wide_a,)), apply("reshape", b, attrs=(wide_b,)))
    return apply("reshape", product, attrs=(tuple(x * y for x, y in zip(sa, sb)),))


@full
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix; integers sum to int64. RuntimeError unless 2-D."""
    check_tensor("trace", input)
    if input.ndim != 2:
        raise ShapeError("trace: expected a matrix")
    return input.diagonal().sum()


def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """The cross product along `dim` (the first of extent 3 when None), the other dims broadcast. RuntimeError if there is none.

    >>> ingot.cross(ingot.tensor([1.0, 0, 0]), ingot.tensor([0.0, 1, 0]))
    tensor([0., 0., 1.])
    """
    a, b = operands("cross", input, other)
    if a.dtype.kind == "b":
        raise refuse("cross", a.dtype)
    rank = max(a.ndim, b.ndim)
    shape = broadcast_shapes(tuple(a.shape), tuple(b.shape))
    if dim is None:
        dims = [i for i, d in enumerate(shape) if d == 3]
        if not dims:
            raise RuntimeError("no dimension of size 3 in input")
        axis = dims[0]
    else:
        axis = one_dim(dim, rank)
    if a.ndim != b.ndim or a.shape[axis] != 3 or b.shape[axis] != 3:
        raise ShapeError(
            f"linalg.cross: inputs dimension {dim if dim is not None else axis} must have length 3. Got {list(a.shape)} and "
            f"{list(b.shape)}"
        )
    return emit_out(_cross(a, b, axis), out)


@composite
def _cross(a: Tensor, b: Tensor, axis: int) -> Tensor:
    def part(x: Tensor, i: int) -> Tensor:
        starts = tuple(i if d == axis else 0 for d in range(x.ndim))
        stops = tuple(i + 1 if d == axis else n for d, n in enumerate(x.shape))
        return apply("slice", x, attrs=(starts, stops, (1,) * x.ndim))

    a0, a1, a2 = (part(a, i) for i in range(3))
    b0, b1, b2 = (part(b, i) for i in range(3))
    return apply("concatenate", a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0, attrs=(axis,))


def _at(self: Tensor, other: Any) -> Any:
    """`ingot.matmul`."""
    if isinstance(other, np.ndarray):
        return matmul(*operands("matmul", self, operand(self, other)))
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _at_right(self: Tensor, other: Any) -> Any:
    """`ingot.matmul`, the other way round."""
    if isinstance(other, np.ndarray):
        return matmul(*operands("matmul", operand(self, other), self))
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


numpy_names.install(globals(), __all__)
METHODS = {"__matmul__": named(_at, "__matmul__"), "__rmatmul__": named(_at_right, "__rmatmul__")}
