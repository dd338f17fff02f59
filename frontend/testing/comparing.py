"""`assert_close`: whether what was computed is what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.ir.dtypes import DType

__all__ = ["assert_allclose", "assert_close"]

# dtype -> (rtol, atol); of two dtypes the larger ones count, and any other is compared exactly
TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip


class _Options:
    def __init__(self, rtol: float | None, atol: float | None, msg: Any, **flags: bool):
        if (rtol is None) != (atol is None):
            given, other = ("rtol", "atol") if atol is None else ("atol", "rtol")
            raise ValueError(
                f"Both 'rtol' and 'atol' must be either specified or unspecified, but got no {other} although {given} was given instead."
            )
        self.rtol, self.atol, self.msg, self.flags = rtol, atol, msg, flags

    def tolerances(self, *dtypes: DType) -> tuple[float, float]:
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        pairs = [TOLERANCES.get(d.torch_name, (0.0, 0.0)) for d in dtypes]
        return max(p[0] for p in pairs), max(p[1] for p in pairs)

    def fail(self, text: str, place: str) -> AssertionError:
        if place:
            text += f"\n\nThe failure occurred for item {place}"
        if callable(self.msg):
            text = self.msg(text)
        elif self.msg is not None:
            text = str(self.msg)
        return AssertionError(text)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError, saying where and by how much, unless |actual - expected| <= atol + rtol * |expected| everywhere.

    actual, expected: tensors, arrays, numbers, None, or sequences and mappings of them, alike in structure.
    rtol, atol: both or none (ValueError); without, by dtype: 1.3e-6 and 1e-5 for float32, 0 for integers.
    check_dtype, check_stride: whether these have to be equal too. msg: the error's text, or a function of the text made.
    TypeError for what cannot be compared.

    >>> ingot.testing.assert_close(ingot.ones(2), ingot.ones(2) + 1e-7)
    >>> ingot.testing.assert_close([1.0], [1.1])
    Traceback (most recent call last):
    AssertionError: Scalars are not close!
    <BLANKLINE>
    Expected 1.1 but got 1.0.
    Absolute difference: 0.10000000000000009 (up to 1e-07 allowed)
    Relative difference: 0.09090909090909098 (up to 1e-07 allowed)
    <BLANKLINE>
    The failure occurred for item [0]
    """
    flags = dict(
        equal_nan=equal_nan, check_device=check_device, check_dtype=check_dtype, check_layout=check_layout, check_stride=check_stride
    )
    _compare(actual, expected, _Options(rtol, atol, msg, **flags), "")


def _compare(actual: Any, expected: Any, options: _Options, place: str) -> None:
    if actual is None and expected is None:
        return
    actual, expected = (x.item() if isinstance(x, np.generic) else x for x in (actual, expected))
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            missing, more = sorted(map(repr, expected.keys() - actual.keys())), sorted(map(repr, actual.keys() - expected.keys()))
            raise options.fail(
                f"The keys of the mappings do not match:\nMissing keys in the actual mapping: [{', '.join(missing)}]\n"
                f"Additional keys in the actual mapping: [{', '.join(more)}]", place
            )  # fmt: skip
        for key in expected:
            _compare(actual[key], expected[key], options, f"{place}[{key!r}]")
    elif _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            raise options.fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", place)
        for i, (a, b) in enumerate(zip(actual, expected)):
            _compare(a, b, options, f"{place}[{i}]")
    elif isinstance(actual, bool) and isinstance(expected, bool):
        if actual is not expected:
            raise options.fail(f"Booleans mismatch: {actual} is not {expected}", place)
    elif isinstance(actual, (int, float)) and isinstance(expected, (int, float)):
        _compare_numbers(actual, expected, options, place)
    else:
        _compare_tensors(_tensor(actual), _tensor(expected), options, place)


def _is_sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str)


