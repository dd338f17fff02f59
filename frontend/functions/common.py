"""What the function modules share: checks, promotion, dims, `out=`."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor, get_default_dtype, wrap
from ingot._tensor.extents import Extent, extents, plain_dims
from ingot._tensor.reals import Real
from ingot._tensor.recording import cast, from_array, inplace, record, scalar, stop_gradient
from ingot.ir import dtypes, types
from ingot.ir import ops as _ops  # noqa: F401  (fills OPS)
from ingot.ir.dtypes import DType, promote
from ingot.ir.op import OPS
from ingot.ir.size import ShapeError
from ingot.runtime.recorder import here

__all__ = [
    "Number", "OPS", "ShapeError", "Tensor", "apply", "as_index", "as_int", "before", "broadcast_shapes", "can_cast", "cast",
    "check_tensor", "common_dtype", "dim_list", "dtype_name", "dtypes", "emit_out", "float_dtype", "from_end", "get_default_dtype",
    "inside", "is_number", "larger", "named", "named_arg", "number_dtype", "number_tensor", "one_dim", "operand", "operands",
    "python_number", "record", "refuse", "safe_root", "same_shape", "scalar", "settled", "several", "shape_arg", "size_arg",
    "smaller", "static_int", "stop_gradient", "store", "upcast",
]  # fmt: skip

Number = int | float | bool

# torch's names of the element types in its messages
_TITLES = {
    "bool": "Bool", "u8": "Byte", "i8": "Char", "i16": "Short", "i32": "Int", "i64": "Long", "u16": "UInt16", "u32": "UInt32",
    "u64": "UInt64",    "f16": "Half", "bf16": "BFloat16", "f32": "Float", "f64": "Double",
    "c64": "ComplexFloat", "c128": "ComplexDouble",
}  # fmt: skip


def dtype_name(dtype: DType) -> str:
    """The dtype's name as torch's messages write it: `Long` for int64."""
    return _TITLES[dtype.name]


def is_number(x: Any) -> bool:
    """True for Python and NumPy numbers that may stand as a scalar operand."""
    return isinstance(x, (bool, int, float, complex)) or (hasattr(x, "dtype") and not isinstance(x, Tensor) and getattr(x, "ndim", 1) == 0)


def python_number(x: Any) -> Any:
    """A number of Python or NumPy as one of Python. TypeError for anything else."""
    if isinstance(x, (bool, int, float, complex)):
        return x
    if not is_number(x):
        raise TypeError(f"expected a number, but got {type(x).__name__}")
    return x.item()


def operand(self: Tensor, other: Any) -> Any:
    """The other side of an operator, as the function takes it; None for what is neither a Tensor, a number nor a NumPy array."""
    if isinstance(other, (Tensor, int, float)) or is_number(other):
        return other
    if isinstance(other, np.ndarray):
        return from_array(other.astype(np.result_type(self.dtype.numpy, other.dtype)))
    return None


def check_tensor(name: str, value: Any, argument: str = "input", position: int = 1) -> None:
    """TypeError, in torch's words, unless `value` is a Tensor."""
    if not isinstance(value, Tensor):
        hint = "; ingot.overrides.install() has functions ask such classes" if hasattr(type(value), "__torch_function__") else ""
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Tensor, not {type(value).__name__}{hint}")


def refuse(name: str, dtype: DType) -> NotImplementedError:
    """The error of a function that has no meaning for `dtype`: torch's class, which is a RuntimeError."""
    return NotImplementedError(f'"{name}" not implemented for \'{dtype_name(dtype)}\'')


def apply(name: str, *tensors: Tensor, attrs: tuple = ()) -> Any:
    """Record the op called `name`."""
    return record(OPS[name], tensors, attrs)


def float_dtype(dtype: DType) -> DType:
    """`dtype` where it is floating or complex, else the default dtype: what functions such as exp compute in."""
    return dtype if dtype.kind in "fc" else get_default_dtype()


def upcast(x: Tensor) -> Tensor:
    """Half values as float32, for compositions that must round only once."""
    return cast(x, dtypes.f32) if x.dtype in dtypes.Half else x


def safe_root(x: Tensor) -> Tensor:
    """sqrt with gradient 0 at 0."""
    zero = x == 0
    return apply("select", zero, scalar(0, x.dtype), apply("sqrt", apply("select", zero, scalar(1, x.dtype), x)))


