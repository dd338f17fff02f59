"""Reading the text form of graphs (`ir/text.py` writes it). Every type is checked against the op's own rule."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable
from math import inf
from typing import Any, NoReturn

import numpy as np

from ingot.ir.dtypes import ALL, DType, by_name
from ingot.ir.graph import Const, Graph, Node, Value
from ingot.ir.op import OPS, infer
from ingot.ir.size import ShapeError, Symbol, at_most, larger, smaller, symbol
from ingot.ir.types import Dim, TensorType, tensor_type

__all__ = ["parse", "parse_size", "ParseError"]


class ParseError(ValueError):
    """Text that is no graph: the message names the line and what was expected."""


_TOKEN = re.compile(
    r"""[ \t\r\n]+ | //[^\n]*
    | (?P<data>(?:sha256|base64):[A-Za-z0-9+/=]*)
    | (?P<float>-?(?:0x[0-9a-f]+(?:\.[0-9a-f]*)?p[+-]?\d+ | \d+\.\d*(?:[eE][+-]?\d+)? | \d+[eE][+-]?\d+ | inf\b | nan:0x[0-9a-f]+))
    | (?P<int>-?\d+)
    | (?P<value>%[A-Za-z0-9_.]+) | (?P<func>@[A-Za-z0-9_.]+)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<punct>->|<=|[(){}\[\]:,=+*/-])""",
    re.X,
)
_MAX_DEPTH = 50  # of lists and functions within each other
_MAX_DIGITS = 21  # of an integer: 64 bits and a sign fit
_DTYPES = {d.name for d in ALL}


class _Literal:
    """An attribute's number or list whose meaning waits for the op: a constant reads it by its type."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str):
        self.kind, self.text = kind, text


def parse(text: str) -> Graph:
    """The first function of `text`, with those it refers to. ParseError if it is not a well-formed graph."""
    return _Parser(text).run()


def parse_size(text: str, symbols: Iterable[Symbol]) -> Dim:
    """The size that a text says, whose symbols have these bounds. ParseError where it is none.

    >>> parse_size("2*T+1", [])
    2*T+1
    """
    parser = _Parser(text)
    parser.bounds = {s.name: (s.min, s.max) for s in symbols}
    found = parser.size()
    if parser.tokens[parser.at][0] != "end":
        parser.fail(f"expected the end of a size, found {parser.tokens[parser.at][1]!r}")
    return found