def _tensor(x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x.detach()
    if isinstance(x, (np.ndarray, np.generic, bool, int, float)):
        return ingot.as_tensor(x)
    raise TypeError(f"assert_close compares tensors, arrays, numbers, None, and sequences and mappings of them, not {type(x).__name__}")


def _compare_numbers(actual: float, expected: float, options: _Options, place: str) -> None:
    if options.flags["check_dtype"] and type(actual) is not type(expected):
        raise options.fail(f"The (d)types do not match: {type(actual)} != {type(expected)}.", place)
    kinds = [ingot.float64 if isinstance(x, float) else ingot.int64 for x in (actual, expected)]
    rtol, atol = options.tolerances(*kinds)
    if actual == expected or (options.flags["equal_nan"] and actual != actual and expected != expected):
        return
    difference = abs(actual - expected)
    if difference <= atol + rtol * abs(expected) and abs(actual) != float("inf") != abs(expected):
        return
    relative = difference / abs(expected) if expected else float("inf")
    head = "Scalars are not close!" if rtol or atol else "Scalars are not equal!"
    lines = [head, "", f"Expected {expected!r} but got {actual!r}.", f"Absolute difference: {difference}{_allowed(atol)}"]
    raise options.fail("\n".join([*lines, f"Relative difference: {relative}{_allowed(rtol)}"]), place)


def _allowed(tolerance: float) -> str:
    return f" (up to {tolerance} allowed)" if tolerance else ""


def _compare_tensors(actual: Tensor, expected: Tensor, options: _Options, place: str) -> None:
    flags = options.flags
    if tuple(actual.shape) != tuple(expected.shape):
        raise options.fail(f"The values for attribute 'shape' do not match: {_size(actual)} != {_size(expected)}.", place)
    if flags["check_dtype"] and actual.dtype is not expected.dtype:
        raise options.fail(f"The values for attribute 'dtype' do not match: {actual.dtype} != {expected.dtype}.", place)
    if flags["check_stride"] and actual.stride() != expected.stride():
        raise options.fail(f"The values for attribute 'stride()' do not match: {actual.stride()} != {expected.stride()}.", place)
    rtol, atol = options.tolerances(actual.dtype, expected.dtype)
    a, b = actual.numpy(), expected.numpy()
    if actual.dtype is not expected.dtype:
        common = ingot.promote_types(actual.dtype, expected.dtype)
        a, b = actual.to(common).numpy(), expected.to(common).numpy()
    close = _close(a, b, rtol, atol, flags["equal_nan"])
    if not close.all():
        raise options.fail(_difference(a, b, close, rtol, atol), place)


def _size(t: Tensor) -> str:
    return str(t.shape)


def _wide(x: np.ndarray) -> np.ndarray:
    return x if x.dtype.kind == "c" else x.astype(np.int64 if x.dtype.kind in "biu" and x.dtype != np.uint64 else np.float64)


def _close(a: np.ndarray, b: np.ndarray, rtol: float, atol: float, equal_nan: bool) -> np.ndarray:
    same = a == b
    if rtol or atol:
        x, y = _wide(a), _wide(b)
        with np.errstate(all="ignore"):
            same = same | (np.isfinite(x) & np.isfinite(y) & (np.abs(x - y) <= atol + rtol * np.abs(y)))
    if equal_nan:
        same = same | ((a != a) & (b != b))
    return np.asarray(same)


def _difference(a: np.ndarray, b: np.ndarray, close: np.ndarray, rtol: float, atol: float) -> str:
    what = "Scalars" if a.ndim == 0 else "Tensor-likes"
    lines = [f"{what} are not {'close' if rtol or atol else 'equal'}!", ""]
    x, y = _wide(a), _wide(b)
    with np.errstate(all="ignore"):
        difference = np.where(close, 0, np.abs(x - y)) if rtol or atol else np.abs(x - y)
        # as torch's own arithmetic gives it: numbers in float64, tensors in their dtype
        narrow = np.float64 if a.ndim == 0 or a.dtype in (np.float64, np.complex128) else np.float32
        relative = np.where(close & (difference == 0), 0.0, difference.astype(narrow) / np.abs(y).astype(narrow))
    if a.ndim == 0:
        lines += [f"Expected {b.item()} but got {a.item()}.", f"Absolute difference: {difference.item()}{_allowed(atol)}"]
        return "\n".join([*lines, f"Relative difference: {relative.item()}{_allowed(rtol)}"])
    wrong = int((~close).sum())
    lines.append(f"Mismatched elements: {wrong} / {close.size} ({100 * wrong / close.size:.1f}%)")
    for name, values, tolerance in (("absolute", difference, atol), ("relative", relative, rtol)):
        at = np.unravel_index(int(np.argmax(values)), values.shape)
        lines.append(f"Greatest {name} difference: {values[at].item()} at index {tuple(map(int, at))}{_allowed(tolerance)}")
    return "\n".join(lines)


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True, msg: str = ""
) -> None:
    """`assert_close` as it was: NaN equals NaN, and dtypes may differ.

    >>> ingot.testing.assert_allclose(ingot.ones(2), np.ones(2))
    """
    actual, expected = (x if isinstance(x, Tensor) else ingot.tensor(x) for x in (actual, expected))
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)