def inside(x: Tensor, low: float, high: float, rule: Callable[[Tensor], Tensor]) -> Tensor:
    """rule(x) in the open interval; at its ends -+infinity with an infinite gradient, and beyond them NaN with a NaN gradient."""
    within = apply("logical_and", x > low, x < high)
    middle = scalar((low + high) / 2, x.dtype)
    end = apply("logical_or", x == low, x == high)
    slope = apply("select", within, scalar(1, x.dtype), apply("select", end, scalar(math.inf, x.dtype), scalar(math.nan, x.dtype)))
    return apply("select", within, rule(apply("select", within, x, middle)), (x - middle) * slope)


def number_dtype(x: Any) -> DType:
    """The dtype that a Python or NumPy number brings to a promotion."""
    if isinstance(x, bool):
        return dtypes.bool_
    if isinstance(x, int):
        return dtypes.i64
    if isinstance(x, float):
        return get_default_dtype()
    if isinstance(x, complex):
        return get_default_dtype().to_complex()
    return number_dtype(x.item())


def _combine(higher: DType | None, lower: DType | None) -> DType | None:
    """torch's rule between categories: tensors with dims, 0-d tensors, Python numbers, in falling priority."""
    if higher is None or lower is None:
        return higher or lower
    if higher.kind == "f" and lower.kind == "c":
        return higher.to_complex()
    if higher.kind in "fc" or (lower.kind not in "fc" and higher.kind != "b"):
        return higher
    return promote(higher, lower)


def common_dtype(*values: Any) -> DType:
    """The dtype torch gives an operation on `values` (Tensors and numbers): `torch.result_type` for any number of operands."""
    dims = zero = number = None
    for v in values:
        if isinstance(v, Tensor) and not v._weak:
            if v.ndim:
                dims = v.dtype if dims is None else promote(dims, v.dtype)
            else:
                zero = v.dtype if zero is None else promote(zero, v.dtype)
        else:
            d = v.dtype if isinstance(v, Tensor) else number_dtype(v)
            number = d if number is None else promote(number, d)
    if number is not None and number.kind == "f" and (dims or zero):
        number = get_default_dtype()  # the float argument of a compiled function is kept in float64, and counts as a Python number
    result = _combine(dims, _combine(zero, number))
    assert result is not None
    return result


def settled(x: Any) -> Any:
    """What is made of a number is a tensor: the float argument of a compiled function in the default dtype; anything else as it is."""
    if not isinstance(x, Tensor) or not x._weak:
        return x
    x = cast(x, get_default_dtype())
    return wrap((x._array, x._edge))


_LARGEST = {dtypes.f16: 65504.0, dtypes.bf16: 255 * 2.0**120, dtypes.f32: (2 - 2.0**-23) * 2.0**127, dtypes.f64: math.inf}


def number_tensor(value: Any, dtype: DType, wrap: bool = False) -> Tensor:
    """A number as a run-time scalar of `dtype`. An int that an integer dtype cannot hold wraps around, or is a RuntimeError.

    Negative ints down to minus the largest are taken by unsigned dtypes too, as in torch.
    """
    if isinstance(value, Tensor) or type(value) in (Extent, Real):
        return scalar(value, dtype)  # the float argument of a compiled function
    value = python_number(value)
    if dtype.kind in "iu" and isinstance(value, int):
        span = 1 << dtype.bits
        if wrap or (dtype.kind == "u" and -span < value < 0):
            value %= span
            if dtype.kind == "i" and value >= span >> 1:
                value -= span
    return scalar(value, dtype)


def filler(value: Any, dtype: DType) -> Tensor:
    """`number_tensor` of what elements are filled with: a RuntimeError also where a finite number would become infinite."""
    if dtype.kind == "f" and type(value) in (int, float) and math.isfinite(value) and abs(value) > _LARGEST[dtype]:
        raise RuntimeError(f"value cannot be converted to type {dtype.torch_name} without overflow: {value}")
    return number_tensor(value, dtype)


