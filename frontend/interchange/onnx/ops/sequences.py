"""Sequences, as lists, and optionals, as a value or None."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot.interchange.onnx.ops.movement import ints
from ingot.interchange.onnx.rules import Call, op

__all__: list[str] = []


@op("SequenceConstruct", raw=True)
def sequence_construct(*xs: Any) -> list[Any]:
    return list(xs)


@op("SequenceEmpty", raw=True)
def sequence_empty(*, dtype: int = 1) -> list[Any]:
    return []


def _place(c: Call, position: Any, n: int, end: int) -> int:
    at = end if position is None else int(c.known(position, "the position").reshape(-1)[0])
    at += n if at < 0 else 0
    if not 0 <= at <= n:
        raise IndexError(f"position {at} in a sequence of {n}")
    return at


@op("SequenceAt", raw=True)
def sequence_at(c: Call, s: list[Any], position: Any) -> Any:
    return s[_place(c, position, len(s), 0)]


@op("SequenceInsert", raw=True)
def sequence_insert(c: Call, s: list[Any], x: Any, position: Any = None) -> list[Any]:
    at = _place(c, position, len(s), len(s))
    return [*s[:at], x, *s[at:]]


@op("SequenceErase", raw=True)
def sequence_erase(c: Call, s: list[Any], position: Any = None) -> list[Any]:
    at = _place(c, position, len(s), len(s) - 1)
    return [*s[:at], *s[at + 1 :]]


@op("SequenceLength", raw=True)
def sequence_length(s: list[Any]) -> np.ndarray:
    return np.array(len(s), np.int64)


@op("SplitToSequence", raw=True)
def split_to_sequence(c: Call, x: Any, split: Any = None, *, axis: int = 0, keepdims: int = 1) -> list[Any]:
    x = c.tensor(x)
    if split is None:
        parts = list(ingot.split(x, 1, axis))
        return parts if keepdims else [p.squeeze(axis) for p in parts]
    given = c.known(split, "split")
    return list(ingot.split(x, ints(given) if given.ndim else int(given), axis))


@op("ConcatFromSequence", raw=True)
def concat_from_sequence(c: Call, s: list[Any], *, axis: int, new_axis: int = 0) -> Any:
    parts = [c.tensor(x) for x in s]
    return ingot.stack(parts, axis) if new_axis else ingot.cat(parts, axis)


@op("SequenceMap", raw=True)
def sequence_map(c: Call, s: list[Any], *more: Any, body: Any) -> tuple[Any, ...]:
    outs: list[list[Any]] = [[] for _ in body.outputs]
    for i, x in enumerate(s):
        for out, value in zip(outs, c.body(body, [x, *[m[i] if isinstance(m, list) else m for m in more]])):
            out.append(value)
    return tuple(outs)


@op("Optional", raw=True)
def optional(x: Any = None, *, type: Any = None) -> Any:
    return x


@op("OptionalGetElement", raw=True)
def optional_get_element(x: Any) -> Any:
    if x is None:
        raise ValueError("the optional is empty")
    return x


@op("OptionalHasElement", raw=True)
def optional_has_element(x: Any = None) -> np.ndarray:
    return np.array(x is not None)
