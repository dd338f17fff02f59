"""Op sets before those that the other modules write for: what an op had as attributes then, and what is written in its place.

Each row is a function of the writer, the node's inputs and its attributes, for op sets below a number. It gives other inputs and
attributes for the same op, or the name of what stands for its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from ingot.interchange.onnx.emit.writer import Writer

__all__ = ["OLDER", "UnsupportedError"]

Changed = tuple[list[str], dict[str, Any]] | str
OLDER: dict[str, tuple[int, Callable[[Any, list[str], dict[str, Any]], Any]]] = {}


class UnsupportedError(RuntimeError):
    """What ONNX, at the op set that was asked for, has no op for."""


def _below(version: int, *ops: str) -> Callable[[Callable], Callable]:
    def enter(fn: Callable) -> Callable:
        for op in ops:
            OLDER[op] = version, fn
        return fn

    return enter


def _known(w: Writer, name: str) -> list[int]:
    """A vector that is written as it is."""
    found = w.root.initializers.get(name)
    if found is None:
        raise UnsupportedError(f"axes and parts that are computed need op set 13, and {w.opset} was asked for")
    return np.asarray(found).reshape(-1).tolist()


@_below(13, "Squeeze", "Unsqueeze")
def _axes(w: Writer, xs: list[str], attrs: dict[str, Any]) -> Changed:
    return xs[:1], {**attrs, "axes": _known(w, xs[1])}


@_below(13, "Split")
def _split(w: Writer, xs: list[str], attrs: dict[str, Any]) -> Changed:
    return xs[:1], {**attrs, "split": _known(w, xs[1])}


@_below(15, "Shape")
def _shape(w: Writer, xs: list[str], attrs: dict[str, Any]) -> Changed:
    if not attrs:
        return xs, attrs
    return w.node("Slice", w.node("Shape", *xs), w.ints([attrs["start"]]), w.ints([attrs["end"]]))


@_below(14, "Reshape")
def _reshape(w: Writer, xs: list[str], attrs: dict[str, Any]) -> Changed:
    if attrs.get("allowzero") and 0 in _known(w, xs[1]):
        raise UnsupportedError("shapes that have an extent of 0 need op set 14")
    return xs, {}


def _or_equal(strict: str) -> Callable:
    return lambda w, xs, attrs: w.node("Or", w.node(strict, *xs), w.node("Equal", *xs))


OLDER["LessOrEqual"], OLDER["GreaterOrEqual"] = (12, _or_equal("Less")), (12, _or_equal("Greater"))


def _refused(version: int, *ops: str) -> None:
    for op in ops:

        def refuse(w: Writer, xs: Sequence[str], attrs: dict[str, Any], op: str = op) -> NoReturn:
            raise UnsupportedError(f"{op} needs op set {version}, and {w.opset} was asked for")

        OLDER[op] = version, refuse


_refused(12, "Einsum")
_refused(18, "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot")