class _Parser:
    def __init__(self, text: str):
        self.text = text
        self.tokens = list(self.tokenize(text))
        self.at = 0
        self.depth = 0  # lists, sizes and functions that are being read
        self.bounds: dict[str, tuple[int, float]] = {}  # of the symbols of the function that is being read
        self.starts: dict[str, int] = {}  # function name -> index of the token after it
        self.graphs: dict[str, Graph | None] = {}  # None while it is being read

    @staticmethod
    def tokenize(text: str):
        pos, line = 0, 1
        while pos < len(text):
            m = _TOKEN.match(text, pos)
            if m is None:
                raise ParseError(f"line {line}: no such character here: {text[pos]!r}")
            if m.lastgroup == "int" and len(m.group()) > _MAX_DIGITS:
                raise ParseError(f"line {line}: an integer of {len(m.group())} digits")
            if m.lastgroup:
                yield m.lastgroup, m.group(), line
            line += m.group().count("\n")
            pos = m.end()
        yield "end", "the end of the text", line

    # -- tokens --

    def fail(self, message: str) -> NoReturn:
        raise ParseError(f"line {self.tokens[self.at][2]}: {message}")

    def peek(self, text: str) -> bool:
        kind, found, _ = self.tokens[self.at]
        return found == text and kind in ("punct", "word")

    def accept(self, text: str) -> bool:
        if self.peek(text):
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.fail(f"expected {text!r}, found {self.tokens[self.at][1]!r}")

    def take(self, kind: str) -> str:
        found, text, _ = self.tokens[self.at]
        if found != kind:
            self.fail(f"expected a {kind}, found {text!r}")
        self.at += 1
        return text

    def several(self, close: str, item) -> list:
        """item, item, ... close"""
        out: list = []
        if self.accept(close):
            return out
        while True:
            out.append(item())
            if self.accept(close):
                return out
            self.expect(",")

    # -- functions --

    def run(self) -> Graph:
        first = None
        for i, (kind, text, _) in enumerate(self.tokens):
            if kind == "word" and text == "func" and self.tokens[i + 1][0] == "func":
                name = self.tokens[i + 1][1]
                if name in self.starts:
                    self.at = i + 1
                    self.fail(f"{name} is defined twice")
                self.starts[name] = i + 2
                first = first or name
        if first is None or self.starts[first] != 2:
            self.fail("expected a function: func @name(...) -> ... { ... }")
        graph = self.function(first)
        for name in self.starts:
            self.function(name)  # those that nothing refers to must be right as well
        return graph

    def function(self, name: str) -> Graph:
        if name not in self.starts:
            self.fail(f"function {name} is not defined")
        if name in self.graphs:
            found = self.graphs[name]
            if found is None:
                self.fail(f"function {name} refers to itself")
            return found
        self.graphs[name] = None
        back, self.at = self.at, self.starts[name]
        self.deeper(1)
        graph = self.graphs[name] = self.body(name[1:])
        self.deeper(-1)
        self.at = back
        return graph

    def deeper(self, by: int) -> None:
        self.depth += by
        if self.depth > _MAX_DEPTH:
            self.fail("lists and functions are nested too deep")

    def body(self, name: str) -> Graph:
        values: dict[str, Value] = {}
        scalars: set[int] = set()
        steady: set[int] = set()
        outer, self.bounds = self.bounds, self.where()
        self.expect("(")
        inputs: list[Value] = []

        def one_input() -> None:
            label = self.take("value")
            self.expect(":")
            if self.accept("scalar"):
                scalars.add(len(inputs))
            elif self.accept("steady"):
                steady.add(len(inputs))
            t = self.type()
            if len(inputs) in scalars and t.rank:
                self.fail(f"a scalar input has rank 0, not the type {t}")
            inputs.append(self.define(values, label, t, self.tokens[self.at][2]))

        self.several(")", one_input)
        names = tuple(label[1:] for label in values)
        self.expect("->")
        out_types = self.several(")", self.type) if self.accept("(") else [self.type()]
        if self.accept("where"):
            self.several("{", self.bound)
        else:
            self.expect("{")
        nodes = []
        while not self.peek("return"):
            nodes.append(self.node(values))
        self.expect("return")
        outputs = [] if self.peek("}") else self.values(values)
        if [v.type for v in outputs] != out_types:
            self.fail(f"returns {', '.join(str(v.type) for v in outputs)}, but declares {', '.join(map(str, out_types))}")
        self.expect("}")
        kind, text, _ = self.tokens[self.at]
        if kind != "end" and text != "func":
            self.fail(f"expected the next function, found {text!r}")
        self.bounds = outer
        return Graph(
            name, tuple(inputs), tuple(nodes), tuple(outputs), input_names=names, scalars=frozenset(scalars), steady=frozenset(steady)
        )

    def define(self, values: dict[str, Value], label: str, t: TensorType, line: int) -> Value:
        if label in values:
            raise ParseError(f"line {line}: {label} is defined twice")
        values[label] = v = Value(t)
        return v

    def values(self, values: dict[str, Value]) -> list[Value]:
        out = []
        while True:
            label = self.take("value")
            if label not in values:
                self.at -= 1
                self.fail(f"{label} is not defined before this use")
            out.append(values[label])
            if not self.accept(","):
                return out

    def node(self, values: dict[str, Value]) -> Node:
        line = self.tokens[self.at][2]
        labels = [self.take("value")]
        while self.accept(","):
            labels.append(self.take("value"))
        self.expect("=")
        name = self.take("word")
        op = OPS.get(name)
        if op is None:
            self.at -= 1
            self.fail(f"no op is named {name!r}")
        inputs = self.values(values) if self.tokens[self.at][0] == "value" else []
        given: dict[str, Any] = {}
        if self.accept("{"):

            def one_attr() -> None:
                key = self.take("word")
                self.expect("=")
                if key in given:
                    self.fail(f"attribute {key} is given twice")
                given[key] = self.attribute()

            self.several("}", one_attr)
        self.expect(":")
        types = [self.type()]
        while self.accept(","):
            types.append(self.type())
        try:
            if name == "constant" and "value" in given:
                given["value"] = _constant(given["value"], types[0])
            if name == "fft":  # texts that were written when it had no axis mean the last one
                given.setdefault("axis", inputs[0].type.rank - 1)
            attrs = op.attr_tuple({k: _plain(v) for k, v in given.items()})
            inferred = infer(op, tuple(v.type for v in inputs), attrs)
            gives = ", ".join(map(str, inferred))
        except Exception as e:  # a rule may trip over nonsense in any way, or give a type that is none
            raise ParseError(f"line {line}: {name}: {e}") from e
        if inferred != tuple(types) or len(labels) != len(types):
            says = ", ".join(map(str, types))
            raise ParseError(f"line {line}: {name} gives {gives}; the text has {len(labels)} values of {says}")
        outputs = tuple(self.define(values, label, t, line) for label, t in zip(labels, inferred))
        return Node(op, tuple(inputs), attrs, outputs)

    def type(self) -> TensorType:
        name = self.take("word")
        if name not in _DTYPES:
            self.at -= 1
            self.fail(f"expected a type such as f32[2,3], found {name!r}")
        self.expect("[")
        return tensor_type(by_name(name), tuple(self.several("]", self.dim)))

    def dim(self) -> Dim:
        d = self.size()
        if at_most(0, d) is not True:
            self.fail(f"a dim is at least 0, {d} may be less")
        return d

    # -- sizes --

    def size(self) -> Dim:
        """A sum of terms."""
        self.deeper(1)
        try:
            total = self.term()
            while True:
                kind, text, _ = self.tokens[self.at]
                if self.accept("+") or (kind == "int" and text.startswith("-")):
                    total = total + self.term()
                elif self.accept("-"):
                    total = total - self.term()
                else:
                    break
        except ShapeError as e:
            self.fail(str(e))
        self.deeper(-1)
        return total

    def term(self) -> Dim:
        x = self.factor()
        while True:
            if self.accept("*"):
                x = x * self.factor()
            elif self.accept("/"):
                x = x // self.factor()
            else:
                return x

    def factor(self) -> Dim:
        kind, text, _ = self.tokens[self.at]
        if kind == "int":
            self.at += 1
            return int(text)
        if self.accept("-"):
            self.deeper(1)
            x = -self.factor()
            self.deeper(-1)
            return x
        if self.accept("("):
            x = self.size()
            self.expect(")")
            return x
        name = self.take("word")
        if name in ("min", "max"):
            self.expect("(")
            a = self.size()
            self.expect(",")
            b = self.size()
            self.expect(")")
            return smaller(a, b) if name == "min" else larger(a, b)
        return symbol(name, *self.bounds.get(name, ()))

    def where(self) -> dict[str, tuple[int, float]]:
        """The bounds of the symbols of a function whose text begins here: `where 1 <= B <= 64, T <= 512` before its body."""
        back, found = self.at, dict[str, tuple[int, float]]()
        while self.tokens[self.at][0] != "end" and not self.peek("{") and not self.peek("where"):
            self.at += 1
        if self.accept("where"):
            self.several("{", lambda: found.update([self.bound()]))
        self.at = back
        return found

    def bound(self) -> tuple[str, tuple[int, float]]:
        low, high = 0, inf
        if self.tokens[self.at][0] == "int":
            low = int(self.take("int"))
            self.expect("<=")
        name = self.take("word")
        if self.accept("<="):
            high = int(self.take("int"))
        if low < 0 or high < low:
            self.fail(f"no extent is at least {low} and at most {high}")
        return name, (low, high)

    def attribute(self) -> Any:
        kind, text, _ = self.tokens[self.at]
        fixed: dict[str, Any] = {"true": True, "false": False, "none": None}
        if self.begins_size(fixed):
            return self.size()
        self.at += 1
        if kind in ("int", "float", "data"):
            return _Literal(kind, text)
        if kind == "string":
            try:
                return json.loads(text)
            except ValueError as e:
                self.fail(f"bad string: {e}")
        if kind == "func":
            return self.function(text)
        if kind == "word":
            return fixed[text] if text in fixed else by_name(text)
        if text == "[":
            self.deeper(1)
            items = tuple(self.several("]", self.attribute))
            self.deeper(-1)
            return items
        self.at -= 1
        self.fail(f"expected an attribute's value, found {text!r}")

    def begins_size(self, fixed: Collection[str]) -> bool:
        """Whether a size with symbols stands here, and no other value."""
        kind, text, _ = self.tokens[self.at]
        if kind == "int":
            kind, text, _ = self.tokens[self.at + 1]
            return kind == "punct" and text in "+-*/" or kind == "int" and text.startswith("-")
        return kind == "word" and text not in fixed and text not in _DTYPES or kind == "punct" and text in "(-"


