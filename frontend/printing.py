"""How a tensor prints: like torch's, with precision, scientific notation, summaries of large tensors and a suffix of facts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ingot._tensor import get_default_dtype
from ingot.ir import dtypes
from ingot.runtime.recorder import here

__all__ = ["set_printoptions", "get_printoptions"]


class _Options:
    precision = 4
    threshold: float = 1000
    edgeitems = 3
    linewidth = 80
    sci_mode: bool | None = None


_PROFILES: dict[str, dict[str, Any]] = {
    "default": dict(precision=4, threshold=1000, edgeitems=3, linewidth=80),
    "short": dict(precision=2, threshold=1000, edgeitems=2, linewidth=80),
    "full": dict(precision=4, threshold=math.inf, edgeitems=3, linewidth=80),
}


def set_printoptions(
    precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None, linewidth: int | None = None,
    profile: str | None = None, sci_mode: bool | None = None,
) -> None:  # fmt: skip
    """How tensors print: digits after the point, elements before summarising, elements kept at each edge, line width.

    `profile` is "default", "short" or "full"; `sci_mode` forces scientific notation on or off. ValueError for another profile.

        >>> ingot.set_printoptions(precision=2)
        >>> ingot.tensor(0.1234)
        tensor(0.12)
        >>> ingot.set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"profile must be one of {', '.join(_PROFILES)}, not {profile!r}")
        for name, value in _PROFILES[profile].items():
            setattr(_Options, name, value)
    given = dict(precision=precision, threshold=threshold, edgeitems=edgeitems, linewidth=linewidth)
    for name, value in given.items():
        if value is not None:
            setattr(_Options, name, value)
    _Options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The present print options, by name.

    >>> ingot.get_printoptions()["precision"]
    4
    """
    return {n: getattr(_Options, n) for n in ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")}


class _Format:
    """How the elements of one tensor are written: all in one width."""

    def __init__(self, values: np.ndarray):
        self.floating = values.dtype.kind == "f"
        self.integral = True  # floats that are all whole numbers: `1.`
        self.scientific = False
        self.width = 1
        if not self.floating:
            self.width = max((len(str(v)) for v in values.reshape(-1).tolist()), default=1)
            return
        some = values.reshape(-1)
        some = some[np.isfinite(some) & (some != 0)].astype(np.float64)
        if some.size:
            size = np.abs(some)
            low, high = float(size.min()), float(size.max())
            self.integral = bool((some == np.ceil(some)).all())
            wide = high / low > 1000.0 or high > 1.0e8
            self.scientific = wide or (not self.integral and low < 1.0e-4)
            if _Options.sci_mode is not None:
                self.scientific = _Options.sci_mode
        self.width = max((len(self._text(v)) for v in some.tolist()), default=1)

    def _text(self, v: Any) -> str:
        if not self.floating:
            return str(v)
        if self.scientific:
            return f"{v:.{_Options.precision}e}"
        if self.integral:
            return f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}"
        return f"{v:.{_Options.precision}f}"

    def __call__(self, v: Any) -> str:
        return self._text(v).rjust(self.width)


class _ComplexFormat:
    """How complex numbers are written: real and imaginary parts in a width each."""

    def __init__(self, values: np.ndarray):
        self.real, self.imag = _Format(values.real), _Format(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, v: complex) -> str:
        imag = self.imag(v.imag).lstrip() + "j"
        return self.real(v.real) + ("" if imag[0] in "+-" else "+") + imag


def _edges(values: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    k = _Options.edgeitems
    for axis, n in enumerate(values.shape):
        if n > 2 * k:
            values = np.take(values, [*range(k), *range(n - k, n)], axis)
    return values


def _vector(values: np.ndarray, indent: int, summary: bool, form: _Format | _ComplexFormat) -> str:
    k = _Options.edgeitems
    if summary and values.shape[0] > 2 * k:
        cells = [form(v) for v in values[:k].tolist()] + [" ..."] + [form(v) for v in values[-k:].tolist()]
    else:
        cells = [form(v) for v in values.tolist()]
    per_line = max(1, (_Options.linewidth - indent) // (form.width + 2))
    lines = [", ".join(cells[i : i + per_line]) for i in range(0, len(cells), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(values: np.ndarray, indent: int, summary: bool, form: _Format | _ComplexFormat) -> str:
    if values.ndim == 0:
        return form(values.item())
    if values.ndim == 1:
        return _vector(values, indent, summary, form)
    k = _Options.edgeitems
    if summary and values.shape[0] > 2 * k:
        first, last = ([_nested(v, indent + 1, summary, form) for v in part] for part in (values[:k], values[-k:]))
        rows = [*first, "...", *last]
    else:
        rows = [_nested(v, indent + 1, summary, form) for v in values]
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def suffixed(text: str, suffixes: list[str], indent: int) -> str:
    """`text` with the facts after it, on new lines where a line gets too long."""
    last = len(text) - text.rfind("\n") + 1
    for s in suffixes:
        if last + len(s) + 2 > _Options.linewidth:
            text += ",\n" + " " * indent + s
            last = indent + len(s)
        else:
            text += ", " + s
            last += len(s) + 2
    return text + ")"


def array_text(values: np.ndarray, indent: int) -> str:
    """The elements of `values` in brackets, as a tensor prints them; lines after the first begin after `indent` spaces."""
    summary = values.size > _Options.threshold
    shown = _edges(values) if summary else values
    return _nested(values, indent, summary, _ComplexFormat(shown) if values.dtype.kind == "c" else _Format(shown))


def tensor_text(x: Any) -> str:
    """`tensor([...])` with its dtype, device, grad_fn or requires_grad where they are not the default. Reads the values.

    A subclass of the user's stands in the place of `tensor`.
    """
    if not here.recorder.knows(x._now()):
        return unknown_text(x)
    cls = type(x)
    prefix = "tensor(" if cls.__module__.startswith("ingot.") else f"{cls.__name__}("
    suffixes = []
    if str(x.device) != "cpu":
        suffixes.append(f"device='{x.device}'")
    usual = (get_default_dtype(), get_default_dtype().to_complex(), dtypes.i64, dtypes.bool_)
    if x.is_meta:
        suffixes.append(f"size={tuple(x.shape)}")
        if x.dtype is not usual[0]:
            suffixes.append(f"dtype={x.dtype!r}")
        body = "..."
    elif not x.numel():
        if x.ndim != 1:
            suffixes.append(f"size={tuple(x.shape)}")
        if x.dtype is not usual[0]:
            suffixes.append(f"dtype={x.dtype!r}")
        body = "[]"
    else:
        if x.dtype not in usual:
            suffixes.append(f"dtype={x.dtype!r}")
        values = x._value()
        body = array_text(values.astype(np.float32) if x.dtype in dtypes.Half else values, len(prefix))
    if x.grad_fn is not None:
        suffixes.append(f"grad_fn=<{x.grad_fn.name()}>")
    elif x.requires_grad:
        suffixes.append("requires_grad=True")
    return suffixed(prefix + body, suffixes, len(prefix))


def tensor_format(x: Any, spec: str) -> str:
    """`format(x, spec)`: of the number, for a 0-d tensor; else the text of the tensor, which takes no spec (TypeError)."""
    if not here.recorder.knows(x._now()):
        return unknown_text(x)
    return format(x.item(), spec) if not x.ndim else object.__format__(x, spec)


def unknown_text(x: Any) -> str:
    """What stands for a tensor's text while a function is compiled, and where the tensor will be computed."""
    return f"tensor(<{list(x.shape)}, {x.dtype!r}: not known while compiling; ingot.debug.print shows it at each call>)"


METHODS = {"__repr__": tensor_text, "__format__": tensor_format}
