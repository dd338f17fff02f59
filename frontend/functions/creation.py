"""Making tensors that are filled by rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor.composites import composite
from ingot._tensor.devices import beside
from ingot._tensor.recording import from_array
from ingot.functions.common import (
    Number,
    Tensor,
    apply,
    as_int,
    cast,
    cast_out,
    check_tensor,
    dtype_name,
    dtypes,
    filler,
    get_default_dtype,
    larger,
    number_dtype,
    python_number,
    refuse,
    scalar,
    settled,
    shape_arg,
    size_arg,
    static_int,
)
from ingot.functions.from_data import check_dtype, finish
from ingot.ir.dtypes import DType

__all__ = [
    "arange", "empty", "empty_like", "eye", "full", "full_like", "linspace", "logspace", "ones", "ones_like", "range", "scalar_tensor",
    "tril_indices", "triu_indices", "zeros", "zeros_like",
]  # fmt: skip

_range: Any = range


# --- filled -----------------------------------------------------------------------------------------------------------


def _size(name: str, size: Any) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], Tensor) and size[0].ndim == 0:
        size = (int(size[0]),)
    try:
        shape = shape_arg(size)
    except TypeError:
        bad = size[0] if len(size) == 1 else size
        raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(bad).__name__}") from None
    if any(d < 0 for d in shape):
        raise RuntimeError(f"{name}: Dimension size must be non-negative, got {list(shape)}")
    return shape


def dtype_of(dtype: Any, out: Tensor | None) -> DType | None:
    """The dtype that was asked for, else that of `out`, if one is given. RuntimeError where they differ."""
    dtype = check_dtype(dtype)
    if out is None or dtype is out.dtype:
        return dtype
    if dtype is not None:
        raise RuntimeError(f"dtype {dtype_name(dtype)} does not match dtype of out parameter ({dtype_name(out.dtype)})")
    return out.dtype


def filled(shape: tuple[int, ...], value: Number, dtype: DType) -> Tensor:
    """`value` everywhere."""
    return apply("broadcast", filler(value, dtype), attrs=(shape,))


def _maker(name: str, value: Number, what: str) -> Any:
    def function(
        *size: Any, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None, **named: Any,
    ) -> Tensor:  # fmt: skip
        x = filled(_size(name, size_arg(name, size, named)), value, dtype_of(dtype, out) or get_default_dtype())
        return cast_out(finish(x, device, requires_grad), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"A tensor of {what}, of the shape given as `{name}(2, 3)` or `{name}((2, 3))`; the default float dtype unless `dtype` says "
        "otherwise."
        f"\n\n    RuntimeError for negative sizes, TypeError for sizes that are not ints.\n\n        >>> ingot.{name}(2, 3).shape\n"
        "        ingot.Size([2, 3])\n    "
    )
    return function


zeros = _maker("zeros", 0, "zeros")
ones = _maker("ones", 1, "ones")
empty = _maker("empty", 0, "no particular values (zeros)")


def full(
    size: Sequence[int], fill_value: complex | Tensor, *, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`fill_value` everywhere; its kind decides the dtype unless one is given.

    >>> ingot.full((2,), 1.5)
    tensor([1.5000, 1.5000])
    """
    shape = _size("full", (size,))
    dtype = dtype_of(dtype, out)
    if isinstance(fill_value, Tensor):
        value = settled(fill_value)
        x = apply("broadcast", cast(value, dtype or value.dtype), attrs=(shape,))
    else:
        x = filled(shape, python_number(fill_value), dtype or number_dtype(python_number(fill_value)))
    return cast_out(finish(x, device, requires_grad), out)