def _float(text: str) -> float:
    if text.startswith("nan:"):
        return float(np.array([int(text[4:], 16)], np.uint64).view(np.float64)[0])
    return float.fromhex(text) if "0x" in text else float(text)


def _plain(v: Any) -> Any:
    """An attribute's value where no constant is meant."""
    if isinstance(v, tuple):
        return tuple(map(_plain, v))
    if isinstance(v, _Literal):
        if v.kind == "data":
            raise ParseError("a payload stands only in a constant")
        return int(v.text) if v.kind == "int" else _float(v.text)
    return v


def _constant(v: Any, t: TensorType) -> Const:
    if isinstance(v, _Literal) and v.kind == "data":
        kind, _, digits = v.text.partition(":")
        if kind == "sha256":
            raise ParseError("the constant is given by its digest alone; print the graph with payloads=True")
        try:
            return Const(t, base64.b64decode(digits, validate=True))
        except binascii.Error as e:
            raise ParseError(f"bad base64: {e}") from None
    items = v if isinstance(v, tuple) else (v,)
    parts = t.dtype.to_real()
    listed = t.rank > 0 or parts is not t.dtype  # a complex number is written as two
    n = t.nbytes // parts.itemsize
    if isinstance(v, tuple) != listed or len(items) != n:
        raise ParseError(f"{t} needs {n} elements{'' if listed else ', not a list'}; there are {len(items)}")
    return Const(t, b"".join(_element(x, parts) for x in items))


def _element(x: Any, dtype: DType) -> bytes:
    if dtype.kind == "b":
        if not isinstance(x, bool):
            raise ParseError("a bool is true or false")
        return bytes([x])
    if not isinstance(x, _Literal) or x.kind == "data" or (dtype.kind != "f" and x.kind != "int"):
        raise ParseError(f"expected a number of {dtype.name}")
    if x.kind == "int" and dtype.kind != "f":
        return np.array(int(x.text), dtype.numpy).tobytes()  # OverflowError where it does not fit
    if x.text.startswith("nan:"):
        return int(x.text[4:], 16).to_bytes(dtype.itemsize, "little")
    return np.array(_float(x.text)).astype(dtype.numpy).tobytes()