def operands(name: str, *values: Any, dtype: DType | None = None, wrap: bool = True) -> tuple[Tensor, ...]:
    """`values` as Tensors of one dtype: the common one unless `dtype` is given. Numbers become run-time scalars, see `number_tensor`.

    TypeError, in torch's words, for what is neither a Tensor nor a number.
    """
    if dtype is None:
        if len(values) == 2 and isinstance(values[0], Tensor):  # what most operations are given
            a, b = values
            own = a.dtype
            if isinstance(b, Tensor):
                if b.dtype is own:
                    return values
            elif (type(b) is float or type(b) is int) and own.kind == "f" and not a._weak:
                return a, scalar(b, own)
        for i, v in enumerate(values):
            if not isinstance(v, Tensor) and not is_number(v):
                argument = ("input", "other", "third")[i]
                raise TypeError(f"{name}(): argument '{argument}' (position {i + 1}) must be Tensor, not {type(v).__name__}")
        dtype = common_dtype(*values)
    return tuple([cast(v, dtype) if isinstance(v, Tensor) else number_tensor(v, dtype, wrap) for v in values])


def one_dim(dim: Any, rank: int) -> int:
    """`dim` made non-negative. IndexError outside the range; a 0-d tensor has the dims -1 and 0. TypeError if not an integer."""
    if type(dim) is not int:
        dim = static_int(dim, "dim")
    low, high = (-rank, rank - 1) if rank else (-1, 0)
    if not low <= dim <= high:
        raise IndexError(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {dim})")
    return dim + max(rank, 1) if dim < 0 else dim


def static_int(value: Any, what: str) -> int:
    """`value` as a Python int, which may be an extent that remembers. TypeError for floats and the like."""
    if type(value) is Extent:
        return value  # type: ignore[return-value]  # an int, as Python sees it
    if isinstance(value, bool):
        raise TypeError(f"{what} must be int, not bool")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be int, not {type(value).__name__}") from None


def as_int(value: Any) -> int:
    """`int(value)`, which may be an extent that remembers."""
    return value if type(value) is Extent else int(value)  # type: ignore[return-value]  # an int, as Python sees it


def as_index(value: Any) -> int:
    """An int, or what a tensor of one integer holds. TypeError for anything else."""
    return value if type(value) is Extent else operator.index(value)  # type: ignore[return-value]


def from_end(i: int, n: int) -> int:
    """Index `i`, which counts from the end where it is negative, in a dim of `n`."""
    return i + n if i < 0 else i


def larger(a: int, b: int) -> int:
    """`max(a, b)`, which asks no more of extents that remember than it has to."""
    return b if a <= b else a


def smaller(a: int, b: int) -> int:
    """`min(a, b)`, likewise."""
    return a if a <= b else b


def dim_list(dim: Any, rank: int, all_if_empty: bool = True) -> tuple[int, ...]:
    """Sorted non-negative dims of an argument that may be None (all), an int or a sequence of distinct ints."""
    if isinstance(dim, Tensor):
        dim = several(dim)
    if dim is None or (all_if_empty and not isinstance(dim, int) and hasattr(dim, "__len__") and len(dim) == 0):
        return tuple(range(rank))
    if isinstance(dim, (tuple, list)):
        dims = [one_dim(d, rank) for d in dim]
        for d in dims:
            if dims.count(d) > 1:
                raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
        return tuple(sorted(dims)) if rank else ()
    d = one_dim(dim, rank)
    return (d,) if rank else ()


def several(value: Any) -> list[Any]:
    """What an argument that is one int (or a tensor of one) or a sequence of them has."""
    one = isinstance(value, int) or (isinstance(value, Tensor) and not value.ndim)
    return [value] if one else list(value)


def shape_arg(size: Sequence[Any], name: str = "size") -> tuple[int, ...]:
    """The shape given as `f(2, 3)` or `f((2, 3))`."""
    if len(size) == 1 and not isinstance(size[0], int) and hasattr(size[0], "__iter__"):
        size = several(size[0])
    return tuple([d if type(d) is int else static_int(d, name) for d in size])


def named_arg(function: str, given: Sequence[Any], named: Sequence[Any]) -> tuple:
    """The arguments of `f(2, 3)` where they came by name: the one of `named` that is not None. TypeError where others came, too."""
    found = [a for a in named if a is not None]
    if given or len(found) > 1:
        raise TypeError(f"{function}() got multiple values for one argument")
    return (found[0],)


