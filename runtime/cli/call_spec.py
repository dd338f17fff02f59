"""A call written as text, with types for tensors: what `ingot cache warm` is told to build.

    train:step(f32[32,784], i64[32])
    app.models:net.encoder.forward(f32[8,128], 0.5, mask=bool[8], sizes=(1, 2))

Before the colon a module, behind it an attribute that is called. Tensors are written as IR types (f32, f64, f16, bf16, i8 … i64,
u8 … u64, bool; `f32[]` has rank 0); everything else is a Python literal, and tuples, lists and dicts may nest.
"""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections.abc import Sequence
from typing import Any, NamedTuple

from ingot.runtime.cli.output import CommandError

__all__ = ["CallSpec", "Tensor", "parse", "read"]

_FORM = "expected package.module:attribute(f32[32,784], 0.5, name=i64[3])"
_CALL = re.compile(r"\s*([^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*:\s*(.*)", re.DOTALL)
_MAX_RANK, _MAX_DIM = 64, 1 << 62


class Tensor(NamedTuple):
    """The place of a tensor among the arguments."""

    dtype: str
    shape: tuple[int, ...]


class CallSpec(NamedTuple):
    """A call: where the function is found, and its arguments, which hold a Tensor for each tensor."""

    text: str
    module: str
    attribute: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def read(words: Sequence[str]) -> list[CallSpec]:
    """The calls that the words stand for, each a SPEC or the name of a file with one SPEC per line. CommandError says what is wrong.

    In a file empty lines and what follows a `#` are skipped.
    """
    found: list[CallSpec] = []
    for word in words:
        if _CALL.fullmatch(word) and not os.path.isfile(word):
            found.append(parse(word))
            continue
        if not os.path.exists(word):
            raise CommandError(f"{word!r} is neither a file nor a call: {_FORM}")
        try:
            with open(word, encoding="utf-8") as f:
                lines = f.read().splitlines()
        except UnicodeDecodeError:
            raise CommandError(f"{word} is no text: expected one call per line") from None
        for i, line in enumerate(lines, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                try:
                    found.append(parse(line))
                except CommandError as e:
                    raise CommandError(f"{word}:{i}: {e}") from None
    if not found:
        raise CommandError(f"{', '.join(words)}: no call in it; {_FORM}")
    return list({s.text: s for s in found}.values())


def parse(text: str) -> CallSpec:
    """The call that `text` is. CommandError says what is wrong with it.

    >>> parse("train:step(f32[2,3], lr=0.1)").args
    (Tensor(dtype='f32', shape=(2, 3)),)
    """
    found = _CALL.fullmatch(text)
    if not found:
        raise CommandError(f"{text.strip()!r} is no call: {_FORM}")
    module, rest = found.groups()
    try:
        clean, python = _tokens(rest)
        node = ast.parse(python, mode="eval").body
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError):
        raise CommandError(f"{text.strip()!r} is no call: {_FORM}") from None
    if not isinstance(node, ast.Call):
        raise CommandError(f"{text.strip()!r} says no arguments: {_FORM}")
    try:
        return CallSpec(f"{module}:{clean}", module, _dotted(node.func), tuple(map(_value, node.args)), _keywords(node.keywords))
    except CommandError as e:
        raise CommandError(f"{module}:{clean}: {e}") from None
    except RecursionError:
        raise CommandError(f"{text.strip()[:80]!r} is nested too deeply") from None


def _tokens(text: str) -> tuple[str, str]:
    """The text without a comment, and as Python reads it: `f32[]` has an empty tuple between its brackets."""
    end = len(text)
    insert: list[int] = []
    before = last = tokenize.TokenInfo(tokenize.NL, "", (0, 0), (0, 0), "")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for t in tokenize.generate_tokens(io.StringIO(text).readline):
        at = starts[min(t.start[0] - 1, len(starts) - 1)] + t.start[1]
        if t.type == tokenize.COMMENT:
            end = min(end, at)
        if t.string == "]" and last.string == "[" and before.type == tokenize.NAME:
            insert.append(at)
        if t.string.strip():
            before, last = last, t
    python = text[:end]
    for at in reversed(insert):
        python = python[:at] + "()" + python[at:]
    return text[:end].strip(), python.strip()


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise CommandError(f"what is called is a name, not {ast.unparse(node)}")


def _keywords(given: list[ast.keyword]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for k in given:
        if k.arg is None or k.arg in found:
            raise CommandError("** stands for no argument" if k.arg is None else f"{k.arg} is given twice")
        found[k.arg] = _value(k.value)
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return _tensor(node.value.id, node.slice)
    if isinstance(node, ast.Constant) and node.value is not ...:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _value(node.operand)
        if type(value) in (int, float):
            return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Tuple):
        return tuple(_value(x) for x in node.elts)
    if isinstance(node, ast.List):
        return [_value(x) for x in node.elts]
    if isinstance(node, ast.Dict):
        if any(not isinstance(k, ast.Constant) for k in node.keys):
            raise CommandError("the keys of a dict are literals")
        return {k.value: _value(v) for k, v in zip(node.keys, node.values) if isinstance(k, ast.Constant)}
    raise CommandError(f"{ast.unparse(node)} is neither a tensor's type, as f32[32,784], nor a Python literal")


def _tensor(name: str, dims: ast.expr) -> Tensor:
    from ingot.ir import dtypes

    known = [d.name for d in dtypes.ALL]
    if name not in known:
        raise CommandError(f"there is no dtype {name}: expected one of {', '.join(known)}")
    shape = _value(dims)
    shape = shape if isinstance(shape, tuple) else (shape,)
    if len(shape) > _MAX_RANK or any(type(d) is not int or not 0 <= d < _MAX_DIM for d in shape):
        raise CommandError(f"the dims of {name}[{ast.unparse(dims)}] are not all integers of at least 0")
    return Tensor(name, shape)