def scalar_tensor(s: Number, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A number as a 0-d tensor, of the default float dtype unless `dtype` says otherwise."""
    return full((), s, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def _liker(name: str, value: Number, what: str) -> Any:
    def function(
        input: Tensor, *, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
        memory_format: Any = None, pin_memory: bool = False,
    ) -> Tensor:  # fmt: skip
        check_tensor(name, input)
        return finish(filled(tuple(input.shape), value, check_dtype(dtype) or input.dtype), beside(device, input), requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{what} in the shape and dtype of `input` (unless `dtype` is given).\n\n    >>> ingot.{name}(ingot.full((2,), 7.0))\n"
        f"    tensor([{value}., {value}.])\n    "
    )
    return function


zeros_like = _liker("zeros_like", 0, "Zeros")
ones_like = _liker("ones_like", 1, "Ones")
empty_like = _liker("empty_like", 0, "No particular values (zeros)")


def full_like(
    input: Tensor, fill_value: complex, *, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """`fill_value` in the shape and dtype of `input` (unless `dtype` is given).

    >>> ingot.full_like(ingot.ones(2), 7)
    tensor([7., 7.])
    """
    check_tensor("full_like", input)
    where = beside(device, input)
    return full(tuple(input.shape), fill_value, dtype=dtype or input.dtype, device=where, requires_grad=requires_grad)


# --- by rule ----------------------------------------------------------------------------------------------------------


def arange(
    *args: Number, start: Number | None = None, end: Number | None = None, step: Number | None = None, out: Tensor | None = None,
    dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """start, start + step, ... below `end`: `arange(end)`, `arange(start, end)` or `arange(start, end, step)`.

    int64 for ints, else the default float dtype. RuntimeError for step 0 or one that leads away from `end`.

        >>> ingot.arange(1, 7, 2)
        tensor([1, 3, 5])
    """
    if len(args) == 1 and end is None:
        end = args[0]
    elif args:
        if len(args) > 3:
            raise TypeError(f"arange() takes at most 3 positional arguments, got {len(args)}")
        start = args[0]
        end = args[1] if len(args) > 1 else end
        step = args[2] if len(args) > 2 else step
    if end is None:
        raise TypeError("arange() needs an end")
    given = (0 if start is None else start, end, 1 if step is None else step)
    bounds = [v.item() if isinstance(v, Tensor) else python_number(v) for v in given]
    target = dtype_of(dtype, out)
    if target is dtypes.bool_:
        raise refuse("arange_cpu", target)
    if any(isinstance(v, complex) for v in bounds):
        raise RuntimeError("arange() takes real numbers, but got a complex one")
    steps = None
    if target is not None and target.kind != "f":
        parts = [v for v in bounds if not isinstance(v, int)]
        if target is not dtypes.i64 and parts and all(map(math.isfinite, parts)) and bounds[2]:
            steps = math.ceil((bounds[1] - bounds[0]) / bounds[2])  # as torch: int64 alone counts with whole numbers
        bounds = [as_int(v) if isinstance(v, int) or math.isfinite(v) else v for v in bounds]  # as torch: of the result's dtype
    whole = all(isinstance(v, int) for v in bounds)
    first, last, by = bounds
    if by == 0 and steps is None:
        raise RuntimeError("step must be nonzero")
    if not whole and not (math.isfinite(first) and math.isfinite(last)):
        raise RuntimeError(f"unsupported range: {first} -> {last}")
    if (by > 0 and first > last) or (by < 0 and first < last):
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    n = steps if steps is not None else -((first - last) // by) if whole else math.ceil((last - first) / by)
    target = target or (dtypes.i64 if whole else get_default_dtype())
    wide = dtypes.i64 if whole else dtypes.f64
    x = _arange(scalar(first, wide), scalar(by, wide), larger(0, as_int(n)), target)
    return cast_out(finish(x, device, requires_grad), out)


@composite
def _arange(first: Tensor, by: Tensor, n: int, dtype: DType) -> Tensor:
    return cast(apply("iota", attrs=(first.dtype, (n,), 0)) * by + first, dtype)


def range(start: Number, end: Number, step: Number = 1, *, dtype: DType | None = None) -> Tensor:
    """start, start + step, ... up to and including `end`, in the default float dtype. Prefer `arange`."""
    n = int((end - start) / step) + 1
    return _arange(scalar(start, dtypes.f64), scalar(step, dtypes.f64), n, dtype or get_default_dtype())


def _ends(name: str, start: Any, end: Any, steps: Any) -> tuple[Tensor, Tensor, int]:
    a, b = (_end(name, *v) for v in (("start", start), ("end", end)))
    n = static_int(steps, f"{name}(): argument 'steps' (position 3)")
    if n < 0:
        raise RuntimeError("number of steps must be non-negative")
    return a, b, n


def _end(name: str, which: str, v: Any) -> Tensor:
    if not isinstance(v, Tensor):
        return scalar(float(python_number(v)), dtypes.f64)
    if v.ndim:
        raise RuntimeError(
            f"{name} only supports 0-dimensional start and end tensors, but got {which} with {v.ndim} dimension(s)."
        )
    return cast(v.detach(), dtypes.f64)


def linspace(
    start: complex, end: complex, steps: int, *, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` numbers evenly spaced from `start` to `end`, both exact (in an integer dtype: their integer parts).

    RuntimeError for negative steps.

    >>> ingot.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    dtype = dtype_of(dtype, out)
    if any(map(_is_complex, (start, end))) or dtype in dtypes.Complex:
        return cast_out(finish(_complex_linspace("linspace", start, end, steps, dtype), device, requires_grad), out)
    a, b, n = _ends("linspace", start, end, steps)
    x = _linspace(a, b, n, dtype or get_default_dtype())
    return cast_out(finish(x, device, requires_grad), out)


def _spaced(a: Tensor, b: Tensor, n: int, dtype: DType) -> Tensor:
    if dtype.kind not in "fc":
        a, b = apply("trunc", a), apply("trunc", b)
    place = apply("iota", attrs=(dtypes.f64, (n,), 0))
    step = (b - a) / larger(1, n - 1)
    return apply("select", place < (n + 1) // 2, a + place * step, b - (n - 1 - place) * step)  # from the nearer end: both exact


def _is_complex(v: Any) -> bool:
    return isinstance(v, complex) or isinstance(v, Tensor) and v.dtype.kind == "c"


def _complex_linspace(name: str, start: Any, end: Any, steps: int, dtype: DType | None) -> Tensor:
    """Each part by itself."""
    a, b = (complex(v.item() if isinstance(v, Tensor) else v) for v in (start, end))
    d = dtype or get_default_dtype().to_complex()
    if d.kind != "c":
        raise RuntimeError(f"{name}(): inferred dtype {get_default_dtype().to_complex()} can't be safely cast to passed dtype {d}")
    return apply("complex", *(linspace(p, q, steps, dtype=d.to_real()) for p, q in ((a.real, b.real), (a.imag, b.imag))))


@composite
def _linspace(a: Tensor, b: Tensor, n: int, dtype: DType) -> Tensor:
    return cast(_spaced(a, b, n, dtype), dtype)


def logspace(
    start: Number, end: Number, steps: int, base: float = 10.0, *, out: Tensor | None = None, dtype: DType | None = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`base` to the powers `linspace(start, end, steps)`.

    >>> ingot.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    dtype = dtype_of(dtype, out)
    if any(_is_complex(v) for v in (start, end, base)) or dtype in dtypes.Complex:
        place = _complex_linspace("logspace", start, end, steps, dtype)
        import cmath

        x = apply("exp", place * cmath.log(complex(base.item() if isinstance(base, Tensor) else base)))
        return cast_out(finish(x, device, requires_grad), out)
    a, b, n = _ends("logspace", start, end, steps)
    x = _logspace(a, b, scalar(base, dtypes.f64), n, dtype or get_default_dtype())
    return cast_out(finish(x, device, requires_grad), out)


@composite
def _logspace(a: Tensor, b: Tensor, base: Tensor, n: int, dtype: DType) -> Tensor:
    return cast(apply("pow", base, _spaced(a, b, n, dtype)), dtype)


def eye(
    n: int, m: int | None = None, *, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Ones on the diagonal of an n x m (n x n) matrix, zeros elsewhere. RuntimeError for negative sizes.

    >>> ingot.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    rows = static_int(n, "n")
    columns = rows if m is None else static_int(m, "m")
    for name, v in (("n", rows), ("m", columns)):
        if v < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {v}")
    return cast_out(finish(_eye((rows, columns), dtype_of(dtype, out) or get_default_dtype()), device, requires_grad), out)


def _eye(shape: tuple[int, int], dtype: DType) -> Tensor:
    return cast(apply("eq", apply("iota", attrs=(dtypes.i64, shape, 0)), apply("iota", attrs=(dtypes.i64, shape, 1))), dtype)


def _triangle(name: str, row: int, col: int, offset: int, lower: bool, dtype: DType | None) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}: row and col must be non-negative, got {row} and {col}")
    found = np.tril_indices(row, offset, col) if lower else np.triu_indices(row, offset, col)
    return from_array(np.stack(found).astype((dtype or dtypes.i64).numpy))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: Any = None, layout: Any = None) -> Tensor:
    """Row and column indices (2, n) of the lower triangle of a row x col matrix, row by row. int64."""
    return finish(_triangle("tril_indices", row, col, offset, True, check_dtype(dtype)), device, False)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: Any = None, layout: Any = None) -> Tensor:
    """Row and column indices (2, n) of the upper triangle of a row x col matrix, row by row. int64."""
    return finish(_triangle("triu_indices", row, col, offset, False, check_dtype(dtype)), device, False)


# --- methods: new_* ---------------------------------------------------------------------------------------------------


def _new(name: str) -> Any:
    make = globals()[name]

    def method(
        self: Tensor, *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False, **unused: Any
    ) -> Tensor:
        return make(*size, dtype=dtype or self.dtype, device=beside(device, self), requires_grad=requires_grad, **unused)

    method.__name__ = method.__qualname__ = f"new_{name}"
    method.__doc__ = f"`ingot.{name}` with the dtype of this tensor as default."
    return method


new_zeros, new_ones, new_empty = _new("zeros"), _new("ones"), _new("empty")


def new_full(
    self: Tensor, size: Sequence[int], fill_value: complex, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`ingot.full` with the dtype of this tensor as default."""
    return full(size, fill_value, dtype=dtype or self.dtype, device=beside(device, self), requires_grad=requires_grad)