def size_arg(function: str, size: Sequence[Any], named: dict[str, Any]) -> Sequence[Any]:
    """`size` of `f(2, 3)` or `f((2, 3))`; or that of `f(size=(2, 3))`, in `named`. TypeError where that has something else."""
    if not named:
        return size
    other = next((k for k in named if k != "size"), None)
    if other is not None or size:
        raise TypeError(f"{function}() got an unexpected keyword argument {other or 'size'!r}")
    return (named["size"],)


def broadcast_shapes(*shapes: Sequence[Any]) -> tuple[int, ...]:
    """The common shape under broadcasting. ShapeError if there is none."""
    return extents(types.broadcast_shapes(*[plain_dims(tuple(s)) for s in shapes]))


def can_cast(source: DType, target: DType) -> bool:
    """torch.can_cast: False where the value category would be lost (float to int, number to bool)."""
    rank = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
    if source.kind == "i" and target.kind == "u":
        return True
    return rank[source.kind] <= rank[target.kind]


def fits(out: Tensor, shape: tuple) -> bool:
    """Whether `out` has this shape."""
    return len(out.shape) == len(shape) and all([a == b for a, b in zip(out.shape, shape)])


def same_shape(out: Tensor, shape: tuple) -> None:
    if not fits(out, shape):
        raise ShapeError(f"output with shape {list(out.shape)} doesn't match the broadcast shape {list(shape)}")


def check_cast(value: Tensor, target: Tensor) -> None:
    """RuntimeError where the dtype of `target` has no room for those of `value`'s kind."""
    if not can_cast(value.dtype, target.dtype):
        raise RuntimeError(
            f"result type {dtype_name(value.dtype)} can't be cast to the desired output type {dtype_name(target.dtype)}"
        )


def store(target: Tensor, value: Tensor) -> Tensor:
    """Write `value` into `target`, in place: dtype category and shape must fit, as in torch. Returns `target`."""
    check_cast(value, target)
    same_shape(target, value.shape)
    return inplace(target, cast(value, target.dtype))


def before(x: Tensor) -> Tensor:
    """The value of `x` under a handle of its own: what an in-place operation reads may be saved, and is not the tensor it writes to."""
    return wrap(x._owned())


def emit_out(result: Any, out: Any, casts: bool = False) -> Any:
    """`result`, written into `out` where the caller gave one (a Tensor, or a tuple of them for several results).

    casts: `out` need only have room for numbers of the result's kind; else it must be of the result's dtype. RuntimeError where it is
    not, and where a gradient would be wanted.
    """
    if out is None:
        return result
    if isinstance(result, tuple):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise TypeError(f"out must be a tuple of {len(result)} Tensors")
        for r, o in zip(result, out):
            emit_out(r, o, casts)
        return type(result)(*out) if hasattr(result, "_fields") else tuple(out)
    check_tensor("out", out, "out")
    if here.recorder.grad_enabled and (result.requires_grad or out.requires_grad):
        one = "one of the arguments" if result.requires_grad else "`out`"
        raise RuntimeError(f"functions with out=... arguments don't support automatic differentiation, but {one} requires grad.")
    if not casts and out.dtype is not result.dtype:
        raise RuntimeError(f"Expected out tensor to have dtype {dtype_name(result.dtype)}, but got {dtype_name(out.dtype)} instead")
    if not fits(out, result.shape) and out._base is None:
        check_cast(result, out)
        _make_room(out, result)
    return store(out, result)


def cast_out(result: Any, out: Any) -> Any:
    """As `emit_out`, of a function whose results are cast to the dtype of `out`: float to a wider or narrower float, say."""
    return emit_out(result, out, True)


def _make_room(out: Tensor, result: Tensor) -> None:
    """Give `out` the shape of what is to be written to it: without a word where it is empty, else with a warning, as in torch."""
    if out.numel():
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(out.shape)}, which does not match the required "
            f"output shape {list(result.shape)}; resize_(0) it first to use its memory again",
            stacklevel=4,
        )
    out.data = apply("broadcast", scalar(0, out.dtype), attrs=(tuple(result.shape),))


def named(method: Callable[..., Any], name: str, doc: str | None = None) -> Callable[..., Any]:
    """`method` under another name, with this docstring, if one is given."""
    method.__name__ = method.__qualname__ = name
    method.__doc__ = method.__doc__ if doc is None else doc
    return method
